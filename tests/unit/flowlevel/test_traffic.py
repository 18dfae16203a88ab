"""Flows over time: laws that a pencil can check, and the same in one step or in many."""

from __future__ import annotations

import numpy as np
import pytest

from sentinel_sim.backends.simulated.flow_kernel import advance
from sentinel_sim.flowlevel.limits import UNLIMITED
from sentinel_sim.flowlevel.state import shares_of
from sentinel_sim.flowlevel.traffic import (
    CHANGES,
    NEVER,
    PEAK,
    Traffic,
    moved_at,
    traffic_of,
)

SECOND = 1_000_000_000
ADVANCE = advance()


def flows(
    arrival_s: list[float],
    bits: list[float],
    *,
    ramp: int = UNLIMITED,
    limit: int = UNLIMITED,
    stop_s: float | None = None,
) -> Traffic:
    count = len(arrival_s)
    return traffic_of(
        np.array([round(at * SECOND) for at in arrival_s], np.int64),
        np.array(bits),
        np.full(count, NEVER if stop_s is None else round(stop_s * SECOND)),
        np.full(count, limit),
        np.full(count, ramp),
        np.full(count, SECOND // 10),
    )


def on_one_link(traffic: Traffic, capacity: int = 1_000) -> list[float]:
    """When each ends, in seconds."""
    count = len(traffic.arrival_ns)
    shares = shares_of(
        np.array([capacity]), np.arange(count + 1), np.zeros(count, np.int64), UNLIMITED
    )
    ADVANCE(shares, traffic, NEVER)
    assert shares.load[0] == 0
    return [float(end) / SECOND for end in traffic.ended_ns]


def test_two_flows_share_and_the_one_left_has_all() -> None:
    # The first moves 500 alone, then both have 500 bit/s until it has its 1000; then 500 are left.
    assert on_one_link(flows([0.0, 0.5], [1_000, 1_000])) == pytest.approx([1.5, 2.0])


def test_a_flow_that_is_cut_off_moves_what_its_rate_gives() -> None:
    traffic = flows([0.0, 0.0], [np.inf, np.inf], stop_s=3)
    assert on_one_link(traffic) == [3.0, 3.0]
    assert traffic.moved_bits.tolist() == pytest.approx([1_500, 1_500])


def test_slow_start_doubles_each_round_trip_until_the_limit() -> None:
    # 100, 200, 400, 800 bit/s for a tenth of a second each, then 1000.
    traffic = flows([0.0], [10 + 20 + 40 + 80 + 50], ramp=100)
    assert on_one_link(traffic) == pytest.approx([0.45])


def test_slow_start_ends_where_the_network_allows_less() -> None:
    traffic = flows([0.0, 0.0], [1_000, 1_000], ramp=1_000)
    assert on_one_link(traffic) == pytest.approx([2.0, 2.0])


@pytest.mark.parametrize("seed", range(3))
def test_in_one_step_or_in_many_and_in_any_network(seed: int) -> None:
    draw = np.random.default_rng(seed)
    count, links = 200, 12
    paths = [draw.permutation(links)[: draw.integers(1, 5)] for _ in range(count)]
    first = np.array([0, *np.cumsum([len(path) for path in paths])])
    capacity = draw.integers(10**5, 10**7, links)
    amounts = draw.pareto(1.3, count) * 1e6 + 1e4

    def run(step_ns: int) -> tuple[Traffic, np.ndarray]:
        shares = shares_of(capacity, first, np.concatenate(paths), UNLIMITED)
        traffic = traffic_of(
            np.sort(np.random.default_rng(seed).integers(0, SECOND, count)),
            amounts,
            np.full(count, NEVER),
            np.full(count, 3 * 10**6),
            np.full(count, 10**5),
            np.full(count, SECOND // 50),
        )
        now = 0
        seen = [np.zeros(count)]
        while (traffic.ended_ns < 0).any():
            now += step_ns
            ADVANCE(shares, traffic, now)
            seen.append(moved_at(shares, traffic, now))
            assert (seen[-1] >= seen[-2] - 1e-6).all()
        return traffic, seen[-1]

    whole, moved = run(1_000 * SECOND)
    parts, _ = run(SECOND // 7)
    assert whole.ended_ns.tolist() == parts.ended_ns.tolist()
    assert moved == pytest.approx(amounts)
    assert 1 < whole.tally[PEAK] <= count
    assert whole.tally[CHANGES] > count
