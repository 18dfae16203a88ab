"""The tests behind the verdicts, on experiments whose truth is known (seeded)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from sentinel_sim.evidence.statistics import ERROR, Reading, all_above, all_below, constant
from sentinel_sim.evidence.throughput import LIMIT
from sentinel_sim.evidence.verdict import Outcome

TRIALS = 1000
Noise = Callable[[np.random.Generator, float, int], np.ndarray]


def normal(random: np.random.Generator, sd: float, n: int) -> np.ndarray:
    return np.exp(random.normal(0.0, sd, n))


def one_outlier(random: np.random.Generator, sd: float, n: int) -> np.ndarray:
    """Every tenth run lost half of its goodput to something."""
    found = normal(random, sd, n)
    found[random.random(n) < 0.1] *= 0.5
    return found


def until_narrow(random: np.random.Generator, sd: float, n: int) -> np.ndarray:
    """The runner's stop rule: two runs, a third only if the 95 % interval is wider than 5 %."""
    found = normal(random, sd, 3)
    half = 12.706 * abs(found[1] - found[0]) / 2
    return found[:2] if half < 0.05 * found[:2].mean() else found


def said(
    truths: list[float], noise: Noise, sds: list[float], n: int, seed: int = 6
) -> dict[Outcome, float]:
    """Share of each outcome over `TRIALS` experiments with these true goodputs."""
    random = np.random.default_rng(seed)
    counts = dict.fromkeys(Outcome, 0)
    for _ in range(TRIALS):
        groups = [list(t * noise(random, sd, n)) for t, sd in zip(truths, sds, strict=True)]
        counts[constant(groups, LIMIT).outcome] += 1
    return {outcome: count / TRIALS for outcome, count in counts.items()}


MOST_BY_CHANCE = float(stats.binom.ppf(0.999, TRIALS, ERROR)) / TRIALS
"""What a test with an error of exactly 1 % exceeds once in a thousand such series."""


@pytest.mark.parametrize(
    ("truths", "noise", "sds", "n"),
    [
        # Just outside the bound: the hardest case, with little, much and unequal noise.
        ([1.0, LIMIT * 1.0001], normal, [0.01, 0.01], 3),
        ([1.0, LIMIT * 1.0001], normal, [0.001, 0.08], 3),
        ([1.0, LIMIT * 1.0001], normal, [0.05, 0.05], 2),
        ([1.0, LIMIT * 1.0001], normal, [0.03, 0.03], 10),
        ([1.0, LIMIT * 1.0001], until_narrow, [0.05, 0.05], 3),
        ([1.0, LIMIT * 1.0001], until_narrow, [0.004, 0.02], 3),
        ([1.0, 1.05, 1.1, 1.2, LIMIT * 1.0001], normal, [0.02] * 5, 3),
        # An outlier in the longest distance's runs pulls the mean, and widens the interval more.
        ([1.0, 1 / (LIMIT * 1.0001)], one_outlier, [0.01, 0.01], 5),
        # 1/RTT.
        ([1.0, 0.1, 0.02, 0.01, 0.005], one_outlier, [0.2] * 5, 3),
    ],
)
def test_a_false_holds_is_as_rare_as_stated(
    truths: list[float], noise: Noise, sds: list[float], n: int
) -> None:
    assert said(truths, noise, sds, n)[Outcome.HOLDS] <= MOST_BY_CHANCE


@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_false_fails_is_as_rare_as_stated(n: int) -> None:
    edge = [1.0, 1.05, 1.1, 1.15, LIMIT]
    assert said(edge, normal, [0.02, 0.01, 0.03, 0.02, 0.02], n)[Outcome.FAILS] <= MOST_BY_CHANCE


POWER = {  # (relative sd, n) -> the table in the module's docstring, five distances, all equal
    (0.005, 2): 0.41,
    (0.01, 3): 1.00,
    (0.03, 3): 0.20,
    (0.03, 5): 1.00,
    (0.1, 10): 0.48,
}


@pytest.mark.parametrize(("sd", "n"), sorted(POWER))
def test_power_is_as_stated(sd: float, n: int) -> None:
    found = said([1.0] * 5, normal, [sd] * 5, n)
    assert found[Outcome.HOLDS] == pytest.approx(POWER[sd, n], abs=0.05)
    assert found[Outcome.FAILS] == 0.0


def test_goodput_that_falls_with_rtt_fails_with_three_runs() -> None:
    found = said([1.0, 0.1, 0.02, 0.01, 0.005], normal, [0.02] * 5, 3)
    assert found[Outcome.FAILS] > 0.99


def test_one_value_allows_nothing() -> None:
    assert constant([[1.0], [1.0, 1.0]], LIMIT).outcome is Outcome.UNDECIDED
    assert constant([[1.0], [200.0]], LIMIT).ci is None
    with pytest.raises(ValueError, match="two groups"):
        constant([[1.0, 1.0]], LIMIT)


def test_the_figure_is_the_ratio_of_geometric_means() -> None:
    found = constant([[1.0, 4.0], [8.0, 8.0]], LIMIT)
    assert found.figure == pytest.approx(4.0)
    assert found.worst == 0


def test_bounds_take_the_instruments_slack_against_both_sides() -> None:
    exact = Reading([0.90, 0.91, 0.90])
    assert all_below([exact], 1.0).outcome is Outcome.HOLDS
    blurred = Reading([0.90, 0.91, 0.90], [0.2, 0.2, 0.2])
    assert all_below([blurred], 1.0).outcome is Outcome.UNDECIDED
    assert all_below([Reading([1.1, 1.11, 1.1], [0.2] * 3)], 1.0).outcome is Outcome.UNDECIDED
    assert all_below([exact, Reading([5.0, 5.1, 5.0])], 1.0).outcome is Outcome.FAILS
    assert all_above([Reading([2.0, 2.1, 2.0])], 1.0).outcome is Outcome.HOLDS
    assert all_above([Reading([-2.0, -2.1, -2.0])], 0.0).outcome is Outcome.FAILS
    assert all_below([Reading([0.1])], 1.0).outcome is Outcome.UNDECIDED


def test_a_bound_is_held_falsely_as_rarely_as_stated() -> None:
    random = np.random.default_rng(3)
    readings = [
        [Reading(list(random.normal(mu, 0.05, 3))) for mu in (0.5, 1.0)] for _ in range(TRIALS)
    ]
    held = sum(all_below(one, 1.0).outcome is Outcome.HOLDS for one in readings)
    assert held / TRIALS <= MOST_BY_CHANCE


@pytest.mark.parametrize(
    ("away_sd", "n", "power"), [(2, 5, 0.22), (5, 3, 0.29), (10, 3, 0.98), (20, 2, 0.10)]
)
def test_the_power_against_a_limit_is_as_stated(away_sd: float, n: int, power: float) -> None:
    random = np.random.default_rng(6)
    held = sum(
        all_below([Reading(list(random.normal(-away_sd, 1.0, n))) for _ in range(5)], 0.0).outcome
        is Outcome.HOLDS
        for _ in range(TRIALS)
    )
    assert held / TRIALS == pytest.approx(power, abs=0.05)


def test_the_interval_covers_the_truth() -> None:
    random = np.random.default_rng(9)
    truth = math.log(1.3)
    missed = 0
    for _ in range(TRIALS):
        groups = [list(np.exp(random.normal(mu, 0.02, 4))) for mu in (0.0, truth)]
        low, high = constant(groups, LIMIT).ci or (0.0, math.inf)
        missed += not low <= math.exp(truth) <= high
    assert missed / TRIALS <= 2 * MOST_BY_CHANCE
