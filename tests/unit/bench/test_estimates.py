"""Ratios and differences of pairs."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_sim.bench.estimates import difference, figure, quantile, ratio, unpaired_ratio

positive = st.floats(1e-3, 1e6)


@given(st.lists(positive, min_size=2, max_size=8), positive)
def test_a_constant_factor_is_found_exactly_whatever_drifts(base: list[float], k: float) -> None:
    found = ratio([k * value for value in base], base)
    assert found is not None
    assert found.ci95 is not None
    assert found.mean == pytest.approx(k)
    assert found.ci95 == pytest.approx((k, k))


def test_ratio_against_a_hand_calculation() -> None:
    # Logarithms 0 and ln 4: mean ln 2, standard error ln 2, t(1) at 97.5 % = 12.706.
    found = ratio([1.0, 4.0], [1.0, 1.0])
    assert found is not None
    assert found.ci95 is not None
    assert found.mean == pytest.approx(2.0)
    assert math.log(found.ci95[1] / 2) == pytest.approx(12.706 * math.log(2), rel=1e-4)


def test_what_is_not_positive_has_no_ratio_and_one_pair_no_interval() -> None:
    assert ratio([1.0, 0.0], [1.0, 1.0]) is None
    assert ratio([], []) is None
    single = ratio([3.0], [2.0])
    assert single is not None
    assert single.ci95 is None
    with pytest.raises(ValueError, match=r"shorter|longer"):
        ratio([1.0], [1.0, 2.0])


def test_differences_and_means() -> None:
    found = difference([3.0, 5.0, 4.0], [1.0, 2.0, 3.0])
    assert found is not None
    assert found.mean == 2.0
    assert found.n == 3
    assert figure([]) is None


def test_welch_against_a_published_kind_of_case() -> None:
    found = unpaired_ratio([2.0, 2.0, 2.0], [1.0, 1.0])
    assert found is not None
    assert found.ci95 == pytest.approx((2.0, 2.0))
    spread = unpaired_ratio([1.9, 2.1, 2.0], [0.9, 1.1, 1.0])
    assert spread is not None
    assert spread.ci95 is not None
    assert spread.ci95[0] < spread.mean < spread.ci95[1]
    assert unpaired_ratio([1.0], [0.0]) is None


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=60), st.floats(0.01, 1))
def test_quantile_has_its_share_at_or_below(values: list[int], share: float) -> None:
    ordered = sorted(values)
    found = quantile(ordered, share)
    assert found in ordered
    assert sum(v <= found for v in ordered) >= share * len(ordered) - 1e-9
    assert sum(v < found for v in ordered) < share * len(ordered) + 1e-9
