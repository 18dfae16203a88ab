"""One figure of the runs against one limit, group by group (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sentinel_sim.evidence.coverage import covered
from sentinel_sim.evidence.statistics import Reading, Tested, all_above, all_below
from sentinel_sim.evidence.verdict import Outcome, Verdict
from sentinel_sim.evidence.view import Group, Run, counted, interval_text, keys_of, number


@dataclass(frozen=True, slots=True)
class Wanted:
    """One figure against one limit; `over_rtt`: the figure is divided by the base RTT."""

    claim: str
    part: str
    path: tuple[str, ...]
    limit: float
    above: bool
    bound: str
    unit: str
    over_rtt: bool = False


def _value(run: Run, wanted: Wanted) -> float | None:
    value = number(run, *wanted.path)
    if value is None or not wanted.over_rtt:
        return value
    rtt = number(run, "requested", "rtt_s")
    return value / rtt if rtt else None


def judged(group: Group, wanted: Wanted) -> list[Verdict]:
    """The verdict on one arm's runs; none where they lack the figure."""
    readings: list[Reading] = []
    used: list[Run] = []
    for runs in group.points():
        known = [run for run in runs if _value(run, wanted) is not None]
        if known:
            readings.append(Reading([_value(run, wanted) or 0.0 for run in known]))
            used += known
    if not readings:
        return []
    test = all_above if wanted.above else all_below
    return [_said(group, wanted, test(readings, wanted.limit), used, readings)]


def _said(
    group: Group, wanted: Wanted, tested: Tested, used: Sequence[Run], readings: list[Reading]
) -> Verdict:
    few = min(len(one.values) for one in readings) < 2
    why = f"{counted(len(used), 'run')} at {counted(len(readings), 'point')}"
    why += "; the deciding one is shown"
    if tested.outcome is Outcome.UNDECIDED:
        why += (
            ": one run gives no interval, use --repeat 3 or more"
            if few
            else ": the interval contains the bound"
        )
    outcome, why = covered(group, lambda run: _value(run, wanted) is not None, tested.outcome, why)
    return Verdict(
        wanted.claim,
        outcome,
        part=wanted.part,
        arm=group.arm,
        condition=group.condition,
        figure=tested.figure,
        ci=tested.ci,
        unit=wanted.unit,
        bound=wanted.bound,
        limit=wanted.limit,
        text=interval_text(tested.figure or 0.0, tested.ci, wanted.unit),
        n=len(used),
        evidence=keys_of(used),
        why=why,
    )
