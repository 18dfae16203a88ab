"""The result directory while an experiment runs: what is there is always complete and readable.

Raw logs are written run by run; `result.json`, which grows with every run, after each run while
that takes little of the time, else now and then. Resuming reads the raw logs.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from sentinel_sim.experiment import rawlog, results
from sentinel_sim.experiment.pool import Finished
from sentinel_sim.experiment.rawlog import RawRun
from sentinel_sim.experiment.records import Record, disturbed, record_of
from sentinel_sim.experiment.schedule import in_order
from sentinel_sim.plan.model import RunSpec
from sentinel_sim.plan.plan import Plan

SIMULATED = "simulated"
"""The name of the backend in virtual time."""
SAVE_SHARE = 0.05
"""Of the time, at most, goes into writing `result.json` while the experiment runs."""
_SPEC: TypeAdapter[RunSpec] = TypeAdapter(RunSpec)


class Journal:
    """Writes every run as soon as it ends: first its raw log, then (see above) the result."""

    def __init__(
        self,
        directory: Path,
        plan: Plan,
        backend: str,
        environment: Mapping[str, Any],
        reused: Mapping[str, RawRun],
    ) -> None:
        self.directory = directory
        self._plan = plan
        self._backend = backend
        self._environment = dict(environment)
        self.records: dict[str, Record] = {
            key: record_of(raw, rawlog.read_discarded(directory, key))
            for key, raw in sorted(reused.items(), key=_started)
        }
        self._disturbed = {key for key, raw in reused.items() if disturbed(raw)}
        self._save_seconds = 0.0
        self._saved_s = time.monotonic()
        results.write_processed(
            directory,
            plan.topology.to_document(),
            {**overview(plan), "seed": plan.seed},
            [_SPEC.dump_python(spec, mode="json") for spec in in_order(plan)],
        )
        self.save(complete=False)

    def add(self, raw: RawRun) -> Record:
        """Write one finished run down; gives its record."""
        key = raw.spec.key
        rawlog.write_raw(self.directory, raw)
        record = record_of(raw, rawlog.read_discarded(self.directory, key))
        self.records.pop(key, None)
        self.records[key] = record
        self._disturbed.discard(key)
        if disturbed(raw):
            self._disturbed.add(key)
        self._save_now_and_then()
        return record

    def add_finished(self, run: Finished) -> None:
        """Write one run down that was made elsewhere."""
        rawlog.write_encoded(self.directory, run.key, run.raw)
        self.records[run.key] = run.record
        self._save_now_and_then()

    def _save_now_and_then(self) -> None:
        if time.monotonic() - self._saved_s >= self._save_seconds / SAVE_SHARE:
            self.save(complete=False)

    def may_be_repeated(self, key: str, attempts: int) -> bool:
        """Whether the host disturbed this run, and fewer than `attempts` were made at it."""
        record = self.records.get(key)
        return (
            record is not None
            and key in self._disturbed
            and 1 + len(record["discarded_attempts"]) < attempts
        )

    def discard(self, key: str) -> None:
        """Put a run aside, to be made again: it is kept among its discarded attempts."""
        rawlog.discard_raw(self.directory, key)
        del self.records[key]
        self._disturbed.discard(key)

    def save(self, *, complete: bool) -> results.Result:
        """Write `result.json` as things stand."""
        began_s = time.monotonic()
        result = results.build(
            name=self._plan.name,
            backend=self._backend,
            seed=self._plan.seed,
            environment=self._environment,
            plan=overview(self._plan),
            records=self._ordered(),
            complete=complete,
        )
        results.write_result(self.directory, result)
        self._saved_s = time.monotonic()
        self._save_seconds = self._saved_s - began_s
        return result

    def _ordered(self) -> list[Record]:
        """As they ran; simulated ones as planned: how many ran at a time must not be seen."""
        if self._backend != SIMULATED:
            return list(self.records.values())
        keys = (spec.key for spec in in_order(self._plan))
        return [self.records[key] for key in keys if key in self.records]


def _started(item: tuple[str, RawRun]) -> int:
    measured = item[1].measurement
    return 0 if measured is None else measured.traffic_start_ns


def overview(plan: Plan) -> dict[str, Any]:
    """The plan in a few keys, for `result.json`."""
    return {
        "arms": [arm.value for arm in plan.arms],
        "combinations": [
            {"distance_km": one.distance_km, "params": dict(one.params)}
            for one in plan.combinations
        ],
        "repeats": dataclasses.asdict(plan.repeats),
        "quick": plan.quick,
        "notes": list(plan.notes),
    }
