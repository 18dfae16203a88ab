"""A run undoes exactly what it made, in reverse, once."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from sentinel_sim.errors import EmulationError
from sentinel_sim.host.ledger import OwnedKind, read_ledger
from sentinel_sim.host.ownership import Ownership, try_lock
from sentinel_sim.host.processes import identify
from sentinel_sim.host.release import HostPaths

from .conftest import FakeUndo, StartProcess


@pytest.fixture
def run(paths: HostPaths, undo: FakeUndo) -> Ownership:
    return Ownership.create(paths, undo.as_undo())


def test_a_run_has_a_short_id_a_directory_and_a_lock(run: Ownership) -> None:
    assert len(run.run_id) == 4
    assert run.directory.is_dir()
    assert try_lock(run.directory) is None
    run.close()
    lock = try_lock(run.directory)
    assert lock is not None
    os.close(lock)


def test_ids_differ_from_all_runs_and_namespaces_there_are(paths: HostPaths) -> None:
    runs = [Ownership.create(paths) for _ in range(20)]
    assert len({run.run_id for run in runs}) == 20
    for run in runs:
        assert run.release_all() == []


def test_a_record_is_on_disk_before_the_thing_is_made(run: Ownership, paths: HostPaths) -> None:
    name = run.namespace_name("panama")
    run.record_namespace(name)
    assert [(r.kind, r.name) for r in read_ledger(run.directory)] == [(OwnedKind.NAMESPACE, name)]
    assert not (paths.netns / name).exists()
    assert run.release_all() == []


def test_release_undoes_in_reverse_and_only_what_is_there(
    run: Ownership, paths: HostPaths, undo: FakeUndo, tmp_path: Path
) -> None:
    for node in ("a", "b", "never-made"):
        run.record_namespace(run.namespace_name(node))
    socket = tmp_path / "control.sock"
    run.record_file(socket)
    scratch = tmp_path / f"{run.run_id}-scratch"
    run.record_directory(scratch)
    for node in ("a", "b"):
        (paths.netns / run.namespace_name(node)).touch()
    socket.touch()
    (scratch / "deep").mkdir(parents=True)
    (scratch / "deep" / "file").touch()
    (scratch / "deep" / "link").symlink_to(tmp_path, target_is_directory=True)
    foreign = paths.netns / "mininet-h1"
    foreign.touch()
    assert run.release_all() == []
    assert undo.done == [f"unmount {run.namespace_name(node)}" for node in ("b", "a")]
    assert list(paths.netns.iterdir()) == [foreign]
    assert not socket.exists()
    assert not scratch.exists()
    assert not run.directory.exists()


def test_a_directory_that_was_recorded_twice_is_removed_once(
    run: Ownership, tmp_path: Path
) -> None:
    shared = tmp_path / run.run_id
    for _ in range(2):
        run.record_directory(shared)
    shared.mkdir()
    assert run.release_all() == []
    assert not shared.exists()
    assert not run.directory.exists()


def test_release_ends_recorded_processes_and_spares_others(
    run: Ownership, start: StartProcess
) -> None:
    ours, foreign = start(), start()
    run.record_child(ours.pid, "daemon of panama")
    assert run.release_all() == []
    assert ours.wait() == -signal.SIGTERM
    assert identify(foreign.pid) is not None


@pytest.mark.parametrize("mark", ["environment", "command"])
def test_an_unrecorded_process_with_our_mark_is_found(
    run: Ownership, start: StartProcess, mark: str
) -> None:
    env = run.environment() if mark == "environment" else {}
    words = [run.namespace_name("panama")] if mark == "command" else []
    child = start(*words, env=env)
    assert run.release_all() == []
    assert child.wait() == -signal.SIGTERM


def test_a_process_that_only_mentions_our_name_is_spared(
    run: Ownership, start: StartProcess
) -> None:
    reader = start(f"/var/log/{run.namespace_name('panama')}.log", f"x{run.run_id}")
    assert run.release_all() == []
    assert identify(reader.pid) is not None


def test_an_unrecorded_namespace_with_our_name_is_found(run: Ownership, paths: HostPaths) -> None:
    orphan = paths.netns / run.namespace_name("wire0")
    orphan.touch()
    assert run.release_all() == []
    assert not orphan.exists()


def test_what_cannot_be_undone_stays_recorded_and_is_said(
    run: Ownership, paths: HostPaths, undo: FakeUndo
) -> None:
    name = run.namespace_name("stuck")
    run.record_namespace(name)
    (paths.netns / name).touch()
    undo.refuse.add(name)
    [failure] = run.release_all()
    assert failure.leftover.name == name
    assert "not permitted" in failure.reason
    undo.refuse.clear()
    assert run.release_all() == []
    assert run.release_all() == []


def test_leaving_the_context_with_a_leftover_is_an_error(
    run: Ownership, paths: HostPaths, undo: FakeUndo
) -> None:
    name = run.namespace_name("stuck")
    (paths.netns / name).touch()
    undo.refuse.add(name)
    with pytest.raises(EmulationError, match="stuck"), run:
        pass


def _run_into_trouble(run: Ownership, path: Path) -> None:
    with run:
        run.record_file(path)
        path.touch()
        raise KeyError("the experiment's own trouble")


def test_a_failing_run_is_undone_and_its_own_error_is_kept(run: Ownership, tmp_path: Path) -> None:
    path = tmp_path / "pin"
    with pytest.raises(KeyError):
        _run_into_trouble(run, path)
    assert not path.exists()


def test_names_that_are_not_ours_are_refused(run: Ownership, tmp_path: Path) -> None:
    for name in ("sentinel-zzzz-x", "panama", f"sentinel-{run.run_id}"):
        with pytest.raises(ValueError, match="must be named"):
            run.record_namespace(name)
    with pytest.raises(ValueError, match="must have the id"):
        run.record_directory(Path("/usr/share"))
    with pytest.raises(ValueError, match="absolute"):
        run.record_file(Path("relative"))
    assert run.release_all() == []
    with pytest.raises(ValueError, match="released"):
        run.record_file(tmp_path / "late")
