"""The tests behind the verdicts (pure).

All intervals are one-sided at `ERROR` = 1 %, so a claim that is false is said to hold in at most
1 % of experiments. Degrees of freedom of a comparison are the smaller group's n - 1, not Welch's
estimate: conservative whatever the two variances are (Mickey and Brown, Ann. Math. Stat. 37,
1966; Hsu 1938).

Power of the test of constancy, five distances, true ratio 1.00, by simulation (see the tests):

    relative sd of a run      n = 2     n = 3     n = 5     n = 10
    0.1 %                      1.00      1.00      1.00      1.00
    0.5 %                      0.41      1.00      1.00      1.00
    1 %                        0.03      1.00      1.00      1.00
    3 %                        0.00      0.20      1.00      1.00
    10 %                       0.00      0.00      0.00      0.48

Power of a figure against a limit (`all_below`, `all_above`), five points, by simulation:

    the mean's distance from the limit, in sd of a run     n = 2     n = 3     n = 5     n = 10
    2                                                       0.00      0.00      0.22      1.00
    5                                                       0.00      0.29      1.00      1.00
    10                                                      0.00      0.98      1.00      1.00
    20                                                      0.10      1.00      1.00      1.00
    50                                                      0.87      1.00      1.00      1.00
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations

from scipy.special import stdtrit  # not scipy.stats: that takes most of a second to import

from sentinel_sim.evidence.verdict import Outcome
from sentinel_sim.plan.stats import mean

ERROR = 0.01
Groups = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Tested:
    """The outcome of a test. `ci` is the interval that was held against the limit."""

    outcome: Outcome
    figure: float | None
    ci: tuple[float, float] | None
    worst: int = 0
    """Index of the group that decides."""


def constant(groups: Groups, limit: float, error: float = ERROR) -> Tested:
    """Is the highest of the groups' true means at most `limit` times the lowest?

    Holds if every ordered pair's ratio is significantly below the limit: an intersection-union
    test, so each pair is tested at the full `error` (Berger, Technometrics 24, 1982). Fails if some
    pair's ratio is significantly above, by Bonferroni over the pairs. Ratios are of geometric
    means, on logarithms; values must be positive. A group of one value has no variance: with one,
    nothing can hold. Raises ValueError with fewer than two groups.
    """
    if len(groups) < 2:
        raise ValueError("constancy needs at least two groups")
    logs = [_Moments.of([math.log(value) for value in group]) for group in groups]
    pairs = list(permutations(logs, 2))
    bounds = [_difference(a, b, error, error / len(pairs)) for a, b in pairs]
    centres = [one.mean for one in logs]
    figure = math.exp(max(centres) - min(centres))
    low, high = max(one[0] for one in bounds), max(one[1] for one in bounds)
    interval = None
    if math.isfinite(high):
        # The ratio of the highest to the lowest mean is at least one by definition.
        interval = (math.exp(min(max(low, 0.0), 700.0)), math.exp(min(high, 700.0)))
    if high < math.log(limit):
        outcome = Outcome.HOLDS
    elif low > math.log(limit):
        outcome = Outcome.FAILS
    else:
        outcome = Outcome.UNDECIDED
    return Tested(outcome, figure, interval, centres.index(min(centres)))


@dataclass(frozen=True, slots=True)
class _Moments:
    """What the tests need of one group."""

    n: int
    mean: float
    variance_of_mean: float
    """NaN with a single value."""

    @classmethod
    def of(cls, values: Sequence[float]) -> _Moments:
        n = len(values)
        return cls(n, mean(values), _variance(values) / n if n > 1 else math.nan)


def _difference(
    one: _Moments, other: _Moments, high_error: float, low_error: float
) -> tuple[float, float]:
    """(lower, upper) limit of the difference of the means, each one-sided."""
    freedom = min(one.n, other.n) - 1
    if freedom < 1:
        return -math.inf, math.inf
    centre = one.mean - other.mean
    spread = math.sqrt(one.variance_of_mean + other.variance_of_mean)
    return centre - _t(freedom, low_error) * spread, centre + _t(freedom, high_error) * spread


@dataclass(frozen=True, slots=True)
class Reading:
    """One value per run of one group; `slack` is how far each may be off by its instrument."""

    values: Sequence[float]
    slack: Sequence[float] = ()

    def shifted(self, sign: int) -> list[float]:
        """The values moved by their slack."""
        slack = self.slack or [0.0] * len(self.values)
        return [value + sign * off for value, off in zip(self.values, slack, strict=True)]


def all_below(readings: Sequence[Reading], limit: float, error: float = ERROR) -> Tested:
    """Is every group's true mean below `limit`?

    Holds if each upper limit is below it with the instrument's slack added; fails if some lower
    limit, slack taken away, is not, by Bonferroni over the groups. Figure and interval are those of
    the group that decides: the clearest failure, else the highest upper limit. Raises ValueError
    without groups.
    """
    if not readings:
        raise ValueError("nothing to test")
    highs = [_limit(one.shifted(+1), error, +1) for one in readings]
    lows = [_limit(one.shifted(-1), error / len(readings), -1) for one in readings]
    if max(lows) >= limit:
        outcome, worst = Outcome.FAILS, lows.index(max(lows))
    else:
        worst = max(range(len(readings)), key=lambda i: (highs[i], mean(readings[i].values)))
        outcome = Outcome.HOLDS if max(highs) < limit else Outcome.UNDECIDED
    ends = lows[worst], highs[worst]
    interval = ends if all(map(math.isfinite, ends)) else None
    return Tested(outcome, mean(readings[worst].values), interval, worst)


def all_above(readings: Sequence[Reading], limit: float, error: float = ERROR) -> Tested:
    """Is every group's true mean above `limit`? As `all_below`, mirrored."""
    mirrored = [Reading([-value for value in one.values], one.slack) for one in readings]
    found = all_below(mirrored, -limit, error)
    figure = None if found.figure is None else -found.figure
    interval = None if found.ci is None else (-found.ci[1], -found.ci[0])
    return Tested(found.outcome, figure, interval, found.worst)


def _limit(values: Sequence[float], error: float, sign: int) -> float:
    if len(values) < 2:
        return sign * math.inf
    half = _t(len(values) - 1, error) * math.sqrt(_variance(values) / len(values))
    return mean(values) + sign * half


def _variance(values: Sequence[float]) -> float:
    centre = mean(values)
    return math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1)


@cache
def _t(freedom: int, error: float) -> float:
    """Student's quantile exceeded with probability `error`."""
    return float(stdtrit(freedom, 1.0 - error))
