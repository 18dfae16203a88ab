"""What is run, and what came of it (no I/O)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sentinel_sim.bench.rtt.agreement import Agreement
from sentinel_sim.plan.model import Arm, FlowPlan, LinkPlan, PathPlan, Role, RunSpec, WorkloadKind

NEAR, FAR = "near", "far"
NODES = (NEAR, FAR)
LINK = f"{NEAR}--{FAR}"
RATE_BPS = 1_000_000_000
QUEUE_BYTES = 8_000_000
EXCHANGES_PER_S = 4_000
"""Of all flows together: 4 packets each, so that neither of two CPUs is full."""
INTERVAL_LEAST_S = 0.05
STREAMS_BPS = 80_000_000
"""Of all flows together: 7,000 segments and half as many acknowledgements a second."""
STREAM_MOST_BPS = 8_000_000
FLOWS_MOST = 1_000


class Traffic(StrEnum):
    """What the flows of one case do."""

    REQUESTS = "requests"
    STREAM = "stream"


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the benchmark."""

    traffic: Traffic
    rtt_ms: float
    flows: int

    @property
    def interval_s(self) -> float:
        """From one request to the next on a flow, on average."""
        return max(INTERVAL_LEAST_S, self.flows / EXCHANGES_PER_S)

    @property
    def rate_bps(self) -> int:
        """Of one paced stream."""
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


def run_spec(rtt_ms: float, seed: int) -> RunSpec:
    """Two nodes, one link, FSUs at inner and outer ends."""
    rtt_ns = int(rtt_ms * 1_000_000)
    link = LinkPlan(
        LINK, NEAR, FAR, None, rtt_ns // 2, RATE_BPS, QUEUE_BYTES, 0.0, 0, False, 1500
    )
    bdp = RATE_BPS * rtt_ns // 8_000_000_000
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
        paths=(PathPlan(0, NODES, (LINK,), rtt_ns, RATE_BPS, 0.0, bdp),),
        links=(link,),
        roles={NEAR: Role.SENDER, FAR: Role.RECEIVER},
        control_band=False,
        xdp=True,
        xdp_outer=True,
    )
