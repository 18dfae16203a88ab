"""Max-min fair rates: optimal, within capacity, independent of order; limits by their laws."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from sentinel_sim.flowlevel.limits import UNLIMITED, Segment, chain_limit_bps, segment_limit_bps
from sentinel_sim.flowlevel.maxmin import max_min_rates_bps

Network = tuple[list[int], list[list[int]], list[int]]


@st.composite
def networks(draw: st.DrawFn) -> Network:
    capacity = draw(st.lists(st.integers(0, 10_000), min_size=1, max_size=6))
    path = st.lists(st.integers(0, len(capacity) - 1), min_size=1, max_size=4, unique=True)
    paths = draw(st.lists(path, max_size=12))
    limit = st.one_of(st.just(UNLIMITED), st.integers(0, 3_000))
    return capacity, paths, draw(st.lists(limit, min_size=len(paths), max_size=len(paths)))


def rates_of(capacity: list[int], paths: list[list[int]], limits: list[int]) -> list[int]:
    first = np.array([0, *accumulate(len(path) for path in paths)])
    links = np.array([link for path in paths for link in path], np.int64)
    solved = max_min_rates_bps(np.array(capacity), first, links, np.array(limits, np.int64))
    return [int(rate) for rate in solved]


@settings(deadline=None)
@given(networks())
def test_each_flow_is_at_its_limit_or_among_the_largest_on_a_saturated_link(net: Network) -> None:
    capacity, paths, limits = net
    rates = rates_of(*net)
    users = [[f for f, path in enumerate(paths) if k in path] for k in range(len(capacity))]
    spare = [c - sum(rates[f] for f in who) for c, who in zip(capacity, users, strict=True)]
    assert min(spare) >= 0
    for flow, rate in enumerate(rates):
        assert rate <= limits[flow]
        assert rate == limits[flow] or any(
            spare[k] < len(users[k]) and rate == max(rates[f] for f in users[k])
            for k in paths[flow]
        )


@settings(deadline=None)
@given(networks(), st.randoms(use_true_random=False))
def test_the_order_of_flows_and_links_changes_nothing(net: Network, chance: object) -> None:
    capacity, paths, limits = net
    names, turn = list(range(len(capacity))), list(range(len(paths)))
    chance.shuffle(names)  # type: ignore[attr-defined]
    chance.shuffle(turn)  # type: ignore[attr-defined]
    renamed = [0] * len(capacity)
    for old, new in enumerate(names):
        renamed[new] = capacity[old]
    shuffled = rates_of(
        renamed, [[names[k] for k in reversed(paths[f])] for f in turn], [limits[f] for f in turn]
    )
    rates = rates_of(*net)
    assert shuffled == [rates[f] for f in turn]


def reference(capacity: list[int], paths: list[list[int]], limits: list[int]) -> list[float]:
    """By linear programs: raise the least rate of all open flows, fix who cannot have more."""
    fixed: dict[int, float] = {}
    rows = np.array([[float(k in path) for path in paths] for k in range(len(capacity))])
    while len(fixed) < len(paths):
        free = [f for f in range(len(paths)) if f not in fixed]
        room = np.array(capacity) - sum((rows[:, f] * r for f, r in fixed.items()), np.zeros(1))
        load = rows[:, free].sum(axis=1, keepdims=True)
        bound = min(limits[f] for f in free)
        used = load[:, 0] > 0  # full links without open flows differ from 0 by rounding
        level = linprog([-1.0], A_ub=load[used], b_ub=room[used], bounds=(0, bound)).x[0]
        tight = [k for k in range(len(capacity)) if load[k] and room[k] - level * load[k] < 1e-6]
        for f in free:
            if limits[f] - level < 1e-6 or set(tight) & set(paths[f]):
                fixed[f] = level
    return [fixed[f] for f in range(len(paths))]


@pytest.mark.parametrize("seed", range(10))
def test_rates_are_those_of_linear_programs(seed: int) -> None:
    draw = np.random.default_rng(seed)
    capacity = draw.integers(10**8, 10**9, 6).tolist()
    paths = [draw.permutation(6)[: draw.integers(1, 4)].tolist() for _ in range(15)]
    limits = np.where(draw.random(15) < 0.3, draw.integers(10**6, 10**8, 15), 10**10).tolist()
    assert rates_of(capacity, paths, limits) == pytest.approx(
        reference(capacity, paths, limits), rel=1e-6
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"first": [0, 1]}, "number of hops"),
        ({"links": [0, 5]}, "must lie in"),
        ({"links": [0, 0]}, "twice"),
        ({"limit_bps": [1, 2]}, "2 values for 1"),
        ({"capacity_bps": [-1, 5]}, "capacity_bps"),
    ],
)
def test_arrays_that_contradict_each_other_are_refused(
    change: dict[str, list[int]], words: str
) -> None:
    given_arrays = {"capacity_bps": [5, 5], "first": [0, 2], "links": [0, 1]}
    arrays = {name: np.array(value) for name, value in {**given_arrays, **change}.items()}
    with pytest.raises(ValueError, match=words):
        max_min_rates_bps(**arrays)


def test_limits_follow_the_window_law_and_the_response_functions() -> None:
    window = Segment(rtt_ns=100_000_000, window_bytes=1_250_000)
    assert segment_limit_bps(window) == 100_000_000
    assert segment_limit_bps(Segment(rtt_ns=1)) == UNLIMITED
    # Windows in segments by RFC 9438 for C = 0.4, RTT 0.1 s: 1.2 / sqrt(p), 1.054 (R / p)^0.75.
    for loss, reno, cubic in ((1e-4, 120, 187), (1e-6, 1_200, 5_927)):
        for control, segments in (("reno", reno), ("cubic", cubic)):
            segment = Segment(100_000_000, loss, mss_bytes=1250, control=control)
            assert segment_limit_bps(segment) == pytest.approx(segments * 1e5, rel=0.03)


def test_a_split_flow_is_as_fast_as_its_slowest_segment() -> None:
    short, long = Segment(10_000_000, 1e-3), Segment(40_000_000, 1e-3)
    assert chain_limit_bps([short, long]) == segment_limit_bps(long) < segment_limit_bps(short)
