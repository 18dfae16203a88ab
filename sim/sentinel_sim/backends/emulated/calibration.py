"""What wires cost beyond the delay they are asked for: fresh ones, and those of a run."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from sentinel_sim.backends.emulated.layout import Layout
from sentinel_sim.backends.emulated.prober import Prober
from sentinel_sim.errors import EmulationError
from sentinel_sim.plan.model import LinkPlan, PathPlan

CALIBRATION_DELAY_NS = 1_000_000
CALIBRATION_PROBES = 20
CALIBRATION_BATCHES = 5
CORRECTION_LIMIT_NS = 200_000
"""Of one wire, one way. More than this is no drift of the base cost, but something to be seen."""


async def base_cost_ns(layout: Layout, link: LinkPlan) -> int:
    """Half of what a round trip over the link takes beyond the delay it was set to.

    The lowest median of several batches: something else that ran for a moment must not be
    taken for the wire's own cost.
    """
    names = layout.wire_names(link.name)
    prober = Prober(layout.namespace(link.a), names.address("a"), names.address("b"))
    medians = []
    try:
        for _ in range(CALIBRATION_BATCHES):
            rtt_ns = await prober.probe(CALIBRATION_PROBES, 0.005, 2.0)
            if len(rtt_ns) > CALIBRATION_PROBES // 2:
                medians.append(statistics.median(rtt_ns))
    finally:
        prober.close()
    if not medians:
        raise EmulationError(f"link {link.name}: probes over the fresh wire do not come back")
    return max(0, int(min(medians) - 2 * CALIBRATION_DELAY_NS) // 2)


def correction_of(rtt_ns: Sequence[int], path: PathPlan, probes: int) -> int:
    """What to add to the base cost of each wire of a path, by round trips over it when idle.

    Nodes forward, and long sleeps end later than short ones: the wires' cost depends a little on
    the run. 0 if half of the `probes` or more are missing, or if it is no drift at all.
    """
    if len(rtt_ns) <= probes // 2:
        return 0
    excess_ns = statistics.median(rtt_ns) - path.rtt_base_ns
    correction_ns = int(excess_ns / (2 * len(path.links)))
    return correction_ns if abs(correction_ns) <= CORRECTION_LIMIT_NS else 0
