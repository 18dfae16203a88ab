"""The benchmark's result: `bench-<UTC>/bench.json`, rewritten whole after every phase.

Schema sentinel-sim/bench/1: `settings`, `environment`, raw samples (`agreement`, `costs`, `live`,
`generator`, `throughput`, `trials`, `flow_checks`), and what follows from them (`lanes`, `claims`,
`verdicts`). Readers ignore keys they do not know.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sentinel_sim.bench.claims import judge, overall
from sentinel_sim.bench.lanes import COPIES
from sentinel_sim.bench.schedule import Settings
from sentinel_sim.bench.search import DRAIN_LEAST_NS, DRAIN_SHARE, KEPT_UP_SHARE
from sentinel_sim.bench.summary import rows_of
from sentinel_sim.experiment.files import read_json, without_nan, write_json

BENCH_SCHEMA = "sentinel-sim/bench/1"
BENCH_FILE = "bench.json"
TRAFFIC = (
    "UDP in IPv4, frames of 128 bytes, one way, so no RTT in the trials; the program cost is"
    " measured with TCP in both directions, timestamps and acknowledgements included"
)

Result = dict[str, Any]


@dataclass
class Records:
    """Raw samples, as they come in."""

    agreement: list[dict[str, object]] = field(default_factory=list)
    costs: list[dict[str, object]] = field(default_factory=list)
    live: list[dict[str, object]] = field(default_factory=list)
    generator: list[dict[str, object]] = field(default_factory=list)
    throughput: list[dict[str, Any]] = field(default_factory=list)
    trials: list[dict[str, object]] = field(default_factory=list)
    flow_checks: list[dict[str, object]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    """Spent so far, by kind of step."""


def build(
    settings: Settings,
    equal_pps: int | None,
    environment: Mapping[str, Any],
    records: Records,
    *,
    complete: bool,
) -> Result:
    """The whole result as a JSON value (pure)."""
    reasons = invalid_reasons(records, complete=complete)
    result: Result = {
        "schema": BENCH_SCHEMA,
        "name": "bench",
        "complete": complete,
        "valid": not reasons,
        "invalid_reasons": reasons,
        "environment": dict(environment),
        "settings": {
            **dataclasses.asdict(settings),
            "lanes": [str(lane) for lane in settings.lanes],
            "equal_pps": equal_pps,
            "traffic": TRAFFIC,
        },
        "rules": {
            "drain_share": DRAIN_SHARE,
            "drain_least_ns": DRAIN_LEAST_NS,
            "kept_up_share": KEPT_UP_SHARE,
            "copies": {str(lane): dataclasses.asdict(COPIES[lane]) for lane in settings.lanes},
        },
        **dataclasses.asdict(records),
    }
    result["lanes"] = rows_of(result) if equal_pps is not None else []
    parts = judge(result, result["lanes"]) if equal_pps is not None else []
    result["claims"] = [part.as_json() for part in parts]
    result["verdicts"] = overall(parts)
    clean: Result = without_nan(result)
    return clean


def invalid_reasons(records: Records, *, complete: bool) -> list[str]:
    """Why the figures must not be believed; none: they may."""
    reasons = [] if complete else ["the benchmark did not finish"]
    for one in records.agreement:
        if not one["agrees"]:
            reasons.append(
                f"{one['lane']} and the Python reference differ in"
                f" {int(str(one['flows'])) - int(str(one['equal']))} of {one['flows']} flows"
            )
    for one in records.flow_checks:
        if not one["agrees"]:
            lost = int(str(one["packets"])) - int(str(one["received"]))
            reasons.append(
                f"{one['variant']} counted {one['flows_right']} of {one['flows_sent']} flows right"
                + (f"; {lost} packets were lost in each of {one['attempts']} walks" * (lost > 0))
            )
    variants = {str(one["variant"]) for one in records.trials}
    for variant in sorted(variants):
        mine = [one for one in records.trials if one["variant"] == variant]
        if not any(one["sound"] for one in mine):
            reasons.append(f"{variant}: none of {len(mine)} trials at equal rate was sound")
    return reasons


def write_bench(directory: Path, result: Result) -> Path:
    """Write `bench.json`."""
    return write_json(directory / BENCH_FILE, result)


def read_bench(place: Path) -> Result:
    """Read a result directory or a `bench.json`. Raises ResultError with the reason."""
    return read_json(place, BENCH_FILE, schema=BENCH_SCHEMA, verb="bench")
