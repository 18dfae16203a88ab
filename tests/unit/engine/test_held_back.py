"""What holds a start back in the engine, and packets that the driver carries itself."""

from __future__ import annotations

import pytest
from tests.unit.engine.nets import (
    MS,
    MSS,
    SECOND,
    both_ways,
    bulk,
    connection,
    rate_bps,
    run_for,
    run_to_end,
    start,
)

from sentinel_sim.engine.guests import FULL_PACKET_BYTES, carry
from sentinel_sim.engine.spec import FlowSpec


def test_before_the_first_acknowledgement_a_window_is_64_kib_at_most() -> None:
    way = connection("x", fixed_window=1 << 20, initial_window=400)
    simulation = start(both_ways("x", delay_ns=50 * MS), bulk(1, way))
    # SYN and SYN-ACK take a round trip; what was sent after them is not acknowledged before 200 ms.
    run_for(simulation, 0.190)
    assert simulation.world.conns["nxt"][0] == 65_535 // MSS
    run_for(simulation, 0.100)
    assert simulation.world.conns["nxt"][0] > 400


def test_a_largest_rate_is_kept_and_lifted() -> None:
    simulation = start(both_ways("x"), bulk(1, connection("x")))
    row = simulation.world.conns[0]
    row["pace_most"] = 20e6 / 8 / MSS
    assert rate_bps(run_for(simulation, 2)) == pytest.approx(20e6, rel=0.02)
    row["pace_most"] = 1e15
    assert rate_bps(run_for(simulation, 4)) > 900e6


def test_no_more_is_written_than_was_allowed_until_more_is() -> None:
    simulation = start(both_ways("x"), bulk(1, connection("x")))
    row = simulation.world.conns[0]
    row["write_most"] = 7
    run_for(simulation, 0.5)
    assert (row["written"], row["una"]) == (7, 7)
    row["write_most"] = 12
    simulation.wake("nudge_at", 0, simulation.now_ns)
    run_for(simulation, 0.5)
    assert (row["written"], row["una"]) == (12, 12)


def test_unsent_bytes_are_bounded() -> None:
    simulation = start(both_ways("x"), bulk(1, connection("x")))
    row = simulation.world.conns[0]
    row["unsent_most"] = 100
    for _ in range(50):
        simulation.advance(1)
        assert row["written"] - row["nxt"] <= 100
    assert rate_bps(run_for(simulation, 1)) > 900e6


def test_the_run_stops_before_what_happens_at_an_instant_and_goes_on_alike() -> None:
    def traces(stops: tuple[int, ...]) -> tuple[int, ...]:
        simulation = start(both_ways("x"), FlowSpec(1, (connection("x"),), size_bytes=3_000_000))
        for stop_ns in stops:
            simulation.run_to(stop_ns)
            assert simulation.now_ns == stop_ns
        samples = run_to_end(simulation)
        return tuple(int(value) for value in samples.flows.ravel())

    assert traces(()) == traces((1, 5 * MS, 5 * MS + 1, 9_999_999))
    with pytest.raises(ValueError, match="does not lie"):
        start(both_ways("x"), bulk(1, connection("x"))).run_to(10 * MS)


@pytest.mark.parametrize("ahead", [True, False])
def test_a_carried_packet_takes_its_time_and_is_accounted_for(ahead: bool) -> None:
    links = both_ways("x", rate_bps=10_000_000, queue_bytes=100_000)
    simulation = start(links, bulk(1, connection("x")))
    run_for(simulation, 1)
    world, there = simulation.world, simulation.link_names.index("x>")
    free = int(world.links["free"][there])
    backlog_ns = free - simulation.now_ns
    assert backlog_ns > 20 * MS, "the queue must be long for this test"
    left_ns = carry(world, there, 1000, ahead=ahead, lost=False)
    assert left_ns is not None
    takes_ns, full_ns = 1000 * 800, FULL_PACKET_BYTES * 800
    assert int(world.links["free"][there]) == pytest.approx(free + takes_ns, abs=2)
    waited_ns = left_ns - simulation.now_ns - takes_ns
    assert waited_ns == pytest.approx(full_ns if ahead else backlog_ns, abs=2)
    simulation.verify()
    carry(world, there, 1000, ahead=ahead, lost=True)
    simulation.verify()
    run_for(simulation, 1)


def test_a_carried_packet_is_dropped_where_the_queue_is_full_unless_it_goes_ahead() -> None:
    links = both_ways("x", rate_bps=10_000_000, queue_bytes=3_000)
    simulation = start(links, bulk(1, connection("x")))
    world, there = simulation.world, simulation.link_names.index("x>")
    outcomes = [carry(world, there, 1500, ahead=False, lost=False) for _ in range(5)]
    assert [one is not None for one in outcomes] == [True, True, True, False, False]
    assert carry(world, there, 1500, ahead=True, lost=False) is not None
    simulation.verify()
    assert simulation.now_ns < SECOND
