"""The zero-loss search, against a lane whose capacity is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_sim.bench.search import Probe, Throughput, ThroughputSearch

SECONDS = 0.4


def trial(pps: float, capacity_pps: float, generator_pps: float, queue: int = 0) -> Probe:
    """A lane that forwards `capacity_pps`, holds `queue` packets and loses the rest."""
    made = min(pps, generator_pps)
    sent = round(made * SECONDS)
    through = min(sent, round(capacity_pps * SECONDS))
    waiting = min(sent - through, queue)
    return Probe(
        asked_pps=pps,
        achieved_pps=made,
        sent=sent,
        received=through + waiting,
        drain_ns=round(waiting / capacity_pps * 1e9),
        duration_ns=round(SECONDS * 1e9),
    )


def searched(
    capacity_pps: float, *, generator_pps: float = 1e9, queue: int = 0, resolution: float = 0.05
) -> Throughput:
    search = ThroughputSearch(2e6, 100, resolution)
    for _ in range(100):
        pps = search.next_rate_pps()
        if pps is None:
            return search.result()
        search.record(trial(pps, capacity_pps, generator_pps, queue))
    raise AssertionError("the search does not end")


@given(st.floats(500, 1.9e6), st.sampled_from([0.02, 0.05, 0.1]))
def test_finds_the_capacity_to_the_resolution(capacity_pps: float, resolution: float) -> None:
    found = searched(capacity_pps, resolution=resolution)
    # Counts are whole packets: half a packet in a trial more or less passes as well.
    slack = 1 + 2 / (capacity_pps * SECONDS)
    assert capacity_pps / (1 + resolution) / slack <= found.pps <= capacity_pps * slack
    assert found.bound_by == "lane"


@given(st.floats(500, 1e6), st.floats(1.1, 10))
def test_says_when_the_generator_was_the_limit(generator_pps: float, headroom: float) -> None:
    found = searched(generator_pps * headroom, generator_pps=generator_pps)
    assert found.bound_by == "generator"
    assert found.pps == pytest.approx(generator_pps)


def test_a_deep_queue_does_not_hide_overload() -> None:
    found = searched(50_000, queue=1_000_000)
    assert found.pps <= 50_000 * 1.06


def test_one_interruption_does_not_fail_a_rate() -> None:
    search = ThroughputSearch(2e6, 100, 0.05)
    interrupted = 0
    while (pps := search.next_rate_pps()) is not None:
        probe = trial(pps, 200_000, 1e9)
        if probe.sustained and interrupted == 0 and pps < 1e6:
            interrupted = 1
            probe = Probe(pps, pps, probe.sent, probe.sent - 40, 0, probe.duration_ns)
        search.record(probe)
    assert interrupted == 1
    assert 200_000 / 1.05 <= search.result().pps <= 200_100


def test_a_lane_that_passes_nothing_has_no_rate() -> None:
    search = ThroughputSearch(1000, 100, 0.1)
    for _ in range(200):
        pps = search.next_rate_pps()
        if pps is None:
            break
        search.record(Probe(pps, pps, 400, 0, 0, 400_000_000))
    found = search.result()
    assert found.pps == 0
    assert found.bound_by == "search"


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="no rates between"):
        ThroughputSearch(100, 100, 0.1)
    with pytest.raises(ValueError, match="resolution"):
        ThroughputSearch(1000, 100, 0)
