"""`run` with --set, --workers, --scheduler and --backend both, on a host that is a fake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.cli.world import World

from sentinel_sim.errors import InfeasibleError
from sentinel_sim.plan.model import Arm


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_set_sweeps_a_key_and_says_so_in_the_result(world: World) -> None:
    done = world.run("--set", "loss=0 %,1 %", "--set", "distance_km=100", "--repeat", "1")
    assert done.exit_code == 0, done.output
    result = json.loads((world.directory / "result.json").read_text())
    assert {run["params"]["loss"] for run in result["runs"]} == {0.0, 0.01}
    assert len(result["runs"]) == 4


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--workers", "2"), "emulated runs are made one after the other"),
        (("--scheduler", "tcp://h:1"), "emulated runs are made one after the other"),
        (("--backend", "simulated", "--scheduler", "h:1"), "must be the address"),
        (
            ("--backend", "simulated", "--scheduler", "tcp://h:1", "--workers", "2"),
            "workers of its own",
        ),
        (("--engine", "flow"), "--engine flow: is of the simulator alone"),
        (
            ("--backend", "simulated", "--engine", "flow", "--workers", "2"),
            "makes its runs in this process",
        ),
        (("--set", "los=1 %"), "did you mean 'loss'"),
        (("--set", "distance_km=1", "--distances", "1"), "give one of them"),
    ],
)
def test_what_makes_no_sense_is_refused(world: World, flags: tuple[str, ...], reason: str) -> None:
    done = world.run(*flags)
    assert done.exit_code == 2
    assert reason in done.stderr
    assert not world.out.exists()


def test_a_few_runs_stay_in_this_process_many_go_to_workers(world: World) -> None:
    assert world.run("--backend", "simulated").exit_code == 0
    assert world.pools == []
    losses = "loss=" + ",".join(f"0.{n} %" for n in range(10, 42))
    done = world.run("--backend", "simulated", "--repeat", "1", "--set", losses)
    assert done.exit_code == 0, done.output
    assert world.pools == [(2, None)]
    assert "128 settings" in done.stdout
    assert "128 of 128 runs" in done.stderr
    asked = ("--scheduler", "tcp://h:1")
    assert world.run("--backend", "simulated", *asked).exit_code == 0
    assert world.pools[1:] == [(0, "tcp://h:1")]


def test_both_compares_and_names_the_arm_that_one_side_lacks(world: World) -> None:
    world.refusals = {Arm.SPLIT: InfeasibleError("arm split: is not simulated")}
    done = world.run("--backend", "both")
    assert done.exit_code == 0, done.output
    assert "arm split: is not simulated" in done.stderr
    result = json.loads((world.directory / "result.json").read_text())
    assert result["backend"] == "emulated"
    found = result["agreement"]
    assert found["agrees"] is True
    assert found["only_emulated"] == ["split"]
    assert [group["arm"] for group in found["groups"]] == ["direct", "direct"]
    assert {group["goodput_ratio"] for group in found["groups"]} == {1.0}
    simulated = json.loads((world.directory / found["simulated"]).read_text())
    assert {run["arm"] for run in simulated["runs"]} == {"direct"}
    assert (world.directory / "runs.parquet").exists()
    assert "agreement: ratio of median goodputs" in done.stdout
    again = world.run("--backend", "both", "--resume", str(world.directory))
    assert again.exit_code == 0, again.output
    # Of either backend, one made all of its runs at first, and one none when resumed.
    assert sorted(len(backend.asked) for backend in world.backends) == [0, 0, 4, 8]


def test_both_refuses_a_file_of_which_nothing_can_be_simulated(world: World) -> None:
    world.refusals = {arm: InfeasibleError(f"arm {arm}: no") for arm in (Arm.DIRECT, Arm.SPLIT)}
    done = world.run("--backend", "both")
    assert done.exit_code == 2
    assert "arm direct: no" in done.stderr
    assert not world.out.exists()
