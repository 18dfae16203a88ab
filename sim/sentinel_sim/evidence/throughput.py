"""`throughput-constant`: is goodput the same at every distance? (pure)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sentinel_sim.evidence.coverage import covered
from sentinel_sim.evidence.statistics import Tested, constant
from sentinel_sim.evidence.verdict import Outcome, Verdict
from sentinel_sim.evidence.view import Group, Run, View, counted, interval_text, keys_of, number

CLAIM = "throughput-constant"
LIMIT = 1.1 / 0.9
"""Highest over lowest mean, when all lie within ±10 % of one value."""
NAMED_KM = (100.0, 1000.0, 5000.0, 10000.0, 20000.0)
"""The distances that the claim names: it can hold only where all were measured."""
BOUND = "highest / lowest mean <= 1.22"
METRICS = {
    "goodput_bps": "goodput, start-up included",
    "steady_goodput_bps": "steady goodput",
}

Points = Mapping[float, Sequence[Run]]


def judge(view: View) -> list[Verdict]:
    """Per arm and condition: one verdict on goodput, one on steady goodput where that exists."""
    found = []
    for group in view.groups:
        for metric, part in METRICS.items():
            points = _measured(group, metric)
            if points or metric == "goodput_bps":
                found.append(_verdict(view, group, part, metric, points))
    return found


def _measured(group: Group, metric: str) -> Points:
    """The valid runs that have the figure, by distance."""
    kept = {
        km: [run for run in runs if (number(run, metric) or 0.0) > 0]
        for km, runs in group.by_distance().items()
    }
    return {km: runs for km, runs in kept.items() if runs}


def _verdict(view: View, group: Group, part: str, metric: str, points: Points) -> Verdict:
    runs = [run for km in points for run in points[km]]
    outcome, why, tested = Outcome.UNDECIDED, "", None
    if len(points) < 2:
        why = "goodput is known at fewer than two distances"
    else:
        tested = constant([[number(r, metric) or 0.0 for r in points[km]] for km in points], LIMIT)
        decided = _decide(view, group, points, tested)
        outcome, why = covered(group, lambda run: (number(run, metric) or 0.0) > 0, *decided)
    left_out = group.invalid_count
    if left_out:
        why += f"; {counted(left_out, 'invalid run')} left out"
    return Verdict(
        CLAIM,
        outcome,
        part=part,
        arm=group.arm,
        condition=group.condition,
        figure=None if tested is None else tested.figure,
        ci=None if tested is None else tested.ci,
        unit="times",
        bound=BOUND,
        limit=LIMIT,
        text="not measured" if tested is None else interval_text(tested.figure or 0.0, tested.ci),
        n=len(runs),
        evidence=keys_of(runs),
        why=why,
    )


def _decide(view: View, group: Group, points: Points, tested: Tested) -> tuple[Outcome, str]:
    """Outcome and reason, before what the group lacks."""
    counts = sorted({len(runs) for runs in points.values()})
    times = counted(counts[-1], "run")
    times = times if len(counts) == 1 else f"{counts[0]} to {times}"
    lowest = list(points)[tested.worst]
    said = f"lowest at {lowest:,.0f} km; {times} at each of {len(points)} distances"
    if tested.ci is not None and tested.ci[0] == tested.ci[1]:
        said += "; repeats are equal to the last digit (deterministic), so n does not count"
    if counts[0] < 2 and tested.outcome is not Outcome.FAILS:
        return Outcome.UNDECIDED, f"{said}: one run gives no interval, use --repeat 3 or more"
    if tested.outcome is Outcome.UNDECIDED:
        return Outcome.UNDECIDED, f"{said}: the interval contains the bound, repeat more often"
    if view.quick:
        return Outcome.UNDECIDED, f"{said}; a quick run is too short for this claim"
    if tested.outcome is Outcome.HOLDS and (missing := _missing(points)):
        return Outcome.UNDECIDED, f"{said}: constant there, but not measured at {missing} km"
    return tested.outcome, said


def _missing(points: Points) -> str:
    return ", ".join(f"{km:,.0f}" for km in NAMED_KM if km not in points)
