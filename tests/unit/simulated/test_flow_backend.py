"""Rates instead of packets: near the packet engine, missing where it cannot know, refused else."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.unit.experiment.support import link, small_plan, spec

from sentinel_sim.backends.base import Backend
from sentinel_sim.backends.simulated.backend import SimulatedBackend
from sentinel_sim.backends.simulated.flow_backend import FlowBackend
from sentinel_sim.backends.simulated.flow_translate import refuse
from sentinel_sim.errors import InfeasibleError
from sentinel_sim.experiment.gate import judge
from sentinel_sim.experiment.metrics import compute
from sentinel_sim.experiment.results import SCHEMA_PATH
from sentinel_sim.experiment.runner import Job, run_experiment
from sentinel_sim.plan.model import Arm, FlowPlan, RunSpec

MS = 1_000_000
SECOND = 1_000 * MS


def goodput_bps(backend: Backend, run: RunSpec) -> tuple[float, float]:
    """(goodput, completion in seconds), of a valid run."""
    measured = asyncio.run(backend.run(run, lambda phase, seconds: None))
    metrics = compute(run, measured)
    assert judge(run, measured, metrics) == ()
    assert metrics.goodput_bps is not None
    assert metrics.completion_s is not None
    return metrics.goodput_bps, metrics.completion_s


def many(run: RunSpec, count: int) -> RunSpec:
    flows = tuple(FlowPlan(number, 0, 0, 2_000_000, None) for number in range(count))
    return dataclasses.replace(run, flows=flows)


LOSSY = (link("a--m", loss=0.001), link("m--b"))
CELLS = {
    "rate": (spec(Arm.TUNED), 0.03),
    "window": (dataclasses.replace(spec(Arm.TUNED), window_bytes=65_536), 0.07),
    "eight-flows": (many(spec(Arm.TUNED), 8), 0.12),
    "transfer": (spec(Arm.TUNED, size_bytes=5_000_000), 0.10),
    "transfer-split": (spec(Arm.SPLIT, size_bytes=5_000_000), 0.10),
    "loss": (spec(Arm.TUNED, links=LOSSY, duration_ns=30 * SECOND), 0.40),
}


@pytest.mark.parametrize("cell", CELLS)
def test_rates_are_near_those_of_packets(cell: str) -> None:
    run, tolerance = CELLS[cell]
    flow, packet = goodput_bps(FlowBackend(), run), goodput_bps(SimulatedBackend(), run)
    assert flow == pytest.approx(packet, rel=tolerance)


def result_of(out: Path, seed: int) -> dict[str, Any]:
    job = Job(
        plan=small_plan(repeats=1, seed=seed),
        backend=FlowBackend,
        environment={"kernel": "none", "commit": None, "versions": {}},
        out=out,
        now=lambda: datetime(2026, 1, 2, tzinfo=UTC),
    )
    outcome = asyncio.run(run_experiment(job))
    assert outcome.result is not None
    return outcome.result


def test_what_rates_cannot_tell_is_missing_and_the_rest_is_there(tmp_path: Path) -> None:
    result = result_of(tmp_path, 1)
    assert result["valid"], [run["invalid_reasons"] for run in result["runs"]]
    jsonschema.validate(result, json.loads(SCHEMA_PATH.read_text()))
    assert result["environment"]["engine"] == "flow"
    for run in result["runs"]:
        assert run["goodput_bps"] > 0
        assert run["completion_s"] > 0
        assert run["time_to_first_byte_s"] > 0
        for name in ("retransmitted_bytes", "confirmed_bps", "confirm_latency_s"):
            assert run[name] is None
        assert run["delivered_latency_s"] is None
        assert run["achieved"]["rtt_s"] == {"idle": None, "loaded_p50": None}
        assert run["achieved"]["loss"] is None
        assert run["wires"] == []


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (spec(Arm.FSU), "arm fsu"),
        (spec(links=(link("a--m", jitter_ns=MS), link("m--b"))), "link a--m: jitter"),
        (dataclasses.replace(spec(), congestion_control="vegas"), "'vegas'"),
    ],
)
def test_what_has_no_place_in_rates_is_refused_by_name(run: RunSpec, words: str) -> None:
    with pytest.raises(InfeasibleError, match=words):
        refuse(run)
