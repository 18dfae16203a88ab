"""Taking over the finished runs of an interrupted experiment, or refusing with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sentinel_sim.errors import ResultError
from sentinel_sim.experiment import rawlog, results
from sentinel_sim.experiment.rawlog import RawRun
from sentinel_sim.experiment.schedule import in_order
from sentinel_sim.plan.plan import Plan


def refuse_unlike(
    directory: Path, environment: Mapping[str, Any], keys: tuple[str, ...] = results.POOL_KEYS
) -> None:
    """Raise ResultError where runs made now could not be pooled with those in `directory`."""
    recorded = results.read_result(directory)["environment"]
    differences = results.unlike(recorded, environment, keys)
    if differences:
        raise ResultError(
            f"{directory}: cannot be resumed, its runs and new ones are unlike: "
            + "; ".join(differences),
            cure="start a new experiment: leave --resume out",
        )


def finished_runs(directory: Path, plan: Plan) -> dict[str, RawRun]:
    """The measured runs in `directory` that the plan asks for, unchanged to the last value.

    A run that failed is not finished, and one whose specification changed is made again.
    """
    wanted = {spec.key: rawlog.spec_sha256(spec) for spec in in_order(plan)}
    return {
        key: raw
        for key, raw in rawlog.read_all(directory).items()
        if raw.measurement is not None and wanted.get(key) == raw.spec_sha256
    }
