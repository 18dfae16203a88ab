"""Named random streams, and intervals against Student's table."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_sim.plan.seeds import derive, stream
from sentinel_sim.plan.stats import ci95, estimate, mean


def test_a_stream_depends_on_seed_and_name_only() -> None:
    first = stream(7, "link", "a", "b", "loss")
    stream(7, "other").random()
    again = stream(7, "link", "a", "b", "loss")
    assert [first.random() for _ in range(5)] == [again.random() for _ in range(5)]


@given(st.integers(0, 2**62), st.integers(0, 2**62), st.text(max_size=5), st.text(max_size=5))
def test_other_seeds_and_names_give_other_streams(a: int, b: int, x: str, y: str) -> None:
    assert (derive(a, x) == derive(b, y)) == ((a, x) == (b, y))
    assert 0 <= derive(a, x) < 2**62


def test_names_are_not_glued_together() -> None:
    assert derive(1, "ab", "c") != derive(1, "a", "bc")
    assert derive(1, "1") != derive(1, 1)


def test_the_derivation_is_fixed_so_that_old_results_can_be_repeated() -> None:
    # printf "(7, 'run', 'tuned_100km_r0')" | sha256sum: the first 64 bits, without the last two
    assert derive(7, "run", "tuned_100km_r0") == 3884229286680487158


@pytest.mark.parametrize(("n", "quantile"), [(2, 12.706), (3, 4.303), (6, 2.571), (11, 2.228)])
def test_intervals_use_student_s_quantiles(n: int, quantile: float) -> None:
    values = [100.0 + (-1) ** index for index in range(n)]
    centre = sum(values) / n
    deviation = math.sqrt(sum((value - centre) ** 2 for value in values) / (n - 1))
    interval = ci95(values)
    assert interval is not None
    half = quantile * deviation / math.sqrt(n)
    assert interval == pytest.approx((centre - half, centre + half), rel=1e-4)


def test_one_value_has_no_interval_and_none_no_mean() -> None:
    assert ci95([5.0]) is None
    assert estimate([5.0]).half_width_share is None
    with pytest.raises(ValueError, match="no values"):
        mean([])


def test_share_of_the_mean() -> None:
    share = estimate([90.0, 110.0]).half_width_share
    assert share == pytest.approx(12.706 * math.sqrt(200) / math.sqrt(2) / 100, rel=1e-4)
    assert estimate([0.0, 0.0]).half_width_share is None


@given(st.lists(st.floats(1e3, 1e12), min_size=2, max_size=20))
def test_the_interval_holds_the_mean(values: list[float]) -> None:
    result = estimate(values)
    assert result.ci95 is not None
    low, high = result.ci95
    assert low <= result.mean <= high
