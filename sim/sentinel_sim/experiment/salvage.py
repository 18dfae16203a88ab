"""Reading what there is of a result: of an older or a newer version, damaged, or not finished.

Nothing is written. What is missing is filled with null, so that readers need not ask for every key.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sentinel_sim.errors import ResultError
from sentinel_sim.evidence.judging import judge
from sentinel_sim.experiment import rawlog, results
from sentinel_sim.experiment.figures import Burstiness, RunMetrics
from sentinel_sim.experiment.files import without_nan
from sentinel_sim.experiment.records import NO_ACHIEVED, Record, record_of, summarise
from sentinel_sim.experiment.results import RESULT_FILE, Result

_BURSTINESS: TypeAdapter[Burstiness] = TypeAdapter(Burstiness)
ABSENT_RUN: dict[str, Any] = {
    **{field.name: None for field in dataclasses.fields(RunMetrics)},
    "key": "unnamed",
    "arm": "unknown",
    "distance_km": None,
    "params": {},
    "repeat": 0,
    "valid": False,
    "invalid_reasons": [],
    "failed_attempts": [],
    "discarded_attempts": [],
    "goodput_bps": None,
    "steady_goodput_bps": None,
    "confirm_latency_s": None,
    "delivered_latency_s": None,
    "bytes_delivered": 0,
    "retransmitted_bytes": 0,
    "exposure_bytes_max": None,
    "cpu": {},
    "requested": {"rtt_s": 0.0, "rate_bps": 0, "loss": 0.0},
    "achieved": NO_ACHIEVED,
    "theory": {"goodput_bps": 0.0, "capacity_bps": 0, "mss_bytes": 1448, "framing": "unknown"},
    "offloads_sha256": None,
    "notes": [],
    "wires": [],
}


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What could be read. `problems` empty: a result of this version, as it was written."""

    result: Result
    problems: tuple[str, ...]


def read(place: Path) -> Salvaged:
    """The result in a directory, or as much of it as can be read.

    A damaged `result.json` is put together again from the raw logs beside it. Raises ResultError
    where nothing is left to show.
    """
    path = place / RESULT_FILE if place.is_dir() else place
    try:
        return Salvaged(whole(results.read_result(place)), ())
    except ResultError as error:
        problem = str(error)
        first = error
    document = _document(path)
    if document is not None and isinstance(document.get("runs"), list):
        return Salvaged(whole(document), (problem, "shown is what this version understands of it"))
    records, unreadable = _from_raw_logs(path.parent)
    if not records:
        raise first
    rebuilt = results.build(
        name=path.parent.name,
        backend="emulated",
        seed=records[0]["seed"],
        environment={"kernel": "unknown", "wire_backend": None, "versions": {}, "commit": None},
        plan={"notes": []},
        records=records,
        complete=False,
    )
    shown = f"shown are the {len(records)} runs of the raw logs"
    return Salvaged(rebuilt, (problem, shown, *unreadable))


def whole(document: Mapping[str, Any]) -> Result:
    """The document with every key that readers use; verdicts and summary where it has none."""
    runs = [_filled(run) for run in document["runs"] if isinstance(run, Mapping)]
    result: Result = {
        "name": "unnamed",
        "backend": "unknown",
        "valid": False,
        "invalid_reasons": [],
        "complete": True,
        "seed": None,
        "environment": {},
        "steady_rule": "unknown",
        "limits": {},
        "plan": {},
        **document,
        "runs": runs,
    }
    if not _usable_summary(document.get("summary"), runs):
        result["summary"] = summarise(runs)
    if not _usable_verdicts(document.get("verdicts")):
        result["verdicts"] = judge(result)
    return result


def _filled(run: Mapping[str, Any]) -> Record:
    filled = {**ABSENT_RUN, **run}
    for key, value in ABSENT_RUN.items():
        if filled[key] is None:
            filled[key] = value
    if not _is_burstiness(filled["burstiness"]):
        filled["burstiness"] = None
        filled["notes"] = [*filled["notes"], "its burstiness cannot be read"]
    for key in ("requested", "achieved", "theory"):
        given = run.get(key)
        filled[key] = {**ABSENT_RUN[key], **(given if isinstance(given, Mapping) else {})}
    return filled


def _is_burstiness(found: object) -> bool:
    """Whether it is absent, or of the shape that the report and the verdict go through."""
    if found is None:
        return True
    try:
        _BURSTINESS.validate_python(found)
    except ValidationError:
        return False
    return True


def _usable_summary(summary: object, runs: list[Record]) -> bool:
    """Whether it is there with the keys of this version; an empty one belongs to no runs."""
    wanted = {"arm", "distance_km", "params", "n", "goodput_bps", "steady_goodput_bps"}
    return (
        isinstance(summary, list)
        and bool(summary) == bool(runs)
        and all(
            isinstance(one, Mapping) and {*wanted, "theory_goodput_bps"} <= one.keys()
            for one in summary
        )
    )


def _usable_verdicts(verdicts: object) -> bool:
    return (
        isinstance(verdicts, list)
        and bool(verdicts)
        and all(isinstance(one, Mapping) and "text" in one for one in verdicts)
    )


def _document(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return without_nan(found) if isinstance(found, dict) else None


def _from_raw_logs(directory: Path) -> tuple[list[Record], list[str]]:
    """The runs, and what is wrong with each unreadable log, which hides no other."""
    found, unreadable = [], []
    for path in sorted((directory / rawlog.RAW_FOLDER).glob("*.json.gz")):
        if rawlog.ATTEMPT in path.name:
            continue
        try:
            found.append(record_of(rawlog.read_raw(path)))
        except ResultError as error:
            unreadable.append(f"left out: {error}")
    return found, unreadable
