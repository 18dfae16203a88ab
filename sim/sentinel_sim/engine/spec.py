"""What to simulate, as values that check themselves; nothing here knows of arrays or numba."""

from __future__ import annotations

from dataclasses import dataclass

from sentinel_sim.errors import InfeasibleError

CONTROLS = {"reno": 0, "cubic": 1, "bbr": 2}
HEADERS_BYTES = 66
"""Layer 2 bytes of a segment beyond its payload: Ethernet 14, IPv4 20, TCP 20, timestamps 12."""
BYTES_MOST = (1 << 31) * 1000
"""SACK blocks travel as 32-bit offsets; a connection of a simulation sends no more than this."""


@dataclass(frozen=True, slots=True)
class LossModel:
    """Loss per packet: a Gilbert-Elliott channel (Gilbert 1960, Elliott 1963).

    `good` and `bad` are the loss probabilities in the two states, `to_bad` and `to_good` those of
    a change after each packet. The default for the last three makes losses independent.
    """

    good: float = 0.0
    bad: float = 0.0
    to_bad: float = 0.0
    to_good: float = 0.0

    def __post_init__(self) -> None:
        for name in ("good", "bad", "to_bad", "to_good"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise InfeasibleError(f"loss model: {name} must be from 0 to 1, got {value}")
        if self.to_bad > 0 and self.to_good == 0:
            raise InfeasibleError("loss model: to_good is 0, so the bad state would never end")

    @property
    def mean(self) -> float:
        """Share of packets lost in the long run."""
        if self.to_bad == 0:
            return self.good
        share = self.to_bad / (self.to_bad + self.to_good)
        return (1 - share) * self.good + share * self.bad


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """One direction of a link. `name` orders simultaneous events and names the random streams."""

    name: str
    rate_bps: int
    delay_ns: int
    queue_bytes: int
    """Limit of what waits; the packet in transmission is not counted."""
    loss: LossModel = LossModel()
    jitter_ns: int = 0
    """Largest deviation from the delay, both ways, uniform; never reorders."""

    def __post_init__(self) -> None:
        if not 1_000 <= self.rate_bps <= 10**13:
            raise InfeasibleError(
                f"link {self.name}: the simulator takes rates from 1 kbit/s to 10 Tbit/s, got"
                f" {self.rate_bps} bit/s"
            )
        if self.delay_ns < 0 or not 0 <= self.jitter_ns <= self.delay_ns:
            raise InfeasibleError(
                f"link {self.name}: jitter must lie between 0 and the delay ({self.delay_ns} ns),"
                f" got {self.jitter_ns} ns"
            )
        if self.queue_bytes < 0:
            raise InfeasibleError(f"link {self.name}: queue of {self.queue_bytes} bytes")


@dataclass(frozen=True, slots=True)
class ConnectionSpec:
    """One TCP connection. Routes name links; buffers are in bytes of kernel memory or payload."""

    forward: tuple[str, ...]
    backward: tuple[str, ...]
    control: str
    mss: int
    send_max: int
    """Largest send buffer (tcp_wmem[2]), memory."""
    receive_max: int
    """Largest window that the receiver will ever offer, payload."""
    fixed_window: int = 0
    """Payload bytes that the receiver always offers; 0: dynamic right-sizing."""
    relay_bytes: int = 0
    """Buffer of the relay at the receiving end; 0 at the last connection."""
    initial_window: int = 10
    """Segments (RFC 6928)."""
    hystart: bool = True
    segmentation_offload: bool = True
    """GSO or TSO at the sender, GRO at the receiver; see `segmentation`. BBR goes without."""

    def __post_init__(self) -> None:
        if self.control not in CONTROLS:
            raise InfeasibleError(
                f"congestion control {self.control!r} is not simulated; it is one of"
                f" {', '.join(CONTROLS)}",
                cure="choose one of them, or use --backend emulated",
            )
        if not 1 <= self.mss <= 65_495:
            raise InfeasibleError(f"an MSS of {self.mss} bytes is out of range")
        for name in ("send_max", "receive_max"):
            if getattr(self, name) < 2 * self.mss:
                raise InfeasibleError(
                    f"{name} must hold two segments of {self.mss} B, got {getattr(self, name)} B"
                )
        for name in ("fixed_window", "relay_bytes"):
            if 0 < getattr(self, name) < 2 * self.mss:
                raise InfeasibleError(
                    f"{name} must be 0 or hold two segments of {self.mss} B, got"
                    f" {getattr(self, name)} B"
                )


@dataclass(frozen=True, slots=True)
class FlowSpec:
    """One application flow over one connection, or several joined by relays.

    Exactly one of `size_bytes` and `duration_ns` is given; the duration counts from the start.
    """

    flow_id: int
    connections: tuple[ConnectionSpec, ...]
    start_ns: int = 0
    size_bytes: int | None = None
    duration_ns: int | None = None

    def __post_init__(self) -> None:
        if not self.connections:
            raise InfeasibleError(f"flow {self.flow_id} has no connection")
        if any(one.relay_bytes == 0 for one in self.connections[:-1]):
            raise InfeasibleError(f"flow {self.flow_id}: a relay needs a buffer")
        if (self.size_bytes is None) == (self.duration_ns is None):
            raise InfeasibleError(f"flow {self.flow_id}: give either a size or a duration")
        if self.size_bytes is not None and not 0 < self.size_bytes <= BYTES_MOST:
            raise InfeasibleError(
                f"flow {self.flow_id}: sizes from 1 B to {BYTES_MOST} B are simulated, got"
                f" {self.size_bytes} B"
            )


@dataclass(frozen=True, slots=True)
class ProbeSpec:
    """A packet of its own, sent at a time over links; what comes of it is its time of arrival."""

    send_ns: int
    route: tuple[str, ...]
    size_bytes: int = 74
    """Layer 2; an ICMP echo with 32 bytes of payload by default."""


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """Everything that one simulation depends on, the seed included."""

    links: tuple[LinkSpec, ...]
    flows: tuple[FlowSpec, ...]
    seed: int
    probes: tuple[ProbeSpec, ...] = ()

    def __post_init__(self) -> None:
        names = [link.name for link in self.links]
        if len(set(names)) != len(names):
            raise InfeasibleError(f"link names must be unique, got {sorted(names)}")
        ids = [flow.flow_id for flow in self.flows]
        if len(set(ids)) != len(ids):
            raise InfeasibleError(f"flow ids must be unique, got {sorted(ids)}")
