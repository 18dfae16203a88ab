"""Burstiness by hop from bins of known content."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.experiment.support import measurement, spec

from sentinel_sim.backends.base import LinkBins
from sentinel_sim.experiment.burst_metrics import burstiness_of, cut_notes, queue_delays_s

MS = 1_000_000


def bins(offered: list[int], departed: list[int], link: str = "l", way: str = "a->b") -> LinkBins:
    return LinkBins(link, way, 0, MS, tuple(offered), tuple(departed))


def test_a_burst_waits_as_long_as_the_queue_needs_for_it() -> None:
    # 1000 B in one bin, of which 100 B leave in each of the next ten: half of them wait 5 ms.
    found = queue_delays_s(bins([0, 1000] + [0] * 10, [0, 0] + [100] * 10))
    assert found is not None
    mean_s, percentiles = found
    assert mean_s == pytest.approx(0.0055, abs=1e-4)
    assert percentiles.p50 == pytest.approx(0.0055, abs=1e-3)
    assert percentiles.p99 == pytest.approx(0.010, abs=1e-3)


def test_what_leaves_at_once_waits_for_nothing() -> None:
    found = queue_delays_s(bins([7, 0, 9, 3], [7, 0, 9, 3]))
    assert found is not None
    assert found[0] == 0.0


@pytest.mark.parametrize("departed", [[50, 0], [0, 0]])
def test_where_bytes_did_not_come_out_nobody_knows_which_ones_waited(departed: list[int]) -> None:
    assert queue_delays_s(bins([100, 0], departed)) is None


@given(st.lists(st.integers(0, 9), min_size=2, max_size=40), st.integers(0, 10))
def test_a_shift_of_all_bytes_is_the_delay(counts: list[int], shift: int) -> None:
    if not any(counts):
        counts[0] = 1
    found = queue_delays_s(bins(counts + [0] * shift, [0] * shift + counts))
    assert found is not None
    assert found[0] == pytest.approx(shift * 1e-3)


def test_every_hop_sees_the_same_traffic_moved_by_propagation() -> None:
    run = spec()
    path, links = run.paths[0], {one.name: one for one in run.links}
    rng = np.random.default_rng(1)
    measured = measurement(run)
    start = (measured.traffic_start_ns) // MS
    sending = (max(flow.send_end_ns or 0 for flow in measured.flows) // MS) - start
    # A probe long before the traffic is none of it.
    traffic = np.concatenate([[74], np.zeros(start - 1), rng.poisson(3.0, sending) * 1500])
    silence = np.zeros(1000)
    moved_ns, counted = 0, []
    for name, node in zip(path.links, path.nodes[:-1], strict=True):
        link = links[name]
        way = f"{node}->{link.b if node == link.a else link.a}"
        at = moved_ns // MS
        seen = np.concatenate([silence[:at], traffic, silence]).astype(int).tolist()
        counted.append(bins(seen, seen, name, way))
        moved_ns += link.delay_one_way_ns
    found = burstiness_of(run, dataclasses.replace(measured, bins=tuple(counted)))
    assert found is not None
    assert [point.queues for point in found.points] == list(range(len(path.links) + 1))
    assert found.window_s == pytest.approx(0.8 * sending / 1000, abs=0.01)
    assert len({point.scales for point in found.points}) == 1
    assert found.points[0].scales[0].variation == pytest.approx(3**-0.5, rel=0.1)
    assert found.points[1].queue_delay_mean_s == 0.0


def test_what_was_not_asked_for_or_is_too_short_is_absent() -> None:
    run = spec()
    assert burstiness_of(run, measurement(run)) is None
    name, node = run.paths[0].links[0], run.paths[0].nodes[0]
    few = bins([1500] * 10, [1500] * 10, name, f"{node}->{run.paths[0].nodes[1]}")
    cut = dataclasses.replace(measurement(run), bins=(few,))
    assert burstiness_of(run, cut) is None
    assert ["0.01 s only" in note for note in cut_notes(cut)] == [True]
    sent_bins = max(flow.send_end_ns or 0 for flow in cut.flows) // MS
    whole = bins([1500] * sent_bins, [1500] * sent_bins, name, few.direction)
    assert not cut_notes(dataclasses.replace(measurement(run), bins=(whole,)))
    assert not cut_notes(measurement(run))
