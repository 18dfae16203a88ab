"""The command line: exit codes, messages and machine output, with a fake world handed in."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import shlex
import signal
from pathlib import Path

import pytest
from tests.unit.cli.world import World
from tests.unit.experiment.support import SMALL_FILE, FakeBackend, measurement

from sentinel_sim.backends.base import ProgressHook, RunMeasurement
from sentinel_sim.cli.wiring import as_root
from sentinel_sim.errors import EmulationError, MissingCapabilityError
from sentinel_sim.plan.model import RunSpec
from sentinel_sim.topology.budget import CpuBudget


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_run_ends_with_table_plot_and_the_place_of_the_result(world: World) -> None:
    done = world.run()
    assert done.exit_code == 0, done.output
    assert "direct" in done.stdout
    assert "theory" in done.stdout
    assert f"result: {world.directory / 'result.json'}" in done.stdout
    assert {path.name for path in world.directory.iterdir()} == {
        "report.html",
        "result.json",
        "processed.yaml",
        "raw",
        "runs.parquet",
        "throughput.svg",
        "throughput.png",
    }
    assert "run 1 of 8" in done.stderr
    assert "wires by delayline" in done.stderr
    assert world.backends[0].exited


def test_json_is_one_document_on_standard_output(world: World) -> None:
    done = world.run("--json")
    document = json.loads(done.stdout)
    assert document["schema"] == "sentinel-sim/run/1"
    assert document["exit_code"] == done.exit_code == 0
    assert document["result"]["valid"] is True
    assert Path(document["directory"]) == world.directory


def test_flags_reach_the_plan(world: World) -> None:
    done = world.run(
        "--arms", "split", "--distances", "100,250 km", "--repeat", "3", "--seed", "5", "--json"
    )
    result = json.loads(done.stdout)["result"]
    assert result["seed"] == 5
    assert {run["arm"] for run in result["runs"]} == {"split"}
    assert {run["distance_km"] for run in result["runs"]} == {100.0, 250.0}
    assert len(result["runs"]) == 2 * 3


def test_every_flag_is_also_a_variable(world: World) -> None:
    variables = {
        "SENTINEL_FILE": str(world.file),
        "SENTINEL_OUT": str(world.out),
        "SENTINEL_ARMS": "direct",
        "SENTINEL_DISTANCES": "100",
        "SENTINEL_REPEAT": "1",
        "SENTINEL_SEED": "9",
        "SENTINEL_WIRE": "delayline",
        "SENTINEL_QUICK": "1",
        "SENTINEL_JSON": "1",
    }
    done = world.call("run", env=variables)
    result = json.loads(done.stdout)["result"]
    assert result["seed"] == 9
    assert [run["key"] for run in result["runs"]] == ["direct_100km_r0"]
    assert world.wires == ["delayline"]
    assert result["plan"]["quick"] is True


@pytest.mark.parametrize(
    "verb", ["run", "validate", "doctor", "clean", "report", "bench", "compare"]
)
def test_every_option_of_every_verb_names_its_variable(world: World, verb: str) -> None:
    shown = world.call(verb, "--help").output
    options = [line for line in shown.splitlines() if line.startswith("  --")]
    assert "--json" in shown
    assert shown.count("SENTINEL_") >= len(options)
    assert "Examples:" in shown


def test_an_invalid_run_makes_the_exit_code_4_and_is_explained(world: World) -> None:
    def behave(run: RunSpec, attempt: int) -> RunMeasurement:
        late = {"rtt_idle_ns": (1,)} if run.key == "split_100km_r0" else {}
        return measurement(run, **late)

    world.make = lambda: FakeBackend(behave)
    done = world.run()
    assert done.exit_code == 4
    assert "invalid: split_100km_r0: idle RTT" in done.stdout
    assert json.loads((world.directory / "result.json").read_text())["valid"] is False


def test_a_network_in_which_nothing_works_still_ends_with_a_result(world: World) -> None:
    def behave(run: RunSpec, attempt: int) -> RunMeasurement:
        raise EmulationError("the daemon on m died")

    world.make = lambda: FakeBackend(behave)
    done = world.run("--repeat", "1")
    assert done.exit_code == 4
    assert "nothing to plot" in done.stdout
    assert "the daemon on m died" in done.stdout


def test_without_root_the_exact_command_is_given_and_the_exit_code_is_3(world: World) -> None:
    world.change(missing_privileges=lambda: ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"])
    done = world.run("--backend", "emulated")
    assert done.exit_code == 3
    assert "lacks CAP_NET_ADMIN, CAP_SYS_ADMIN" in done.stderr
    assert "--backend simulated needs none" in done.stderr
    command = shlex.join(["sudo", "SENTINEL_SEED=8", "/opt/sentinel-sim", "run", str(world.file)])
    assert command in done.stderr
    assert done.stdout == ""
    assert world.backends == []
    assert not world.out.exists()


def test_the_sudo_command_quotes_and_completes(world: World, tmp_path: Path) -> None:
    wiring = dataclasses.replace(
        world.wiring, arguments=("bin/sentinel-sim", "run", "my file.yaml"), variables={}
    )
    program = Path.cwd() / "bin" / "sentinel-sim"
    assert as_root(wiring) == f"sudo {program} run 'my file.yaml'"


def test_the_simulator_needs_no_privileges(world: World) -> None:
    world.change(missing_privileges=lambda: ["CAP_SYS_ADMIN"])
    done = world.run("--backend", "simulated", "--repeat", "1", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["result"]["backend"] == "simulated"
    assert world.wires == []


def test_auto_falls_back_to_the_simulator_and_says_why(world: World) -> None:
    world.change(missing_privileges=lambda: ["CAP_SYS_ADMIN"])
    done = world.run("--backend", "auto", "--repeat", "1")
    assert done.exit_code == 0
    assert "backend: simulated" in done.stderr
    assert "lacks CAP_SYS_ADMIN" in done.stderr
    assert world.wires == []


def test_a_first_run_of_the_simulator_says_that_it_compiles(world: World) -> None:
    world.change(simulator_is_compiled=lambda: False)
    done = world.run("--backend", "simulated", "--repeat", "1")
    assert "compiling once for this version" in done.stderr


def test_wires_mean_nothing_to_the_simulator(world: World) -> None:
    done = world.run("--backend", "simulated", "--wire", "netem")
    assert done.exit_code == 2
    assert "--wire netem" in done.stderr
    assert world.backends == []


def test_a_dry_run_of_the_simulator_shows_the_plan_and_no_commands(world: World) -> None:
    done = world.run("--backend", "simulated", "--dry-run", "--json")
    assert done.exit_code == 0
    document = json.loads(done.stdout)
    assert document["runs"]
    assert "wire_commands" not in document
    assert not world.out.exists()


def test_a_missing_wire_backend_is_named_with_its_cure(world: World) -> None:
    def none() -> str:
        raise MissingCapabilityError("no wire backend", cure="apt-get install --yes iptables")

    world.change(wire_backend=none)
    done = world.run("--json")
    assert done.exit_code == 3
    document = json.loads(done.stdout)
    assert document["schema"] == "sentinel-sim/error/1"
    assert document["cure"] == "apt-get install --yes iptables"
    assert "cure: apt-get install --yes iptables" in done.stderr


def test_auto_says_what_it_picked(world: World) -> None:
    done = world.run("--backend", "auto", "--repeat", "1")
    assert done.exit_code == 0
    assert "backend: emulated on this kernel, wires by delayline" in done.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("rate: 100 Mbit/s", "rate: 100"), "rate"),
        (("role: sender", "roll: sender"), "roll"),
        (("rate: 100 Mbit/s", "rate: 10 Tbit/s"), "10000000 Mbit/s|Tbit/s|packets/s"),
    ],
)
def test_a_bad_or_infeasible_file_is_2_without_a_traceback(
    world: World, change: tuple[str, str], words: str
) -> None:
    world.file.write_text(SMALL_FILE.replace(*change))
    # Also without root: what is wrong with the file comes first.
    world.change(missing_privileges=lambda: ["CAP_SYS_ADMIN"])
    done = world.run()
    assert done.exit_code == 2
    assert str(world.file) in done.stderr
    assert "Traceback" not in done.output
    assert any(word in done.stderr for word in words.split("|"))


@pytest.mark.parametrize(
    "flags",
    [
        ("--distances", "far"),
        ("--distances", "-5"),
        ("--distances", ""),
        ("--arms", "drect"),
        ("--repeat", "0"),
        ("--repeat", "x"),
        ("--seed", "-1"),
        ("--backend", "real"),
        ("--require", "distance-flat"),
        ("--resume", "/nowhere"),
        ("--colour",),
    ],
)
def test_bad_usage_is_2_before_anything_is_built(world: World, flags: tuple[str, ...]) -> None:
    done = world.run(*flags)
    assert done.exit_code == 2, done.output
    (_,) = (line for line in done.stderr.splitlines() if line.startswith("sentinel-sim: "))
    assert "Usage:" not in done.stderr
    assert world.backends == []


@pytest.mark.parametrize("words", [("nonsense",), ("--wrong",), ("plan", "a.yaml"), ("fsu", "x")])
def test_wrong_usage_of_any_verb_is_one_line_that_names_its_help(
    world: World, words: tuple[str, ...]
) -> None:
    done = world.call(*words)
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert line.endswith(" --help")


@pytest.mark.parametrize("words", [(), ("fsu",)])
def test_a_group_without_a_verb_shows_its_help(world: World, words: tuple[str, ...]) -> None:
    done = world.call(*words)
    assert done.exit_code == 2
    assert "Begin with:" in done.output


def test_an_unexpected_error_is_one_line_and_a_log(world: World) -> None:
    def broken() -> CpuBudget:
        raise RuntimeError("something\nnobody thought of")

    world.change(budget=broken)
    done = world.run()
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert "unexpected RuntimeError: something nobody thought of" in line
    (log,) = (world.tmp_path / "log").iterdir()
    assert str(log) in line
    assert "Traceback" in log.read_text()
    debugged = world.call("--debug", "run", str(world.file))
    assert isinstance(debugged.exception, RuntimeError)


class Interrupting(FakeBackend):
    """Is interrupted in its third run."""

    async def run(self, run: RunSpec, progress: ProgressHook) -> RunMeasurement:
        if len(self.asked) == 2:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
        return await super().run(run, progress)


def test_ctrl_c_exits_130_and_says_how_to_resume(world: World) -> None:
    world.make = Interrupting
    stopped = world.run()
    assert stopped.exit_code == 130
    assert world.backends[0].exited
    resume = f"/opt/sentinel-sim run {world.file} --resume {world.directory}"
    assert f"resume: {resume}" in stopped.stderr
    assert "incomplete" in stopped.stdout
    world.make = FakeBackend
    done = world.run("--resume", str(world.directory))
    assert done.exit_code == 0, done.output
    assert "2 finished runs are taken over" in done.stderr
    assert len(world.backends[1].asked) == 6


def test_resume_refuses_another_file(world: World) -> None:
    world.run("--repeat", "1")
    world.file.write_text(SMALL_FILE + "# changed\n")
    done = world.run("--resume", str(world.directory))
    assert done.exit_code == 2
    assert "topology_sha256" in done.stderr


def test_dry_run_shows_plan_figures_and_commands_and_builds_nothing(world: World) -> None:
    world.change(missing_privileges=lambda: ["CAP_SYS_ADMIN"])
    shown = world.run("--dry-run")
    assert shown.exit_code == 0, shown.output
    assert "split_1000km_r0" in shown.stdout
    assert "netem" in shown.stdout
    assert "delay" in shown.stdout
    assert world.backends == []
    assert not world.out.exists()
    document = json.loads(world.run("--dry-run", "--json").stdout)
    assert len(document["runs"]) == 4
    assert any("netem" in line for line in document["wire_commands"])
    other = json.loads(world.run("--dry-run", "--json", "--wire", "delayline").stdout)
    assert any("NFQUEUE" in line for line in other["wire_commands"])


def test_dry_run_of_an_infeasible_file_shows_the_figures_and_exits_2(world: World) -> None:
    world.file.write_text(SMALL_FILE.replace("rate: 100 Mbit/s", "rate: 400 Gbit/s"))
    done = world.run("--dry-run")
    assert done.exit_code == 2
    assert "refuse" in done.stdout


def test_the_kernel_times_the_fsus_only_if_asked(world: World) -> None:
    assert world.run("--quick").exit_code == 0
    assert world.run("--quick", "--fsu-cost").exit_code == 0
    assert world.run("--quick", env={"SENTINEL_FSU_COST": "1"}).exit_code == 0
    assert [options.fsu_cost for options in world.options] == [False, True, True]
