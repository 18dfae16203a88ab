"""`clean` takes what the dead left, and leaves the living and the foreign alone."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from sentinel_sim.host.clean import clean, find_leftovers
from sentinel_sim.host.ledger import LEDGER_NAME, OwnedKind
from sentinel_sim.host.ownership import Ownership
from sentinel_sim.host.processes import identify
from sentinel_sim.host.release import HostPaths

from .conftest import FakeUndo, StartProcess


def dead_run(paths: HostPaths) -> Ownership:
    """A run whose controller is gone: its lock is free, its things are still there."""
    run = Ownership.create(paths)
    name = run.namespace_name("panama")
    run.record_namespace(name)
    (paths.netns / name).touch()
    run.close()
    return run


def test_a_clean_host_has_nothing_to_clean(paths: HostPaths) -> None:
    assert find_leftovers(paths) == []


def test_a_dry_run_names_everything_and_removes_nothing(paths: HostPaths, undo: FakeUndo) -> None:
    run = dead_run(paths)
    report = clean(dry_run=True, paths=paths, undo=undo.as_undo())
    assert [(item.kind, Path(item.name).name) for item in report.found] == [
        (OwnedKind.NAMESPACE, run.namespace_name("panama")),
        (OwnedKind.DIRECTORY, run.run_id),
    ]
    assert report.removed == report.failed == ()
    assert (paths.netns / run.namespace_name("panama")).exists()


def test_cleaning_removes_all_of_a_dead_run_and_then_finds_nothing(
    paths: HostPaths, undo: FakeUndo, start: StartProcess
) -> None:
    run = dead_run(paths)
    child = start(env=run.environment())
    report = clean(dry_run=False, paths=paths, undo=undo.as_undo())
    assert set(report.removed) == set(report.found)
    assert report.failed == ()
    assert child.wait() == -signal.SIGTERM
    assert not run.directory.exists()
    assert find_leftovers(paths) == []


def test_a_living_run_is_left_alone(paths: HostPaths, start: StartProcess) -> None:
    living = Ownership.create(paths)
    name = living.namespace_name("panama")
    living.record_namespace(name)
    (paths.netns / name).touch()
    child = start(env=living.environment())
    report = clean(dry_run=False, paths=paths)
    assert report.running == (living.run_id,)
    assert report.found == ()
    assert (paths.netns / name).exists()
    assert identify(child.pid) is not None
    child.kill()
    child.wait()
    (paths.netns / name).unlink()
    assert living.release_all() == []


def test_namespaces_whose_record_is_lost_are_found_by_name(
    paths: HostPaths, undo: FakeUndo
) -> None:
    for name in ("sentinel-q7x1-a", "sentinel-q7x1-wire0", "sentinel-toolong-a", "other"):
        (paths.netns / name).touch()
    report = clean(dry_run=False, paths=paths, undo=undo.as_undo())
    assert [item.name for item in report.found] == ["sentinel-q7x1-a", "sentinel-q7x1-wire0"]
    assert sorted(entry.name for entry in paths.netns.iterdir()) == ["other", "sentinel-toolong-a"]


def test_scratch_of_a_dead_doctor_goes_and_of_a_living_one_stays(
    paths: HostPaths, undo: FakeUndo, start: StartProcess
) -> None:
    dead = start()
    dead.kill()
    dead.wait()
    gone = paths.netns / f"sentinel-doctor-{dead.pid}"
    kept = paths.netns / f"sentinel-doctor-{os.getpid()}"
    gone.touch()
    kept.touch()
    report = clean(dry_run=False, paths=paths, undo=undo.as_undo())
    assert [item.name for item in report.removed] == [gone.name]
    assert kept.exists()


def test_a_damaged_record_is_reported_and_nothing_of_the_run_is_touched(
    paths: HostPaths, undo: FakeUndo
) -> None:
    run = dead_run(paths)
    ledger = run.directory / LEDGER_NAME
    ledger.write_text("{}\n" + ledger.read_text())
    report = clean(dry_run=False, paths=paths, undo=undo.as_undo())
    [failure] = report.failed
    assert f"{ledger}:1" in failure.reason
    assert report.removed == ()
    assert (paths.netns / run.namespace_name("panama")).exists()


def test_folders_that_are_no_runs_are_not_ours(paths: HostPaths) -> None:
    other = paths.run_root / "something-else"
    other.mkdir(parents=True)
    assert clean(dry_run=False, paths=paths).found == ()
    assert other.exists()
