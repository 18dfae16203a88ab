"""A thinned series is a true part of what was observed, and stays small."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_node.core.series import SeriesSampler

steps = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 1000)), max_size=300)


def observations(steps: list[tuple[int, int]], start_ns: int = 10**12) -> list[tuple[int, int]]:
    now_ns, value, out = start_ns, 0, []
    for wait_ns, more in steps:
        now_ns += wait_ns
        value += more
        out.append((now_ns, value))
    return out


@given(steps=steps, max_points=st.integers(4, 40))
def test_points_are_observations_in_bounded_number_on_the_grid(
    steps: list[tuple[int, int]], max_points: int
) -> None:
    series = SeriesSampler(interval_ns=100, max_points=max_points)
    seen = observations(steps)
    for now_ns, value in seen:
        series.add(now_ns, value)
    times_ns, values = series.points
    points = list(zip(times_ns, values, strict=True))
    assert len(points) <= max_points
    assert set(points) <= set(seen)
    assert points[:1] == seen[:1]
    assert points[-1:] == seen[-1:]
    cells = [time_ns // series.interval_ns for time_ns in times_ns[1:]]
    assert all(a < b for a, b in pairwise(cells))


@given(steps=steps, max_points=st.integers(4, 40))
def test_the_counter_is_known_to_within_one_interval(
    steps: list[tuple[int, int]], max_points: int
) -> None:
    series = SeriesSampler(interval_ns=100, max_points=max_points)
    seen = observations(steps)
    for now_ns, value in seen:
        series.add(now_ns, value)
    times_ns, values = series.points
    for now_ns, value in seen:
        index = bisect_right(times_ns, now_ns + series.interval_ns) - 1
        assert values[index] >= value


def test_last_observation_of_a_cell_wins_and_the_first_stays() -> None:
    series = SeriesSampler(interval_ns=10)
    for now_ns, value in ((101, 1), (103, 2), (109, 3), (112, 4), (131, 9)):
        series.add(now_ns, value)
    assert series.points == ((101, 109, 112, 131), (1, 3, 4, 9))


@pytest.mark.parametrize("point", [(99, 6), (101, 4)])
def test_going_back_is_refused(point: tuple[int, int]) -> None:
    series = SeriesSampler(interval_ns=10)
    series.add(100, 5)
    with pytest.raises(ValueError, match="went back"):
        series.add(*point)


@pytest.mark.parametrize("arguments", [{"interval_ns": 0}, {"max_points": 3}])
def test_senseless_settings_are_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        SeriesSampler(**arguments)
