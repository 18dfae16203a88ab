"""Which run comes next, and how many are probably left (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sentinel_sim.experiment.records import Record
from sentinel_sim.plan.model import RunSpec
from sentinel_sim.plan.plan import Plan


def in_order(plan: Plan) -> Iterator[RunSpec]:
    """Every run that the plan allows at most, in the order of execution."""
    for repeat in range(plan.repeats.at_most):
        yield from plan.runs(repeat)


def is_due(plan: Plan, spec: RunSpec, records: Mapping[str, Record]) -> bool:
    """Must this run be made, given what earlier repeats found?

    The first `at_least` repeats always; a later one while the valid runs of its arm and
    combination are too few or spread too widely.
    """
    if spec.repeat < plan.repeats.at_least:
        return True
    return plan.needs_more(spec.arm, plan.combination_of(spec), _goodputs(plan, spec, records))


def _goodputs(plan: Plan, spec: RunSpec, records: Mapping[str, Record]) -> list[float]:
    combination = plan.combination_of(spec)
    siblings = (
        run
        for repeat in range(spec.repeat)
        for run in plan.runs(repeat)
        if run.arm == spec.arm and plan.combination_of(run) == combination
    )
    found = (records.get(run.key) for run in siblings)
    return [
        float(record["goodput_bps"])
        for record in found
        if record is not None and record["valid"] and record["goodput_bps"] is not None
    ]


def remaining(plan: Plan, records: Mapping[str, Record]) -> list[RunSpec]:
    """The runs that will be made if nothing more is found out: an estimate for time left.

    Repeats beyond the minimum count once per combination that is still too wide.
    """
    return [
        spec
        for spec in in_order(plan)
        if spec.key not in records
        and spec.repeat <= plan.repeats.at_least
        and is_due(plan, spec, records)
        and (spec.repeat < plan.repeats.at_least or _minimum_done(plan, spec, records))
    ]


def _minimum_done(plan: Plan, spec: RunSpec, records: Mapping[str, Record]) -> bool:
    combination = plan.combination_of(spec)
    return all(
        run.key in records
        for repeat in range(plan.repeats.at_least)
        for run in plan.runs(repeat)
        if run.arm == spec.arm and plan.combination_of(run) == combination
    )
