"""The FSU's RTT of many real flows is what the kernel's TCP says it is."""

from __future__ import annotations

from sentinel_sim.bench.rtt.cases import FAR, NEAR, Case, Traffic
from sentinel_sim.bench.rtt.measuring import Laboratory, Timing
from sentinel_sim.host.doctor import wire_backend

RTT_MS, FLOWS = 20.0, 100
TIMING = Timing(every_s=0.3, moments=4)


async def test_smoothed_and_least_rtt_of_a_hundred_flows() -> None:
    """Errors are those of pairs read at one moment: a slow host delays both figures alike."""
    async with Laboratory(wire_backend()) as laboratory:
        await laboratory.set_rtt(RTT_MS)
        near, far = await laboratory.run(Case(Traffic.REQUESTS, RTT_MS, FLOWS), TIMING)
    assert (near.node, far.node) == (NEAR, FAR)
    for outcome in (near, far):
        assert outcome.missing == 0
        assert outcome.smoothed.pairs == TIMING.moments * FLOWS
        assert outcome.smoothed.true_median_us >= RTT_MS * 1000 * 0.95  # through the wire
        assert outcome.smoothed.within, outcome.smoothed
        assert outcome.minimum.within, outcome.minimum
