"""`report`, `run --require` and `compare --require`: what is said, written and returned."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from tests.unit.cli.world import World
from tests.unit.experiment.support import FakeBackend, measurement
from tests.unit.report.html.results import write

from sentinel_sim.backends.base import RunMeasurement
from sentinel_sim.plan.model import RunSpec


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_run_ends_by_naming_the_report_and_judges_every_claim(world: World) -> None:
    done = world.run()
    assert done.exit_code == 0
    assert done.stdout.rstrip().splitlines()[-1] == f"report: {world.directory / 'report.html'}"
    assert (world.directory / "report.html").exists()
    assert "throughput-constant: undecided" in done.stdout
    result = json.loads((world.directory / "result.json").read_text())
    assert len({one["claim"] for one in result["verdicts"]}) == 30
    told = json.loads(world.call("report", str(world.directory), "--json").stdout)
    assert told["results"][0]["report"] == str(world.directory / "report.html")


def test_a_demanded_claim_that_does_not_hold_is_5_and_an_invalid_run_outranks_it(
    world: World,
) -> None:
    done = world.run("--require", "throughput-constant:split")
    assert done.exit_code == 5
    assert "throughput-constant:split: undecided" in done.stderr
    unknown = world.run("--require", "throughput-const")
    assert unknown.exit_code == 2
    assert "did you mean throughput-constant?" in unknown.stderr
    assert world.run("--require", "throughput-constant:cubic").exit_code == 2

    def unprobed(run: RunSpec, attempt: int) -> RunMeasurement:
        return dataclasses.replace(measurement(run), rtt_idle_ns=())

    place = world.tmp_path / "other"
    place.mkdir()
    other = World(place)
    other.make = lambda: FakeBackend(unprobed)  # type: ignore[assignment]
    assert other.run("--require", "throughput-constant:split").exit_code == 4


def test_report_demands_too_and_a_claim_that_holds_is_0(tmp_path: Path, world: World) -> None:
    directory = write(tmp_path / "whole", invalid=0)
    place = str(directory)
    assert world.call("report", place, "--require", "throughput-constant:tuned").exit_code == 0
    assert world.call("report", place, "--require", "throughput-constant:direct").exit_code == 5
    assert world.call("report", place, "--require", "throughput-constant").exit_code == 5
    flawed = str(write(tmp_path / "flawed", invalid=1))
    assert world.call("report", flawed, "--require", "throughput-constant:split").exit_code == 4
    assert world.call("report", flawed).exit_code == 0


def test_report_judges_an_older_result_and_writes_only_its_verdicts(
    tmp_path: Path, world: World
) -> None:
    directory = write(tmp_path / "old", verdicts=[])
    before = json.loads((directory / "result.json").read_text())
    assert world.call("report", str(directory)).exit_code == 0
    after = json.loads((directory / "result.json").read_text())
    assert after.pop("verdicts")
    assert before.pop("verdicts") == []
    assert after == before


def test_report_says_which_verdicts_it_changed(tmp_path: Path, world: World) -> None:
    directory = write(tmp_path / "old")
    path = directory / "result.json"
    document = json.loads(path.read_text())
    [one] = [
        v for v in document["verdicts"] if (v["claim"], v["arm"]) == ("local-confirm", "split")
    ]
    now, one["verdict"] = one["verdict"], "fails" if one["verdict"] != "fails" else "holds"
    path.write_text(json.dumps(document))
    shown = world.call("report", str(directory))
    assert f"local-confirm split was {one['verdict']}, is {now}" in " ".join(shown.stderr.split())
    assert shown.stderr.count("judged anew") == 1
    assert "judged anew" not in world.call("report", str(directory)).stderr
    document = json.loads(path.read_text())
    del document["verdicts"]
    path.write_text(json.dumps(document))
    assert world.call("report", str(directory)).exit_code == 0
    assert json.loads(path.read_text())["verdicts"]


def test_report_leaves_an_unfinished_and_a_damaged_result_alone(
    tmp_path: Path, world: World
) -> None:
    unfinished = write(tmp_path / "unfinished", complete=False, verdicts=[])
    before = (unfinished / "result.json").read_bytes()
    shown = world.call("report", str(unfinished))
    assert shown.exit_code == 0
    assert "did not finish" in shown.stdout
    assert (unfinished / "result.json").read_bytes() == before

    damaged = write(tmp_path / "damaged", repeats=1)
    (damaged / "report.html").write_text("an earlier page")
    (damaged / "result.json").write_bytes(b'{"schema": "sentinel-sim/result/1", "runs": [{')
    shown = world.call("report", str(damaged))
    assert shown.exit_code == 2
    assert "not a readable result" in shown.stderr
    assert "direct" in shown.stdout
    assert (damaged / "report.html").read_text() == "an earlier page"
    assert (damaged / "report-salvaged.html").exists()


def slower(directory: Path, share: float) -> None:
    """Make every `tuned` run of a result this much slower."""
    path = directory / "result.json"
    document = json.loads(path.read_text())
    for run in document["runs"]:
        if run["arm"] == "tuned":
            run["goodput_bps"] *= 1 - share
    path.write_text(json.dumps(document))


def test_compare_shows_differences_and_demands_that_nothing_dropped(
    tmp_path: Path, world: World
) -> None:
    first, second = (write(tmp_path / name, invalid=0) for name in ("first", "second"))
    places = str(first), str(second)
    assert world.call("compare", *places, "--require").exit_code == 0
    slower(second, 0.2)
    shown = world.call("compare", *places)
    assert shown.exit_code == 0
    assert "-20.0 % [-20.0, -20.0]" in shown.stdout
    assert "significant drop: tuned at 5,000 km" in shown.stdout
    assert world.call("compare", *places, "--require").exit_code == 5
    assert world.call("compare", *reversed(places), "--require").exit_code == 0
    document = json.loads(world.call("compare", *places, "--json").stdout)
    assert {one["what"] for one in document["drops"]} == {"goodput_bps"}
    flawed = str(write(tmp_path / "flawed", invalid=1))
    slower(Path(flawed), 0.2)
    assert world.call("compare", str(first), flawed, "--require").exit_code == 4


def test_compare_cannot_tell_a_drop_from_single_runs(tmp_path: Path, world: World) -> None:
    first, second = (write(tmp_path / name, invalid=0, repeats=1) for name in ("first", "second"))
    done = world.call("compare", str(first), str(second), "--require")
    assert done.exit_code == 2
    assert "--repeat 3" in done.stderr
