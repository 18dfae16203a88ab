"""What became worse from one result to another (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from scipy.special import stdtrit

from sentinel_sim.evidence.verdict import headlines
from sentinel_sim.plan.stats import CONFIDENCE

ERROR = 0.05
"""Of a false alarm over all comparisons of two results together."""


class Compared(Protocol):
    """A ratio of second over first; `pairs` repeats behind its interval."""

    @property
    def ratio(self) -> float | None: ...
    @property
    def ci95(self) -> tuple[float, float] | None: ...
    @property
    def pairs(self) -> int: ...


T = TypeVar("T", bound=Compared)


def drops(ratios: Sequence[T], error: float = ERROR) -> list[T]:
    """Those significantly below one, one-sided, by Bonferroni over all of them.

    The standard error is taken back out of the 95 % interval, which is Student's on the logarithms.
    With many comparisons a single 95 % interval below one is expected by chance.
    """
    tested = [one for one in ratios if one.ratio and one.ci95 and one.pairs > 1]
    return [one for one in tested if _upper(one, error / len(tested)) < 0.0]


def _upper(one: Compared, error: float) -> float:
    """Upper limit of the logarithm of the ratio."""
    if not one.ratio or one.ci95 is None:
        return math.inf
    freedom = one.pairs - 1
    half = (math.log(one.ci95[1]) - math.log(one.ci95[0])) / 2
    spread = half / float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
    return math.log(one.ratio) + float(stdtrit(freedom, 1 - error)) * spread


def changed(first: Sequence[dict[str, Any]], second: Sequence[dict[str, Any]]) -> list[str]:
    """`claim: holds -> fails`, for every claim whose verdict differs."""
    return [
        f"{one.claim.id}: {one.verdict} -> {other.verdict}"
        for one, other in zip(headlines(first), headlines(second), strict=True)
        if one.verdict is not other.verdict
    ]
