"""Ratios and differences of paired trials, with 95 % intervals (pure).

A pair is two trials made right after each other, so that what changes slowly (a neighbour on the
host, the clock of the CPU) changes both. Ratios are averaged as logarithms: the geometric mean, and
an interval that cannot reach below zero (Fleming and Wallace, CACM 29 (1986), on averaging ratios).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import stdtrit

from sentinel_sim.plan.stats import CONFIDENCE, ci95, interval, mean

JUDGED_CONFIDENCE = 0.98
"""Of intervals that verdicts go by: an error of 1 % on the claim's side."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over `n` values and its intervals; None where one value allows none."""

    mean: float
    ci95: tuple[float, float] | None
    n: int
    ci98: tuple[float, float] | None = None
    """Verdicts are judged by it: 1 % on either side. None where no verdict was foreseen."""

    def as_json(self) -> dict[str, object]:
        """For a result file."""
        return {
            "mean": self.mean,
            "ci95": None if self.ci95 is None else list(self.ci95),
            "n": self.n,
            "ci98": None if self.ci98 is None else list(self.ci98),
        }


def figure(values: Sequence[float]) -> Figure | None:
    """Arithmetic mean and Student's interval; None without values."""
    if not values:
        return None
    return Figure(mean(values), ci95(values), len(values), interval(values, JUDGED_CONFIDENCE))


def difference(values: Sequence[float], baseline: Sequence[float]) -> Figure | None:
    """Mean of the pairwise differences. Raises ValueError if the lengths differ."""
    return figure([a - b for a, b in zip(values, baseline, strict=True)])


def ratio(values: Sequence[float], baseline: Sequence[float]) -> Figure | None:
    """Geometric mean of the pairwise ratios; None if any value is not positive.

    Raises ValueError if the lengths differ.
    """
    pairs = list(zip(values, baseline, strict=True))
    if not pairs or any(a <= 0 or b <= 0 for a, b in pairs):
        return None
    return _exponential(figure([math.log(a / b) for a, b in pairs]))


def unpaired_ratio(values: Sequence[float], baseline: Sequence[float]) -> Figure | None:
    """Ratio of two geometric means from separate runs, by Welch's interval on the logarithms.

    (B. L. Welch, Biometrika 34, 1947.) None if any value is not positive; no interval where a side
    has one value. `n` is the smaller number of values.
    """
    if not values or not baseline or min(*values, *baseline) <= 0:
        return None
    sides = [[math.log(value) for value in side] for side in (values, baseline)]
    centre = mean(sides[0]) - mean(sides[1])
    n = min(len(values), len(baseline))
    ends = None if n < 2 else _welch(centre, sides[0], sides[1])
    return _exponential(Figure(centre, ends, n))


def _welch(centre: float, one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    squares = [_variance(side) / len(side) for side in (one, other)]
    total = sum(squares)
    if total == 0.0:
        return centre, centre
    freedom = total**2 / sum(
        square**2 / (len(side) - 1) for square, side in zip(squares, (one, other), strict=True)
    )
    half = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * math.sqrt(total)
    return centre - half, centre + half


def _variance(values: Sequence[float]) -> float:
    centre = mean(values)
    return math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1)


def _exponential(logs: Figure | None) -> Figure | None:
    if logs is None:
        return None
    return Figure(math.exp(logs.mean), _raised(logs.ci95), logs.n, _raised(logs.ci98))


def _raised(ends: tuple[float, float] | None) -> tuple[float, float] | None:
    if ends is None:
        return None
    # An interval from two pairs can be wider than a float's exponent reaches.
    low, high = (min(max(bound, -700.0), 700.0) for bound in ends)
    return math.exp(low), math.exp(high)


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value with at least `share` of all at or below it. Raises ValueError if empty.

    (Definition 1 of Hyndman and Fan, The American Statistician 50, 1996: a value that occurred.)
    """
    if not ordered:
        raise ValueError("no values")
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
