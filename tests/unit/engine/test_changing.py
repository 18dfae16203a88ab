"""Links that change while packets wait on them: who leaves when, and who never does."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.engine.nets import MS, SECOND, both_ways, bulk, connection, run_for, start

from sentinel_sim.engine import changing
from sentinel_sim.engine.simulation import DELIVERED, Samples, Simulation
from sentinel_sim.engine.spec import LinkSpec, LossModel, ProbeSpec

SIZE = 1500
SLOW_NS, FAST_NS = 120_000, 12_000
"""A packet at 100 Mbit/s and at 1 Gbit/s."""
COUNT = 10
QUEUE = 125_000


def queued(rate_bps: int, *, delay_ns: int = 0, jitter_ns: int = 0) -> Simulation:
    """Ten packets come at once."""
    link = LinkSpec("only", rate_bps, delay_ns, 1 << 20, jitter_ns=jitter_ns)
    return start((link,), probes=tuple(ProbeSpec(0, ("only",), SIZE) for _ in range(COUNT)))


def arrivals(simulation: Simulation) -> list[int]:
    while simulation.under_way:
        simulation.advance(1)
    simulation.verify()
    returned: list[int] = simulation.world.probes["returned"].tolist()
    return returned


@pytest.mark.parametrize(
    ("before_bps", "after_bps", "before_ns", "after_ns"),
    [(10**9, 10**8, FAST_NS, SLOW_NS), (10**8, 10**9, SLOW_NS, FAST_NS)],
)
def test_what_waits_leaves_at_the_new_rate(
    before_bps: int, after_bps: int, before_ns: int, after_ns: int
) -> None:
    """Three and a half packets have gone out when the rate changes."""
    simulation = queued(before_bps)
    simulation.run_to(3 * before_ns + before_ns // 2)
    changing.set_rate(simulation.world, 0, after_bps, 1 << 20)
    change = simulation.now_ns
    old = [before_ns * n for n in (1, 2, 3)]
    new = [change + after_ns // 2 + after_ns * n for n in range(COUNT - 3)]
    assert arrivals(simulation) == old + new
    assert int(simulation.world.links[0]["free"]) == new[-1]


def test_a_packet_that_comes_later_waits_for_those_that_were_slowed() -> None:
    link = LinkSpec("only", 10**9, 0, 1 << 20)
    probes = [ProbeSpec(0, ("only",), SIZE), ProbeSpec(0, ("only",), SIZE)]
    late = ProbeSpec(20_000, ("only",), SIZE)
    simulation = start((link,), probes=(*probes, late))
    simulation.run_to(FAST_NS)
    changing.set_rate(simulation.world, 0, 10**8, 1 << 20)
    assert arrivals(simulation) == [FAST_NS, FAST_NS + SLOW_NS, FAST_NS + 2 * SLOW_NS]


def test_a_change_of_rate_reorders_nothing_that_jitter_did_not() -> None:
    for seed in range(20):
        choice = np.random.default_rng(seed)
        simulation = queued(10**8, delay_ns=MS, jitter_ns=MS)
        for at_ns in np.sort(choice.integers(1, 1_200_000, 3)).tolist():
            simulation.run_to(at_ns)
            rate_bps = int(choice.choice([10**7, 10**8, 10**9]))
            changing.set_rate(simulation.world, 0, rate_bps, 1 << 20)
        found = arrivals(simulation)
        assert found == sorted(found)


def test_a_cut_takes_what_waits_and_what_comes_not_what_has_left() -> None:
    link = LinkSpec("only", 10**8, 5 * MS, 1 << 20)
    probes = [ProbeSpec(0, ("only",), SIZE)] * 10
    while_cut = ProbeSpec(2 * MS, ("only",), SIZE)
    after = ProbeSpec(9 * MS, ("only",), SIZE)
    simulation = start((link,), probes=(*probes, while_cut, after))
    simulation.run_to(3 * SLOW_NS + 1)
    assert changing.cut(simulation.world, 0) == COUNT - 3
    simulation.verify()
    simulation.run_to(8 * MS)
    changing.set_loss(simulation.world, 0, LossModel())
    simulation.advance(1)
    found = arrivals(simulation)
    assert found == [5 * MS + SLOW_NS * n for n in (1, 2, 3)] + [-1] * 8 + [14 * MS + SLOW_NS]
    assert int(simulation.world.links[0]["lost"]) == 8


def test_a_link_that_only_had_waiting_packets_is_quiet_after_a_cut() -> None:
    simulation = queued(10**8)
    simulation.run_to(1)
    assert changing.cut(simulation.world, 0) == COUNT
    simulation.advance(1)
    assert arrivals(simulation) == [-1] * COUNT


def test_tcp_follows_a_rate_that_drops_and_comes_back() -> None:
    """In a second at a tenth of the rate a tenth is delivered, and nothing is unaccounted for."""
    simulation = start(both_ways("l", rate_bps=10**8, queue_bytes=QUEUE), bulk(1, connection("l")))
    before = run_for(simulation, 2)
    changing.set_rate(simulation.world, simulation.link_names.index("l>"), 10**7, QUEUE)
    slow = run_for(simulation, 2)
    changing.set_rate(simulation.world, simulation.link_names.index("l>"), 10**8, QUEUE)
    again = run_for(simulation, 2)

    def rate(samples: Samples) -> float:
        values, times = samples.flows[:, 0, DELIVERED], samples.times_ns
        half = len(times) // 2
        return float((values[-1] - values[half]) * 8 * SECOND / (times[-1] - times[half]))

    share = 1448 / 1514
    assert rate(before) == pytest.approx(share * 10**8, rel=0.02)
    assert rate(slow) == pytest.approx(share * 10**7, rel=0.02)
    assert rate(again) == pytest.approx(share * 10**8, rel=0.02)
