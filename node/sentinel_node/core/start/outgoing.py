"""A planned connection to the next node: what it is given, and what it may remember (pure)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from sentinel_node.core.control.messages import FlowState, PathMetadata
from sentinel_node.core.start.buffer_plan import (
    BufferPlan,
    FlowForecast,
    HostLimits,
    StartMode,
    plan_buffers,
)
from sentinel_node.core.start.careful_resume import (
    CarefulResume,
    PathMemory,
    ResumeLimits,
    SavedPath,
)
from sentinel_node.core.start.gate import Gate, StartGate, Tcp
from sentinel_node.core.start.vouched import VouchedGate

MAX_PACKET_BYTES = 1448
"""Payload of a segment on a path of MTU 1500 with timestamps."""
MEMORY_LIFETIME_NS = 3_600_000_000_000
PATHS_MAX = 1024
RELAY_LIMIT_BYTES = 1 << 30
HEAD_STARTS = {StartMode.CAREFUL: (32, 3_000_000), StartMode.MANAGED: (12, 8_000_000)}
"""By mode: share of the link's RTT and most, ns. A managed start gains a round trip by being later
than the listener, a careful one only where it is remembered."""


def empty_memory() -> PathMemory:
    """Of one node: what earlier flows found, by path (RFC 9959)."""
    return PathMemory(
        lifetime_ns=MEMORY_LIFETIME_NS,
        paths_max=PATHS_MAX,
        initial_window_bytes=10 * MAX_PACKET_BYTES,
    )


def link_plan(
    state: FlowState,
    path: PathMetadata,
    hop: int,
    host: HostLimits,
    mode: StartMode,
    saved: SavedPath | None,
) -> BufferPlan:
    """For the link that leads to hop `hop` of the path (1: the first link)."""
    after = path.hops[hop + 1] if hop + 1 < len(path.hops) else None
    forecast = FlowForecast(
        rate_Bps=state.peak_rate_Bps or state.rate_Bps,
        rtt_ns=2 * path.hops[hop].propagation_ns,
        downstream_rtt_ns=2 * after.propagation_ns if after else 0,
        max_packet_bytes=MAX_PACKET_BYTES,
        size_bytes=state.size_bytes,
    )
    return plan_buffers(forecast, host, mode=mode, saved=saved)


def at_path_rate(state: FlowState, path: PathMetadata) -> FlowState:
    """The same flow, if it had its path for itself."""
    slowest_Bps = min((hop.rate_bps // 8 for hop in path.hops[1:] if hop.rate_bps), default=0)
    return replace(state, peak_rate_Bps=max(state.peak_rate_Bps, slowest_Bps))


def path_key(target: str, path: PathMetadata, hop: int) -> str:
    """Under which name a link is remembered: another rate or length is another path."""
    link = path.hops[hop]
    return f"{target} {link.propagation_ns} ns {link.rate_bps} bit/s"


def packets(window_bytes: int) -> int:
    """A window in whole segments."""
    return max(1, window_bytes // MAX_PACKET_BYTES)


@dataclass(slots=True)
class Outgoing:
    """The connection to `target`: its plan, and what was borrowed from the node's memory.

    What was borrowed is given back once: when the start is over, or with `release`.
    """

    target: str
    plan: BufferPlan
    key: str
    saved: SavedPath | None
    memory: PathMemory = field(repr=False)
    propagation_ns: int = 0
    """Of the link, as the operator knows it."""
    lent: bool = False
    """The memory of this path is kept from other connections."""

    @classmethod
    def of(
        cls,
        memory: PathMemory,
        host: HostLimits,
        target: str,
        state: FlowState,
        path: PathMetadata,
        hop: int,
        mode: StartMode,
        *,
        now_ns: int,
    ) -> Outgoing:
        """For the link that leads to hop `hop`. Borrows what is remembered of it."""
        key = path_key(target, path, hop)
        saved = memory.borrow(key, now_ns=now_ns) if mode is StartMode.CAREFUL else None
        plan = link_plan(state, path, hop, host, mode, saved)
        link_ns = path.hops[hop].propagation_ns
        return cls(target, plan, key, saved, memory, link_ns, lent=saved is not None)

    @property
    def head_start_ns(self) -> int:
        """How long the SYN follows the forecast.

        The next node takes a few milliseconds to set its listener, its kernel none to answer a SYN.
        A SYN that is first has a window of 64 KiB, which costs a whole round trip.
        """
        share, most_ns = HEAD_STARTS[self.plan.mode]
        return min(2 * self.propagation_ns // share, most_ns)

    def gate(self, tcp: Tcp) -> Gate | None:
        """What holds back and paces the writer at the start.

        None for a slow start: acknowledgements clock that, and it needs no pacing.
        """
        if self.plan.mode is StartMode.MANAGED:
            return VouchedGate(tcp, self.plan.pacing_Bps, self.plan.jump_window_bytes)
        if self.saved is None:
            return None
        initial = self.plan.initial_window_bytes
        jump = max(initial, self.plan.jump_window_bytes)
        resume = CarefulResume(self.saved, ResumeLimits(initial, jump, MAX_PACKET_BYTES))
        return StartGate(tcp, resume, self.plan.pacing_Bps, self._normal)

    def release(self) -> None:
        """No start will come of it, or it is over. Idempotent."""
        self._normal(proved_wrong=False)

    def _normal(self, proved_wrong: bool) -> None:
        if self.lent:
            self.lent = False
            self.memory.give_back(self.key, proved_wrong=proved_wrong)

    def observe(self, *, cwnd_bytes: int, min_rtt_ns: int, now_ns: int) -> None:
        """The connection has ended well: remember what it found."""
        self.memory.observe(self.key, cwnd_bytes=cwnd_bytes, min_rtt_ns=min_rtt_ns, now_ns=now_ns)
