"""`smooth-1.5N`: does a chain of intermediates smooth by 1.5 a stage? (pure)

Stage n is the n-th intermediate with the queue behind it: its input is what comes out of the queue
before it, its output what the next node gets. The factor of n stages is the ratio of the
coefficients of variation of the bytes in blocks of one length. What the sender's own link does to
the sender's bursts comes before the first stage, and is no part of the claim.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sentinel_sim.evidence.coverage import covered
from sentinel_sim.evidence.statistics import Reading, Tested, all_above
from sentinel_sim.evidence.verdict import Outcome, Verdict
from sentinel_sim.evidence.view import Group, Run, View, counted, interval_text, keys_of
from sentinel_sim.plan.stats import ci95, mean

CLAIM = "smooth-1.5N"
CLAIMED_BASE = 1.5
LIMIT = 0.9 * CLAIMED_BASE
NAMED_STAGES = 10
"""The claim can hold only where so many were measured: over few stages other laws come close."""
SCALES_S = (0.001, 0.01, 0.1)
BOUND = ">= 1.35 a stage (1.5 less 10 %)"
LEAST_VARIATION = 1e-6
"""Below this nothing is left to smooth, and a ratio would be one of rounding errors."""

LAWS: Mapping[str, Callable[[int], float]] = {
    "1": lambda stages: 1.0,
    "N^(1/4)": lambda stages: stages**0.25,
    "1.5^N": lambda stages: CLAIMED_BASE**stages,
}
"""Smoothing factor by number of stages: min-plus theory, averaging equal windows, the claim."""

Factors = tuple[float, ...]
"""Smoothing factor of 1, 2 ... N stages of one run."""


def judge(view: View) -> list[Verdict]:
    """Per arm and condition one verdict for each length of block."""
    return [
        _verdict(group, scale_s)
        for group in view.groups
        if any(run.get("burstiness") for run in group.valid)
        for scale_s in SCALES_S
    ]


def factors_of(run: Run, scale_s: float) -> Factors | None:
    """Variation before stage 1 over that behind stage 1, 2 ... N; None where it is not known."""
    points = (run.get("burstiness") or {}).get("points") or ()
    found = [scale_of(point, scale_s) for point in points if point["queues"] > 0]
    variations = [float(scale["variation"]) for scale in found if scale is not None]
    known = [value for value in variations if value > LEAST_VARIATION]
    if len(known) < 2 or len(known) < len(found):
        return None
    return tuple(known[0] / value for value in known[1:])


def scale_of(point: Mapping[str, Any], scale_s: float) -> Mapping[str, Any] | None:
    """What a point of `burstiness` has of blocks of one length; None if it has nothing."""
    scales = point.get("scales") or ()
    return next((one for one in scales if math.isclose(one["time_s"], scale_s)), None)


def overall_base(factors: Factors) -> float:
    """Geometric mean of the factors of single stages."""
    return math.exp(math.log(factors[-1]) / len(factors))


def tail_base(factors: Factors) -> float:
    """The same over the last half of the stages, where laws that flatten have flattened."""
    half = len(factors) // 2
    before = math.log(factors[half - 1]) if half else 0.0
    return math.exp((math.log(factors[-1]) - before) / (len(factors) - half))


def _verdict(group: Group, scale_s: float) -> Verdict:
    points = [
        [(run, found) for run in runs if (found := factors_of(run, scale_s))]
        for runs in group.points()
    ]
    known = [one for point in points for one in point]
    part = f"variation before / behind a stage, blocks of {scale_s * 1000:g} ms"
    if not known:
        return Verdict(
            CLAIM,
            Outcome.UNDECIDED,
            part=part,
            arm=group.arm,
            condition=group.condition,
            bound=BOUND,
            limit=LIMIT,
            why="the runs are too short for blocks of that length, or nothing in them varies",
        )
    runs = [run for run, _ in known]
    stages = min(len(found) for _, found in known)
    tested = bases_above([[found[:stages] for _, found in point] for point in points if point])
    outcome, why = covered(
        group, lambda run: factors_of(run, scale_s) is not None, *_decide(tested, stages)
    )
    if group.invalid_count:
        why += f"; {counted(group.invalid_count, 'invalid run')} left out"
    ci = None if tested.ci is None else (math.exp(tested.ci[0]), math.exp(tested.ci[1]))
    figure = math.exp(tested.figure or 0.0)
    return Verdict(
        CLAIM,
        outcome,
        part=part,
        arm=group.arm,
        condition=group.condition,
        figure=figure,
        ci=ci,
        unit="times",
        bound=BOUND,
        limit=LIMIT,
        text=interval_text(figure, ci),
        n=len(runs),
        evidence=keys_of(runs),
        why=why,
    )


def bases_above(points: Sequence[Sequence[Factors]]) -> Tested:
    """Are both bases above the limit at every point of the sweep? On logarithms.

    The worst decides; the index of the overall base is even, that of the tail's odd.
    """
    readings = [
        Reading([math.log(base(one)) for one in factors])
        for factors in points
        for base in (overall_base, tail_base)
    ]
    return all_above(readings, math.log(LIMIT))


def _decide(tested: Tested, stages: int) -> tuple[Outcome, str]:
    over = "the last half of the stages" if tested.worst % 2 else "all stages"
    if tested.outcome is Outcome.FAILS:
        return tested.outcome, f"over {over} of {stages} the factor a stage is below the bound"
    if tested.outcome is Outcome.HOLDS and stages < NAMED_STAGES:
        why = f"{counted(stages, 'stage')} measured; over fewer than {NAMED_STAGES} laws that"
        return Outcome.UNDECIDED, f"{why} flatten look alike"
    if tested.outcome is Outcome.HOLDS:
        return tested.outcome, f"above the bound over {stages} stages, and over their last half"
    return tested.outcome, f"the interval over {over} reaches both sides of the bound"


@dataclass(frozen=True, slots=True)
class Stage:
    """What the first `stages` intermediates do together; intervals are of 95 %, over runs."""

    stages: int
    factor: float
    factor_ci: tuple[float, float] | None
    step: float
    """Of this stage alone."""
    step_ci: tuple[float, float] | None


def stages_of(factors: Sequence[Factors]) -> list[Stage]:
    """Factor and step ratio of each stage over runs of equal chains."""
    found = []
    for index in range(min(len(one) for one in factors)):
        totals = [one[index] for one in factors]
        steps = [one[index] / one[index - 1] if index else one[0] for one in factors]
        found.append(Stage(index + 1, *_over_runs(totals), *_over_runs(steps)))
    return found


def _over_runs(values: Sequence[float]) -> tuple[float, tuple[float, float] | None]:
    logs = [math.log(value) for value in values]
    interval = ci95(logs) if len(logs) > 1 else None
    ends = None if interval is None else (math.exp(interval[0]), math.exp(interval[1]))
    return math.exp(mean(logs)), ends


@dataclass(frozen=True, slots=True)
class Laws:
    """Laws beside the mean logarithm of the factor over all N.

    A residual is the root of the mean squared difference of logarithms: 0.01 is about 1 %.
    """

    base: float
    """Fitted: of base^N."""
    base_ci: tuple[float, float] | None
    """95 %, over runs."""
    power: float
    """Fitted: of N^power."""
    residuals: Mapping[str, float]
    """By law: the two fitted ones `base^N` and `N^power`, then `1`, `N^(1/4)`, `1.5^N`."""


def laws_of(factors: Sequence[Factors]) -> Laws:
    """The two fitted by least squares on logarithms, through 1 at no stage, and those given."""
    stages = stages_of(factors)
    ns = [float(one.stages) for one in stages]
    logs = [math.log(one.factor) for one in stages]
    ranks = [math.log(n) for n in ns]
    slopes = [_slope(ns, [math.log(one) for one in run[: len(ns)]]) for run in factors]
    interval = ci95(slopes) if len(slopes) > 1 else None
    base, power = _slope(ns, logs), _slope(ranks, logs)
    laws = {
        "base^N": [base * n for n in ns],
        "N^power": [power * rank for rank in ranks],
        **{name: [math.log(law(one.stages)) for one in stages] for name, law in LAWS.items()},
    }
    return Laws(
        math.exp(base),
        None if interval is None else (math.exp(interval[0]), math.exp(interval[1])),
        power,
        {name: _residual(logs, fitted) for name, fitted in laws.items()},
    )


def _slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Of the line through the origin."""
    squares = math.fsum(x * x for x in xs)
    return math.fsum(x * y for x, y in zip(xs, ys, strict=True)) / squares if squares else 0.0


def _residual(ys: Sequence[float], fitted: Sequence[float]) -> float:
    return math.sqrt(mean([(y - f) ** 2 for y, f in zip(ys, fitted, strict=True)]))
