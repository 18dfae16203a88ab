"""The schedule: mirrored order, expected time, a rate that everybody carries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_sim.bench.display import TimeLeft
from sentinel_sim.bench.lanes import FORWARD, Mode
from sentinel_sim.bench.schedule import (
    EQUAL_PPS_MOST,
    Kind,
    equal_rate,
    expected_s,
    full_settings,
    quick_settings,
    steps_of,
)


@pytest.mark.parametrize("mode", list(Mode))
def test_a_run_takes_less_than_ten_minutes_and_a_quick_one_less_than_one(mode: Mode) -> None:
    assert expected_s(full_settings(mode, None, 1)) < 600
    assert expected_s(quick_settings(mode, None, 1)) < 60


def test_each_block_goes_through_all_variants_and_back() -> None:
    steps = [s for s in steps_of(full_settings(Mode.ALL, None, 1)) if s.kind is Kind.TRIAL]
    for flows in (1, 1_000, 64_000):
        for block in {s.number for s in steps}:
            halves = [
                [s.variant for s in steps if (s.flows, s.number, s.half) == (flows, block, half)]
                for half in (0, 1)
            ]
            assert halves[0] == halves[1][::-1]
            assert not halves[0] or FORWARD in halves[0]


def test_rates_are_searched_before_the_equal_rate_is_needed() -> None:
    kinds = [step.kind for step in steps_of(quick_settings(Mode.ALL, None, 1))]
    assert max(i for i, k in enumerate(kinds) if k is Kind.THROUGHPUT) < kinds.index(Kind.TRIAL)


@given(st.floats(2, 1e7))
def test_the_equal_rate_is_round_and_carried_by_all(slowest_pps: float) -> None:
    rate = equal_rate(slowest_pps)
    assert rate <= min(slowest_pps / 2, EQUAL_PPS_MOST)
    assert str(rate).rstrip("0") in ("1", "2", "5")
    assert rate > min(slowest_pps / 2, EQUAL_PPS_MOST) / 2.51


def test_no_rate_is_left_below_two() -> None:
    with pytest.raises(ValueError, match="no rate"):
        equal_rate(1.9)


def test_time_left_learns_from_what_the_steps_took() -> None:
    steps = steps_of(quick_settings(Mode.ALL, None, 1))
    left = TimeLeft()
    total = sum(step.seconds for step in steps)
    assert left.seconds(0, steps, 100.0) == pytest.approx(total)
    half = len(steps) // 2
    done = sum(step.seconds for step in steps[:half])
    assert left.seconds(half, steps, 100.0 + 2 * done) == pytest.approx(2 * (total - done))
