"""Flows that come, change and go: at any time exactly the rates of a solution from nothing."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel_sim.backends.simulated.flow_kernel import advance
from sentinel_sim.flowlevel.limits import UNLIMITED
from sentinel_sim.flowlevel.maxmin import Int64, max_min_rates_bps
from sentinel_sim.flowlevel.state import Shares, shares_of
from sentinel_sim.flowlevel.traffic import CHANGES, Traffic, traffic_of

Flow = tuple[int, int, int, int, list[int]]
"""Arrival, time there, ramp, limit, links."""


@st.composite
def stories(draw: st.DrawFn, most: int = 60) -> tuple[list[int], list[Flow]]:
    """Capacities, and flows by arrival.

    Small numbers, so that levels tie, links are full to the last bit and some carry nothing.
    """
    count = draw(st.integers(1, 6))
    capacity = draw(st.lists(st.integers(0, most), min_size=count, max_size=count))
    path = st.lists(st.integers(0, count - 1), min_size=1, max_size=4, unique=True)
    bound = st.one_of(st.just(UNLIMITED), st.integers(0, most // 3))
    times = st.integers(0, 20)
    flow = st.tuples(times, st.integers(1, 20), bound, bound, path)
    return capacity, sorted(draw(st.lists(flow, min_size=1, max_size=12)), key=lambda f: f[0])


def arrays(paths: list[list[int]]) -> tuple[Int64, Int64]:
    first = np.array([0, *accumulate(len(path) for path in paths)], np.int64)
    return first, np.array([link for path in paths for link in path], np.int64)


def made(capacity: list[int], flows: list[Flow]) -> tuple[Shares, Traffic]:
    arrival, length, ramp, limit = (np.array([flow[i] for flow in flows]) for i in range(4))
    count = len(flows)
    shares = shares_of(np.array(capacity), *arrays([flow[4] for flow in flows]), UNLIMITED)
    endless, rtt = np.full(count, np.inf), np.full(count, 3)
    return shares, traffic_of(arrival, endless, arrival + length, limit, ramp, rtt)


def from_nothing(shares: Shares, there: list[int]) -> list[int]:
    paths = [shares.links[shares.first[f] : shares.first[f + 1]].tolist() for f in there]
    rates = np.zeros(len(shares.rate), np.int64)
    rates[there] = max_min_rates_bps(shares.capacity, *arrays(paths), shares.limit[there])
    return [int(rate) for rate in rates]


def check(capacity: list[int], flows: list[Flow]) -> None:
    shares, traffic = made(capacity, flows)
    for now in range(1, 45):
        advance()(shares, traffic, now)
        there = [f for f, flow in enumerate(flows) if flow[0] < now and traffic.ended_ns[f] < 0]
        assert shares.rate.tolist() == from_nothing(shares, there)
        load = np.zeros(len(capacity), np.int64)
        for f in there:
            load[flows[f][4]] += shares.rate[f]
        assert shares.load.tolist() == load.tolist()
        assert not shares.inside.any()
        assert (shares.before == -1).all()
    assert (traffic.ended_ns >= 0).all()


@settings(deadline=None, max_examples=200)
@given(stories())
def test_each_change_gives_the_rates_of_a_solution_from_nothing(
    story: tuple[list[int], list[Flow]],
) -> None:
    check(*story)


@settings(deadline=None, max_examples=50)
@given(stories(most=10**9))
def test_also_with_rates_of_real_size(story: tuple[list[int], list[Flow]]) -> None:
    check(*story)


def test_a_change_is_felt_only_as_far_as_it_reaches() -> None:
    # Two full links that share no flow: the fifth flow changes the rates on one of them only.
    flows: list[Flow] = [(0, 9, UNLIMITED, UNLIMITED, [link]) for link in (0, 0, 1, 1)]
    shares, traffic = made([90, 90], [*flows, (5, 9, UNLIMITED, UNLIMITED, [0])])
    advance()(shares, traffic, 5)
    assert shares.rate.tolist() == [45, 45, 45, 45, 0]
    before = int(traffic.tally[CHANGES])
    advance()(shares, traffic, 6)
    assert shares.rate.tolist() == [30, 30, 45, 45, 30]
    assert traffic.tally[CHANGES] - before == 3
