"""What is run, and what came of it (no I/O)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sentinel_sim.bench.rtt.agreement import Agreement
from sentinel_sim.plan.model import (
    Arm,
    FlowPlan,
    LinkPlan,
    OuterEnd,
    PathPlan,
    Role,
    RunSpec,
    WorkloadKind,
)

NEAR, FAR = "near", "far"
NODES = (NEAR, FAR)
LINK = f"{NEAR}--{FAR}"
RATE_BPS = 1_000_000_000
BULK_LINK_BPS = 100_000_000
"""Little enough for two CPUs: what is full has to be the wire."""
QUEUE_LEAST_BYTES = 375_000
"""Or one bandwidth-delay product, if that is more."""
EXCHANGES_PER_S = 4_000
"""Of all flows together: 4 packets each, so that neither of two CPUs is full."""
INTERVAL_LEAST_S = 0.05
STREAMS_BPS = 80_000_000
"""Of all flows together: 7,000 segments and half as many acknowledgements a second."""
STREAM_MOST_BPS = 8_000_000
BULK_FLOWS_MOST = 100
"""More would have less than a segment each in the full queue: they would be silent for seconds."""
BURST_BITS = 2 * 1514 * 8
FLOWS_MOST = 1_000
TSO_RTT_LOG_DEFAULT = 9


class Traffic(StrEnum):
    """What the flows of one case do."""

    REQUESTS = "requests"
    """One segment there and one back, again and again."""
    STREAM = "stream"
    """Without end, paced; two segments at a time, which is the least that TCP sends."""
    BURSTS = "bursts"
    """As `stream`, but with segments as many at a time as the kernel likes: up to 64 KB on short
    paths (tcp_tso_rtt_log)."""
    BULK = "bulk"
    """As fast as TCP can, through a full queue: the RTT changes all the time, and the FSU's latest
    sample is up to a round trip old, the kernel's one acknowledgement."""

    @property
    def judged(self) -> bool:
        """Whether both figures mean the same: then the limits have to hold."""
        return self in (Traffic.REQUESTS, Traffic.STREAM)


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the benchmark."""

    traffic: Traffic
    rtt_ms: float
    flows: int

    @property
    def possible(self) -> bool:
        """Whether every flow can have round trips all the time."""
        return self.traffic is not Traffic.BULK or self.flows <= BULK_FLOWS_MOST

    @property
    def tso_rtt_log(self) -> int:
        """The sysctl: one more packet is sent at once for each halving of the RTT below 2**n us."""
        return TSO_RTT_LOG_DEFAULT if self.traffic in (Traffic.BURSTS, Traffic.BULK) else 0

    @property
    def sample_interval_s(self) -> float:
        """From one sample of a flow's RTT to the next, about."""
        if self.traffic is Traffic.REQUESTS:
            return max(self.interval_s, self.rtt_ms / 1000)
        return max(BURST_BITS / self.rate_bps, self.rtt_ms / 1000)

    @property
    def link_bps(self) -> int:
        """The wire's rate."""
        return BULK_LINK_BPS if self.traffic is Traffic.BULK else RATE_BPS

    @property
    def interval_s(self) -> float:
        """From one request to the next on a flow, on average."""
        return max(INTERVAL_LEAST_S, self.flows / EXCHANGES_PER_S)

    @property
    def rate_bps(self) -> int:
        """The pace of one stream."""
        if self.traffic is Traffic.BULK:
            return RATE_BPS  # more than it gets: no pace but TCP's own
        return min(STREAM_MOST_BPS, STREAMS_BPS // self.flows)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One case as seen at one node; errors in microseconds, of FSU against TCP_INFO."""

    case: Case
    node: str
    """Whose FSU and whose sockets."""
    smoothed: Agreement
    minimum: Agreement
    missing: int
    """(flow, moment) pairs without an RTT in the FSU: any is a failure."""
    idle_rtt_ms: float | None
    """Median of echoes through the empty wire."""
    look_s: float
    """The longest time between the beginning of a look at the sockets and its end at the FSU."""

    @property
    def within(self) -> bool:
        """Whether every flow has an RTT, and the smoothed ones are as near as they should be."""
        return not self.missing and self.smoothed.within


def run_spec(
    rtt_ms: float, seed: int, outer: OuterEnd = OuterEnd.TC, link_bps: int = RATE_BPS
) -> RunSpec:
    """Two nodes, one link, FSUs at inner and outer ends."""
    rtt_ns = int(rtt_ms * 1_000_000)
    bdp = link_bps * rtt_ns // 8_000_000_000
    queue = max(bdp, QUEUE_LEAST_BYTES)
    link = LinkPlan(LINK, NEAR, FAR, None, rtt_ns // 2, link_bps, queue, 0.0, 0, False, 1500)
    return RunSpec(
        key=f"rtt_{rtt_ms:g}ms",
        arm=Arm.TUNED,
        distance_km=None,
        params={},
        repeat=0,
        seed=seed,
        congestion_control="cubic",
        window_bytes=None,
        workload=WorkloadKind.MANY,
        # Twice as many: entries of the case before are still in the maps.
        flows=tuple(FlowPlan(i, 0, 0, 1, None) for i in range(2 * FLOWS_MOST)),
        paths=(PathPlan(0, NODES, (LINK,), rtt_ns, link_bps, 0.0, bdp),),
        links=(link,),
        roles={NEAR: Role.SENDER, FAR: Role.RECEIVER},
        control_band=False,
        xdp=True,
        fsu_outer=outer,
    )
