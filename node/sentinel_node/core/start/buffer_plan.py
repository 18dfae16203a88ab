"""What is made ready for a flow before its first byte: pure functions of its forecast.

    BDP            = rate x round-trip time of the link (split) or path
    window clamp   = 2 BDP and what the rate brings in `HOST_SLACK_NS`: one BDP in flight, one in
                     the queue, which a loss or a reader that is not scheduled uses up (RFC 6349,
                     section 3.3). At 1.2 BDP a sender with enough to send was held by the
                     window for 60 to 90 % of the time, and at short links by any late reader
    unsent         = what the rate takes in `UNSENT_NS`: how long the writer may be off its CPU
    send buffer    = twice window and unsent: poll(2) wakes a writer when a third is free
    receive buffer = twice the window: the kernel gives about half to it (tcp_adv_win_scale 1)
    pacing rate    = the predicted rate x margin: never a burst at line rate while the window is
                     unproved. Not for longer, see `daemon.control.gate`
    start window   = by mode: see `StartMode`
    relay memory   = what is in custody for one downstream round trip, and an outage

The kernel doubles what setsockopt is given; the plan says what the kernel should have in the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sentinel_node.core.start.careful_resume import NS_PER_S, ResumeLimits, SavedPath

MARGIN_PERCENT = 120
"""safety_margin of the FSU's optimal buffer (design, section 7)."""
WINDOW_BDPS = 2
HOST_SLACK_NS = 60_000_000
"""A process may wait so long for its CPU on a busy host; at a short distance that is many BDP."""
UNSENT_NS = 160_000_000
"""A poll wakes the writer at half of it (net/ipv4/tcp.c, __sk_stream_memory_free), 80 ms early.
On a host with two busy CPUs a flow of 1 Gbit/s went at 800 and 823 Mbit/s with 40 ms, at 918 and
954 with 160 (one batch, two runs each; `split` keeps 20 to 40 MB). It does not help a writer that
gets too little CPU to keep anything unsent: see docs/arms.md on the arm `fsu`."""
UNSENT_LEAST_BYTES = 128 * 1024
INITIAL_WINDOW_PACKETS = 10
"""RFC 6928."""
WINDOW_MAX_BYTES = (1 << 30) - 1
"""RFC 7323, section 2.3: a window scale of at most 14."""


class StartMode(StrEnum):
    """How the start window is chosen."""

    CAREFUL = "careful"
    """RFC 9959: what an earlier flow found, carefully; without one, slow start."""
    MANAGED = "managed"
    """The operator vouches for the capacity of every link: start with the whole BDP."""


class StartBasis(StrEnum):
    """On what a start window rests; each is how the text of a plan's `basis` begins."""

    MANAGED = "managed"
    REMEMBERED = "RFC 9959"
    COLD = "no earlier flow"

    @classmethod
    def of(cls, text: str) -> StartBasis:
        """Of a plan's `basis`. Raises ValueError for any other text."""
        for basis in cls:
            if text.startswith(basis):
                return basis
        raise ValueError(f"not the basis of a start window: {text!r}")


@dataclass(frozen=True, slots=True)
class FlowForecast:
    """What the plan is made from. `rate_Bps`: predicted peak, pattern factor included."""

    rate_Bps: int
    rtt_ns: int
    downstream_rtt_ns: int
    max_packet_bytes: int
    size_bytes: int | None = None

    def __post_init__(self) -> None:
        if min(self.rate_Bps, self.rtt_ns, self.downstream_rtt_ns) < 0:
            raise ValueError(f"rates and times must not be negative: {self}")
        if self.max_packet_bytes < 1:
            raise ValueError(f"max_packet_bytes must be positive, got {self.max_packet_bytes}")


@dataclass(frozen=True, slots=True)
class HostLimits:
    """What this host allows, in bytes (net.ipv4.tcp_rmem[2] and tcp_wmem[2], relay memory)."""

    receive_buffer_bytes: int
    send_buffer_bytes: int
    relay_bytes: int


@dataclass(frozen=True, slots=True)
class BufferPlan:
    """Bytes and bytes per second. `limits` names each value that the host cut, and to what."""

    bdp_bytes: int
    send_buffer_bytes: int
    receive_buffer_bytes: int
    window_clamp_bytes: int
    unsent_bytes: int
    pacing_Bps: int
    initial_window_bytes: int
    jump_window_bytes: int
    relay_bytes: int
    mode: StartMode
    basis: str
    limits: tuple[str, ...]


def bdp_bytes(rate_Bps: int, rtt_ns: int) -> int:
    """Bandwidth-delay product, rounded up."""
    return -(-rate_Bps * rtt_ns // NS_PER_S)


def with_margin(value: int) -> int:
    """120 % of it, rounded up."""
    return -(-value * MARGIN_PERCENT // 100)


def resume_limits(forecast: FlowForecast) -> ResumeLimits:
    """Bounds of Careful Resume for a flow: never a jump beyond its predicted BDP."""
    initial = INITIAL_WINDOW_PACKETS * forecast.max_packet_bytes
    jump = max(initial, bdp_bytes(forecast.rate_Bps, forecast.rtt_ns))
    return ResumeLimits(initial, min(jump, WINDOW_MAX_BYTES), forecast.max_packet_bytes)


def plan_buffers(
    forecast: FlowForecast,
    host: HostLimits,
    *,
    mode: StartMode,
    saved: SavedPath | None,
    outage_ns: int = 0,
) -> BufferPlan:
    """Everything to set for a flow before it comes.

    `outage_ns`: how long downstream may be away while this node goes on taking bytes.
    """
    bdp = bdp_bytes(forecast.rate_Bps, forecast.rtt_ns)
    custody = bdp_bytes(forecast.rate_Bps, forecast.downstream_rtt_ns + outage_ns)
    if forecast.size_bytes is not None:
        custody = min(custody, forecast.size_bytes)
    least = 2 * INITIAL_WINDOW_PACKETS * forecast.max_packet_bytes
    limits: list[str] = []
    window = max(WINDOW_BDPS * bdp + bdp_bytes(forecast.rate_Bps, HOST_SLACK_NS), least)
    clamp = _limited("window", window, WINDOW_MAX_BYTES, limits)
    unsent = max(UNSENT_LEAST_BYTES, bdp_bytes(forecast.rate_Bps, UNSENT_NS))
    send = _limited("send buffer", 2 * (clamp + unsent), host.send_buffer_bytes, limits)
    receive = _limited("receive buffer", 2 * clamp, host.receive_buffer_bytes, limits)
    relay = _limited("relay memory", max(with_margin(custody), least), host.relay_bytes, limits)
    initial, jump, basis = _start(forecast, bdp, mode, saved)
    return BufferPlan(
        bdp_bytes=bdp,
        send_buffer_bytes=send,
        receive_buffer_bytes=receive,
        window_clamp_bytes=min(clamp, receive),
        unsent_bytes=unsent,
        pacing_Bps=with_margin(forecast.rate_Bps),
        initial_window_bytes=initial,
        jump_window_bytes=jump,
        relay_bytes=relay,
        mode=mode,
        basis=basis,
        limits=tuple(limits),
    )


def _start(
    forecast: FlowForecast, bdp: int, mode: StartMode, saved: SavedPath | None
) -> tuple[int, int, str]:
    """(initial window, window after a jump, on what it rests)."""
    bounds = resume_limits(forecast)
    initial = bounds.initial_window_bytes
    if mode is StartMode.MANAGED:
        window = max(initial, min(bdp, WINDOW_MAX_BYTES))
        return (
            window,
            window,
            f"{StartBasis.MANAGED}: the operator vouches for the capacity of the path",
        )
    if saved is None:
        return initial, initial, f"{StartBasis.COLD} is remembered: slow start from 10 packets"
    jump = max(initial, min(saved.cwnd_bytes // 2, bounds.max_jump_bytes))
    found = f"an earlier flow had a window of {saved.cwnd_bytes} bytes"
    return initial, jump, f"{StartBasis.REMEMBERED}: {found}"


def _limited(name: str, wanted: int, allowed: int, limits: list[str]) -> int:
    if wanted <= allowed:
        return wanted
    limits.append(f"{name}: {wanted} bytes wanted, {allowed} allowed")
    return allowed
