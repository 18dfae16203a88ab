"""What a fresh wire costs beyond the delay it is asked for."""

from __future__ import annotations

import statistics

from sentinel_sim.backends.emulated.layout import Layout
from sentinel_sim.backends.emulated.prober import Prober
from sentinel_sim.errors import EmulationError
from sentinel_sim.plan.model import LinkPlan

CALIBRATION_DELAY_NS = 1_000_000
CALIBRATION_PROBES = 20
CALIBRATION_BATCHES = 5


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
