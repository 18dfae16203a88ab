"""The command line: the verbs besides `run`, with a fake world handed in."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from tests.unit.cli.world import EVERYTHING, World

from sentinel_sim.cli.options import distances_of, words_of
from sentinel_sim.errors import TopologyError
from sentinel_sim.host.capabilities import Need, Status
from sentinel_sim.host.clean import CleanReport
from sentinel_sim.host.ledger import OwnedKind
from sentinel_sim.host.release import Failure, Leftover


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_validate_judges_every_file(world: World) -> None:
    bad = world.tmp_path / "bad.yaml"
    bad.write_text("name: 5\n")
    fine = world.call("validate", str(world.file))
    assert fine.exit_code == 0
    assert "BDP" in fine.stdout
    both = world.call("validate", str(bad), str(world.file), "--json")
    assert both.exit_code == 2
    files = json.loads(both.stdout)["files"]
    assert [entry["ok"] for entry in files] == [False, True]
    assert files[1]["feasibility"]
    assert str(bad) in both.stderr


def test_doctor_exits_3_where_nothing_can_be_emulated(world: World) -> None:
    assert world.call("doctor").exit_code == 0
    lacking = [
        dataclasses.replace(entry, status=Status.MISSING, cure="sudo it")
        if entry.name == "privileges"
        else entry
        for entry in EVERYTHING
    ]
    world.change(doctor=lambda: lacking)
    done = world.call("doctor")
    assert done.exit_code == 3
    assert "cure: sudo it" in done.stdout
    document = json.loads(world.call("doctor", "--json").stdout)
    assert document["verdict"]["ready"] is False
    assert {entry["need"] for entry in document["capabilities"]} <= {str(need) for need in Need}


def test_clean_reports_what_it_removed_and_fails_where_something_resists(world: World) -> None:
    gone = Leftover("0f3a", OwnedKind.NAMESPACE, "sentinel-0f3a-a", "named namespace")
    stuck = Leftover("0f3a", OwnedKind.PROCESS, "17", "daemon")
    reports = {
        True: CleanReport((gone, stuck), (), (), ("77bc",)),
        False: CleanReport((gone, stuck), (gone,), (Failure(stuck, "still runs"),), ("77bc",)),
    }
    world.change(clean=lambda dry_run: reports[dry_run])
    looked = world.call("clean", "--dry-run")
    assert looked.exit_code == 0
    assert "would remove namespace sentinel-0f3a-a" in looked.stdout
    assert "left alone: run 77bc" in looked.stdout
    done = world.call("clean")
    assert done.exit_code == 1
    assert "removed namespace sentinel-0f3a-a" in done.stdout
    assert "could not remove process 17 of run 0f3a: still runs" in done.stdout
    document = json.loads(world.call("clean", "--json").stdout)
    assert document["failed"][0]["reason"] == "still runs"


def test_clean_without_root_is_3_with_the_exact_command(world: World) -> None:
    words = ("/opt/sentinel-sim", "clean", "--dry-run")
    world.change(missing_privileges=lambda: ["CAP_SYS_ADMIN"], arguments=words, variables={})
    done = world.call("clean", "--dry-run")
    assert done.exit_code == 3
    assert "cure: sudo /opt/sentinel-sim clean --dry-run" in done.stderr


def test_report_shows_a_result_again(world: World) -> None:
    world.run("--repeat", "1")
    before = (world.directory / "result.json").read_bytes()
    (world.directory / "throughput.svg").unlink()
    shown = world.call("report", str(world.directory), "--metric", "steady")
    assert shown.exit_code == 0
    assert "direct" in shown.stdout
    assert not (world.directory / "throughput.svg").exists()
    world.call("report", str(world.directory), "--figures")
    assert (world.directory / "throughput.svg").exists()
    assert (world.directory / "result.json").read_bytes() == before
    document = json.loads(world.call("report", str(world.directory), "--json").stdout)
    assert document["results"][0]["valid"] is True
    assert world.call("report", str(world.tmp_path)).exit_code == 2


def test_help_lists_the_exit_codes(world: World) -> None:
    shown = world.call("--help")
    assert shown.exit_code == 0
    for code in ("0 done", "2 bad file", "3 missing", "4 finished", "5 a demanded", "130"):
        assert code in shown.output


def test_lists_are_read_from_one_word() -> None:
    assert words_of(" a, b ,,c") == ["a", "b", "c"]
    assert words_of(None) is None
    assert distances_of("100, 2000 km") == [100.0, 2000.0]
    with pytest.raises(TopologyError) as caught:
        distances_of("100 miles")
    assert caught.value.cure is not None
