"""Which run comes next, and how many are probably left (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sentinel_sim.experiment.records import Record
from sentinel_sim.plan.model import RunSpec
from sentinel_sim.plan.plan import Plan, run_key


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
    found = (records.get(key) for key in _keys(plan, spec, spec.repeat))
    return [
        float(record["goodput_bps"])
        for record in found
        if record is not None and record["valid"] and record["goodput_bps"] is not None
    ]


def _keys(plan: Plan, spec: RunSpec, repeats: int) -> Iterator[str]:
    """The first `repeats` runs of the same arm and combination."""
    combination = plan.combination_of(spec)
    return (run_key(spec.arm, combination, repeat) for repeat in range(repeats))


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
    return all(key in records for key in _keys(plan, spec, plan.repeats.at_least))
