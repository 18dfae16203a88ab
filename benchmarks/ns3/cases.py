"""What is simulated by both: one bulk flow over two equal links, sender - router - receiver."""

from __future__ import annotations

from dataclasses import dataclass

MSS_BYTES = 1448
HEADERS_BYTES = 66
"""Of a packet on our links: Ethernet 14, IPv4 20, TCP 20, timestamps 12."""
MS_NS = 1_000_000
SECOND_NS = 1_000_000_000
INITIAL_WINDOW = 10
BUFFER_BYTES = 64 << 20
"""Socket buffers, both ends; many times what any case has in flight, so that they limit nothing."""


@dataclass(frozen=True, slots=True)
class Case:
    """One setting."""

    control: str
    rate_bps: int
    rtt_ns: int
    duration_ns: int
    queue_bdp: float = 1.0
    hystart: bool = True

    @property
    def name(self) -> str:
        """For tables and --only."""
        control = self.control if self.hystart else f"{self.control}-nohystart"
        queue = "" if self.queue_bdp == 1.0 else f"-queue{self.queue_bdp:g}"
        return f"{control}-{self.rate_bps // 1_000_000}M-{self.rtt_ns // MS_NS}ms{queue}"

    @property
    def bdp_bytes(self) -> int:
        """Bandwidth times base RTT."""
        return self.rate_bps * self.rtt_ns // (8 * SECOND_NS)

    @property
    def queue_bytes(self) -> int:
        """Drop-tail queue of each link and direction, in bytes of layer 2."""
        return int(self.bdp_bytes * self.queue_bdp)

    @property
    def link_delay_ns(self) -> int:
        """One way, of each of the two links."""
        return self.rtt_ns // 4

    @property
    def tick_ns(self) -> int:
        """Grid of the series."""
        return self.rtt_ns // 10

    @property
    def ticks(self) -> int:
        """How many of them the run has."""
        return self.duration_ns // self.tick_ns

    @property
    def goodput_most_bps(self) -> float:
        """Payload rate of a link that is always busy."""
        return self.rate_bps * MSS_BYTES / (MSS_BYTES + HEADERS_BYTES)

    @property
    def startup_bytes(self) -> int:
        """The start-up is over when so much was delivered: eight BDP."""
        return 8 * self.bdp_bytes


PATHS = ((100_000_000, 100 * MS_NS, 20 * SECOND_NS), (10**9, 10 * MS_NS, 3 * SECOND_NS))
DEEP_QUEUE_BDP = 3.0
"""BBR's start-up, which has 2.9 BDP under way at most, loses nothing."""


def all_cases(queue_bdp: float) -> list[Case]:
    """The cases of the table, and two that explain them.

    cubic also without HyStart, in which the two differ; bbr also with a queue that nothing is lost
    in, since they differ in how losses are repaired.
    """
    found = []
    for rate_bps, rtt_ns, duration_ns in PATHS:
        path = (rate_bps, rtt_ns, duration_ns)
        found += [Case(control, *path, queue_bdp) for control in ("reno", "cubic", "bbr")]
        found.append(Case("cubic", *path, queue_bdp, hystart=False))
        found.append(Case("bbr", *path, DEEP_QUEUE_BDP))
    return found
