"""The result directory: `result.json`, `processed.yaml`, raw logs. Written once, never edited.

`result.json` is rewritten whole (temporary file, then renamed) while the experiment runs, so a
controller that dies leaves a readable, resumable result with `complete: false`.

Keys beyond the fixed core of design.md section 9 (readers must ignore keys they do not know):
top level `complete`, `invalid_reasons`, `steady_rule`, `limits`, `plan`; per run `key`, `seed`,
`spec_sha256`, `failed_attempts`, `discarded_attempts`,
`latency_resolution_s`, `flow_completion_s`, `theory`, `offloads_sha256`, `notes`, `wires`,
`faults`, `repairs` (see `faults.events`), and
`wire`, `direction`, `samples` in
`achieved.lateness_s`; per summary `n_invalid`, `theory_goodput_bps`, `unpooled`, and `n` in each
estimate; per verdict `part`, `condition`, `ci`, `unit`, `limit`, `text`, `n`, `why`. The JSON
Schema lies beside this module.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from sentinel_sim.errors import ResultError
from sentinel_sim.evidence.judging import judge
from sentinel_sim.experiment.files import read_json, without_nan, write_atomically, write_json
from sentinel_sim.experiment.gate import LIMITS
from sentinel_sim.experiment.metrics import STEADY_RULE
from sentinel_sim.experiment.records import Record, canonical, summarise

RESULT_SCHEMA = "sentinel-sim/result/1"
RESULT_FILE = "result.json"
PROCESSED_FILE = "processed.yaml"
SCHEMA_PATH = Path(__file__).with_name("result-schema.json")

POOL_KEYS = (
    *("kernel", "wire_backend", "engine", "offloads", "commit", "topology_sha256", "bpf_stats"),
)
"""What must be equal before runs of two sittings may stand in one result."""

Result = dict[str, Any]


def build(
    *,
    name: str,
    backend: str,
    seed: int,
    environment: Mapping[str, Any],
    plan: Mapping[str, Any],
    records: Sequence[Record],
    complete: bool,
) -> Result:
    """The whole result as a JSON value (pure). Records keep the order in which they are given."""
    reasons = _invalid_reasons(records, complete=complete)
    result: Result = without_nan(
        {
            "schema": RESULT_SCHEMA,
            "name": name,
            "backend": backend,
            "valid": not reasons,
            "invalid_reasons": reasons,
            "complete": complete,
            "seed": seed,
            "environment": dict(environment),
            "steady_rule": STEADY_RULE,
            "limits": dataclasses.asdict(LIMITS),
            "plan": dict(plan),
            "runs": list(records),
            "summary": summarise(records),
        }
    )
    result["verdicts"] = judge(result)
    return result


def _invalid_reasons(records: Sequence[Record], *, complete: bool) -> list[str]:
    reasons = []
    if not complete:
        reasons.append("the experiment did not finish")
    if not records:
        reasons.append("no run was made")
    invalid = sum(not record["valid"] for record in records)
    if invalid:
        reasons.append(f"{invalid} of {len(records)} runs are invalid")
    return reasons


def write_result(directory: Path, result: Result) -> Path:
    """Write `result.json`; NaN cannot be in it."""
    return write_json(directory / RESULT_FILE, result)


def read_result(directory: Path) -> Result:
    """Read a result directory, or a `result.json`; raises ResultError with the reason."""
    found = read_json(directory, RESULT_FILE, schema=RESULT_SCHEMA, verb="run")
    runs = found.get("runs")
    if not isinstance(runs, list) or not all(isinstance(run, dict) for run in runs):
        raise ResultError(f"{directory}: not a readable result: `runs` is no list of runs")
    return found


def unlike(
    one: Mapping[str, Any], other: Mapping[str, Any], keys: Sequence[str] = POOL_KEYS
) -> list[str]:
    """In what two environments differ so that their runs must not be pooled."""
    return [
        f"{key} was {_brief(one.get(key))} and is {_brief(other.get(key))}"
        for key in keys
        if _comparable(one, key) != _comparable(other, key)
    ]


def _comparable(environment: Mapping[str, Any], key: str) -> str:
    return canonical(environment.get(key), str(environment.get("run_id", "")))


def _brief(value: Any) -> str:  # noqa: ANN401  any JSON value
    text = json.dumps(value, sort_keys=True, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def write_processed(
    directory: Path, topology: Mapping[str, Any], plan: Mapping[str, Any], runs: Sequence[Any]
) -> Path:
    """Write `processed.yaml`: the resolved topology, the plan, and every run of it on one line.

    Runs are written as JSON, which is YAML too: of a sweep there are thousands, and a YAML
    emitter takes a minute for them.
    """
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    text = StringIO()
    yaml.dump(without_nan({"topology": dict(topology), "plan": dict(plan)}), text)
    text.write("  runs:\n" if runs else "  runs: []\n")
    for run in runs:
        line = json.dumps(without_nan(run), allow_nan=False, ensure_ascii=False)
        text.write(f"  - {line}\n")
    path = directory / PROCESSED_FILE
    write_atomically(path, text.getvalue().encode())
    return path
