"""The simulated backend under the experiment: valid, deterministic, and honest about payload."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.unit.experiment.support import link, small_plan, spec

from sentinel_sim.backends.base import RunMeasurement
from sentinel_sim.backends.simulated.backend import SimulatedBackend
from sentinel_sim.backends.simulated.translate import setup
from sentinel_sim.errors import InfeasibleError
from sentinel_sim.experiment.gate import judge
from sentinel_sim.experiment.metrics import compute
from sentinel_sim.experiment.rawlog import raw_run, read_raw, write_raw
from sentinel_sim.experiment.runner import Job, run_experiment
from sentinel_sim.plan.expand import expand
from sentinel_sim.plan.model import Arm, Custody, RunSpec
from sentinel_sim.plan.plan import Plan
from sentinel_sim.topology.reader import load, loads

TOPOLOGIES = Path(__file__).parents[3] / "topologies"
MS = 1_000_000


def measure(run: RunSpec) -> RunMeasurement:
    return asyncio.run(SimulatedBackend().run(run, lambda phase, seconds: None))


def result_of(plan: Plan, out: Path) -> dict[str, Any]:
    job = Job(
        plan=plan,
        backend=SimulatedBackend,
        environment={"kernel": "none", "commit": None, "versions": {}},
        out=out,
        now=lambda: datetime(2026, 1, 2, tzinfo=UTC),
    )
    outcome = asyncio.run(run_experiment(job))
    assert outcome.result is not None
    return outcome.result


def comparable(result: dict[str, Any]) -> str:
    """The result without what may differ between equal runs."""
    runs = [{key: value for key, value in run.items() if key != "cpu"} for run in result["runs"]]
    return json.dumps({**result, "runs": runs, "environment": None}, indent=1)


@pytest.mark.parametrize("arms", [["direct", "split"], ["fsu"]])
def test_an_experiment_is_valid_and_the_same_twice_byte_for_byte(
    arms: list[str], tmp_path: Path
) -> None:
    plan = small_plan(repeats=2, arms=arms)
    one, other = result_of(plan, tmp_path / "a"), result_of(plan, tmp_path / "b")
    assert one["valid"], [run["invalid_reasons"] for run in one["runs"]]
    assert one["backend"] == "simulated"
    assert comparable(one) == comparable(other)
    traces = [run["notes"] for run in one["runs"]]
    assert all(note[0].startswith("trace ") for note in traces)
    assert len({note[0] for note in traces}) == len(traces)


def test_another_seed_gives_another_trace_where_something_is_random() -> None:
    lossy = spec(links=(link("a--m", loss=0.01), link("m--b")))
    notes = {measure(dataclasses.replace(lossy, seed=seed)).notes for seed in (1, 2)}
    assert len(notes) == 2


ISLANDS = ("lisbon", "madeira", "azores", "recife")


def two_paths(order: tuple[int, ...]) -> Plan:
    """The shipped file without its faults, its nodes in this order."""
    text = (TOPOLOGIES / "two-paths.yaml").read_text()
    lines = [line for line in text.splitlines() if line.strip().startswith(ISLANDS)]
    assert len(lines) == len(ISLANDS)
    shuffled = text.replace("\n".join(lines), "\n".join(lines[place] for place in order))
    plan = expand(loads(shuffled, "two-paths.yaml"), arms=list(Arm), repeats=2, quick=True)
    by_repeat = tuple(
        tuple(dataclasses.replace(run, faults=()) for run in runs) for runs in plan.by_repeat
    )
    return dataclasses.replace(plan, by_repeat=by_repeat)


def test_the_order_of_nodes_in_the_file_changes_nothing(tmp_path: Path) -> None:
    found = []
    for name, order in (("a", (0, 1, 2, 3)), ("b", (3, 2, 1, 0)), ("c", (1, 3, 0, 2))):
        result = result_of(two_paths(order), tmp_path / name)
        assert {run["arm"] for run in result["runs"]} == set(Arm)
        found.append(comparable(result))
    assert found[0] == found[1] == found[2]


def test_every_shipped_topology_is_taken() -> None:
    for path in sorted(TOPOLOGIES.glob("*.yaml")):
        for run in expand(load(path), quick=True).runs(0):
            setup(dataclasses.replace(run, faults=()))


def test_custody_is_refused_not_left_out() -> None:
    with pytest.raises(InfeasibleError, match="custody is not simulated"):
        setup(dataclasses.replace(spec(Arm.SPLIT), custody=Custody.MEMORY))


@pytest.mark.parametrize("arm", list(Arm))
def test_figures_and_limits_apply_as_in_the_emulation(arm: Arm) -> None:
    run = spec(arm, duration_ns=4_000 * MS)
    measured = measure(run)
    metrics = compute(run, measured)
    assert judge(run, measured, metrics) == ()
    assert metrics.sha256_ok is None
    assert metrics.bytes_delivered == metrics.bytes_sent > 0
    assert metrics.goodput_bps is not None
    assert 0.8 < metrics.goodput_bps / metrics.theory.goodput_bps < 1.0
    assert metrics.achieved.rate_bps == pytest.approx(100e6, rel=1e-3)
    assert metrics.achieved.rtt_s.idle == pytest.approx(0.020, abs=0.0002)
    lateness = metrics.achieved.lateness_s
    assert lateness is not None
    assert lateness.p999 == 0.0
    assert lateness.samples > 100
    assert (metrics.confirmed_bps is None) == (not arm.splits)


def test_the_gate_still_bites() -> None:
    run = spec(duration_ns=2_000 * MS)
    measured = measure(run)
    wires = [dataclasses.replace(wire, packets_out=wire.packets_out - 1) for wire in measured.wires]
    lossy = dataclasses.replace(measured, wires=tuple(wires))
    assert any("unaccounted" in reason for reason in judge(run, lossy, compute(run, lossy)))
    flow = measured.flows[0]
    short = dataclasses.replace(
        measured, flows=(dataclasses.replace(flow, bytes_delivered=flow.bytes_sent - 1),)
    )
    assert any("never completed" in reason for reason in judge(run, short, compute(run, short)))
    assert compute(run, short).goodput_bps is None


def test_a_raw_log_says_that_no_payload_was_carried(tmp_path: Path) -> None:
    run = spec(size_bytes=100_000)
    raw = raw_run(run, measure(run))
    assert raw.measurement is not None
    again = read_raw(write_raw(tmp_path, raw))
    assert again == raw
    assert again.measurement is not None
    assert not again.measurement.flows[0].payload_carried


def test_what_is_not_simulated_is_refused_by_name() -> None:
    with pytest.raises(InfeasibleError, match=r"link a--m: .* reorders"):
        setup(spec(links=(link("a--m", jitter_ns=MS, reorder=True), link("m--b"))))
    with pytest.raises(InfeasibleError, match="'vegas' is not simulated"):
        setup(dataclasses.replace(spec(), congestion_control="vegas"))


BURSTY = """
name: bursty
nodes: {a: {role: sender}, b: {role: intermediate}, c: {role: receiver}}
defaults: {links: {rate: 20 Mbit/s, queue: 1 MB, distance_km: 200}}
links: [{endpoints: [a, b]}, {endpoints: [b, c]}]
experiment:
  arms: [tuned]
  workload: {kind: many, flows: 20, size: 60 kB, arrival: poisson 25 /s}
  repeat: {min: 1, max: 1}
"""


def test_counting_bytes_at_every_hop_changes_nothing_else() -> None:
    [plain] = expand(loads(BURSTY)).runs(0)
    counted = dataclasses.replace(plain, burstiness=True)
    without, found = measure(plain), measure(counted)
    # A look does not disturb: the same bytes at the same times (but for the last look of all,
    # which comes as soon as everything is done).
    for one, other in zip(found.flows, without.flows, strict=True):
        assert one.delivered.values == other.delivered.values
        assert one.delivered.times_ns[:-1] == other.delivered.times_ns[:-1]
    assert [flow.last_byte_ns for flow in found.flows] == [f.last_byte_ns for f in without.flows]
    assert without.bins == ()
    wires = {(wire.link, wire.direction): wire for wire in found.wires}
    assert [one.direction for one in found.bins] == ["a->b", "b->c"]
    for one in found.bins:
        assert sum(one.departed) == wires[one.link, one.direction].rate_bytes_sent
        # A queue cannot give more than its rate: 2,500 B a bin, and the packet that it ends with.
        assert max(one.departed) <= 2500 + 1514
    # What a link forwards at its own rate, the next link of that rate need not queue.
    points = compute(counted, found).burstiness
    assert points is not None
    behind = [point.scales[3].variation for point in points.points]
    assert behind[0] > 1.1 * behind[1]
    assert behind[2] == pytest.approx(behind[1], rel=0.02)
