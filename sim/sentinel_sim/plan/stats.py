"""Means and their 95 % confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import stdtrit  # not scipy.stats: that takes most of a second to import

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean of independent repeats; `ci95` is None where one value allows no interval."""

    n: int
    mean: float
    ci95: tuple[float, float] | None

    @property
    def half_width_share(self) -> float | None:
        """Half of the interval's width / |mean|; None without an interval or around zero."""
        if self.ci95 is None or self.mean == 0.0:
            return None
        return (self.ci95[1] - self.ci95[0]) / 2 / abs(self.mean)


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean of at least one value. Raises ValueError."""
    if not values:
        raise ValueError("the mean of no values does not exist")
    return math.fsum(values) / len(values)


def ci95(values: Sequence[float]) -> tuple[float, float] | None:
    """Two-sided 95 % interval of the mean by Student's t; None for a single value."""
    return interval(values, CONFIDENCE)


def interval(values: Sequence[float], confidence: float) -> tuple[float, float] | None:
    """Two-sided interval of the mean by Student's t; None for a single value.

    Assumes independent, roughly normal repeats (Student, Biometrika 6, 1908).
    """
    n = len(values)
    centre = mean(values)
    if n < 2:
        return None
    variance = math.fsum((value - centre) ** 2 for value in values) / (n - 1)
    quantile = float(stdtrit(n - 1, (1 + confidence) / 2))
    half = quantile * math.sqrt(variance / n)
    return centre - half, centre + half


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and interval of at least one value. Raises ValueError."""
    return Estimate(len(values), mean(values), ci95(values))
