"""The JSON form of runs and their summary (pure; the fixed core is in design: section 9).

A record is what `result.json` says of one run. It is a function of the raw log alone, so resume
and re-computation give the same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from sentinel_sim.backends.base import RunMeasurement
from sentinel_sim.experiment.burst_metrics import cut_notes
from sentinel_sim.experiment.figures import RunMetrics
from sentinel_sim.experiment.files import without_nan
from sentinel_sim.experiment.framing import theory_of
from sentinel_sim.experiment.gate import judge, timing_reasons
from sentinel_sim.experiment.metrics import compute, requested_of
from sentinel_sim.experiment.rawlog import RawRun
from sentinel_sim.plan.stats import ci95

Record = dict[str, Any]
"""One run in the result file."""

NO_ACHIEVED: dict[str, Any] = {
    "rtt_s": {"idle": None, "loaded_p50": None},
    "rate_bps": None,
    "loss": None,
    "lateness_s": None,
}
POOLED = ("goodput_bps", "steady_goodput_bps", "exposure_bytes_max")


def record_of(raw: RawRun, discarded: Sequence[RawRun] = ()) -> Record:
    """What the result says of this run; an invalid or failed one says why.

    `discarded`: the attempts at this run before this one, which the host disturbed.
    """
    return {**_record_of(raw), "discarded_attempts": [_discarded(one) for one in discarded]}


def disturbed(raw: RawRun) -> bool:
    """Invalid, but only by what a busy host can cause: may be made again."""
    if raw.measurement is None:
        return False
    metrics = compute(raw.spec, raw.measurement)
    reasons = judge(raw.spec, raw.measurement, metrics)
    return bool(reasons) and reasons == timing_reasons(raw.spec, raw.measurement, metrics)


def _discarded(raw: RawRun) -> Record:
    record = _record_of(raw)
    kept = ("invalid_reasons", "goodput_bps", "steady_goodput_bps", "achieved", "cpu")
    return {key: record[key] for key in kept}


def _record_of(raw: RawRun) -> Record:
    if raw.measurement is None:
        return _failed(raw)
    metrics = compute(raw.spec, raw.measurement)
    reasons = judge(raw.spec, raw.measurement, metrics)
    figures = dataclasses.asdict(metrics)
    record = {
        **_identity(raw),
        "valid": not reasons,
        "invalid_reasons": list(reasons),
        **{key: figures[key] for key in figures if key not in ("wires",)},
        "cpu": _cpu(raw.measurement),
        "offloads_sha256": digest(raw.measurement.offloads, raw.run_id),
        "notes": [*raw.measurement.notes, *cut_notes(raw.measurement)],
        "wires": figures["wires"],
        "faults": [dataclasses.asdict(event) for event in raw.measurement.faults],
        "repairs": [dataclasses.asdict(event) for event in raw.measurement.repairs],
        "resumptions": [dataclasses.asdict(event) for event in raw.measurement.resumptions],
    }
    clean: Record = without_nan(record)
    return clean


def _identity(raw: RawRun) -> Record:
    spec = raw.spec
    return {
        "key": spec.key,
        "arm": spec.arm.value,
        "distance_km": spec.distance_km,
        "params": dict(spec.params),
        "repeat": spec.repeat,
        "seed": spec.seed,
        "spec_sha256": raw.spec_sha256,
        "failed_attempts": list(raw.errors),
    }


def _failed(raw: RawRun) -> Record:
    spec = raw.spec
    absent = {field.name: None for field in dataclasses.fields(RunMetrics)}
    return {
        **_identity(raw),
        "valid": False,
        "invalid_reasons": [f"the run failed: {error}" for error in raw.errors[-1:]],
        **absent,
        "bytes_sent": 0,
        "bytes_delivered": 0,
        "retransmitted_bytes": 0,
        "requested": dataclasses.asdict(requested_of(spec)),
        "achieved": NO_ACHIEVED,
        "theory": dataclasses.asdict(theory_of(spec)),
        "cpu": {},
        "offloads_sha256": None,
        "notes": [],
        "wires": [],
        "faults": [],
        "repairs": [],
        "resumptions": [],
    }


def _cpu(measured: RunMeasurement) -> dict[str, Any]:
    # Everything that may differ between equal runs lives here and in `environment`.
    return {
        **measured.cpu,
        "rss_bytes_max": dict(measured.rss_bytes_max),
        "started_utc": measured.started_utc,
    }


def digest(value: Any, run_id: str = "") -> str:  # noqa: ANN401  any JSON value
    """Short identity of a JSON value, whatever the order of its keys and the sitting's run id."""
    return hashlib.sha256(canonical(value, run_id).encode()).hexdigest()[:16]


def canonical(value: Any, run_id: str = "") -> str:  # noqa: ANN401  any JSON value
    """A JSON value as text; `run_id`, which interface names carry, is replaced by `RUN`."""
    text = json.dumps(without_nan(value), sort_keys=True, default=str)
    return text.replace(run_id, "RUN") if run_id else text


def group_of(record: Record) -> tuple[str, float | None, str]:
    """Runs with equal groups are repeats of each other."""
    params = json.dumps(record["params"], sort_keys=True)
    return record["arm"], record["distance_km"], params


def summarise(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Mean and 95 % interval per (arm, distance, params), over the valid runs only.

    A group without a valid run is listed with n = 0. Runs whose offloads differ are unlike and
    are not pooled: such a group has no mean, and `unpooled` says why.
    """
    groups: dict[tuple[str, float | None, str], list[Record]] = {}
    for record in records:
        groups.setdefault(group_of(record), []).append(record)
    return [_summary(found) for found in groups.values()]


def _summary(records: Sequence[Record]) -> dict[str, Any]:
    valid = [record for record in records if record["valid"]]
    unlike = len({record["offloads_sha256"] for record in valid}) > 1
    pooled = [] if unlike else valid
    return {
        "arm": records[0]["arm"],
        "distance_km": records[0]["distance_km"],
        "params": records[0]["params"],
        "n": len(pooled),
        "n_invalid": len(records) - len(valid),
        **{name: _estimate([record[name] for record in pooled]) for name in POOLED},
        "theory_goodput_bps": records[0]["theory"]["goodput_bps"],
        "unpooled": "the runs had different offloads (see the raw logs)" if unlike else None,
    }


def _estimate(values: Sequence[float | None]) -> dict[str, Any]:
    known = [value for value in values if value is not None]
    if not known:
        return {"n": 0, "mean": None, "ci95": None}
    interval = ci95(known) if len(known) > 1 else None
    return {
        "n": len(known),
        "mean": sum(known) / len(known),
        "ci95": None if interval is None else list(interval),
    }
