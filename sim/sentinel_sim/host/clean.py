"""Remove what dead runs left on this host, and only that.

A run is dead when nobody holds its lock. A run whose controller lives is never touched, nor is
anything that does not carry our mark (see `sentinel_sim.host.release`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sentinel_sim.errors import ResultError
from sentinel_sim.host import namespaces, processes
from sentinel_sim.host.ledger import OwnedKind, read_ledger
from sentinel_sim.host.ownership import host_lock, remove_run_directory, try_lock
from sentinel_sim.host.release import Failure, HostPaths, Leftover, Undo, find_run, undo_all


@dataclass(frozen=True, slots=True)
class CleanReport:
    """What a clean-up saw and did. `found` = `removed` + those in `failed`, unless a dry run."""

    found: tuple[Leftover, ...]
    removed: tuple[Leftover, ...]
    failed: tuple[Failure, ...]
    running: tuple[str, ...]
    """Ids of runs whose controller lives; left alone."""


@dataclass(frozen=True, slots=True)
class _DeadRun:
    run_id: str
    directory: Path
    leftovers: tuple[Leftover, ...]
    damage: str | None
    """Why its ledger cannot be trusted; then nothing of the run is removed."""


def find_leftovers(paths: HostPaths | None = None) -> list[Leftover]:
    """Everything that dead runs left here, in the order they made it. Changes nothing."""
    return list(clean(dry_run=True, paths=paths).found)


def clean(
    *, dry_run: bool, paths: HostPaths | None = None, undo: Undo | None = None
) -> CleanReport:
    """Find what dead runs left and, unless `dry_run`, remove it.

    Raises MissingCapabilityError without permission to look at the runs' records.
    """
    paths = paths or HostPaths()
    found: list[Leftover] = []
    removed: list[Leftover] = []
    failed: list[Failure] = []
    with _judged(paths) as (dead_runs, running):
        for run in dead_runs:
            run_record = Leftover(
                run.run_id, OwnedKind.DIRECTORY, str(run.directory), "record of a dead run"
            )
            here = run.directory.exists()
            found += [*run.leftovers, *([run_record] if here else [])]
            if run.damage is not None:
                failed.append(Failure(run_record, run.damage))
            elif not dry_run:
                gone, stuck = undo_all(list(run.leftovers), paths, undo or Undo())
                removed += gone
                failed += stuck
                if here and not stuck:
                    remove_run_directory(run.directory)
                    removed.append(run_record)
    return CleanReport(tuple(found), tuple(removed), tuple(failed), tuple(running))


@contextmanager
def _judged(paths: HostPaths) -> Iterator[tuple[list[_DeadRun], list[str]]]:
    """Dead runs and ids of living ones; the locks of the dead are held meanwhile."""
    with host_lock(paths.run_root):
        living = processes.living_processes()
        dead: list[_DeadRun] = []
        running: list[str] = []
        locks: list[int] = []
        try:
            for directory in _run_directories(paths):
                lock = try_lock(directory)
                if lock is None:
                    running.append(directory.name)
                else:
                    locks.append(lock)
                    dead.append(_examine(directory, living, paths))
            known = {run.run_id for run in dead} | set(running)
            dead += _without_directory(known, living, paths)
            dead.append(_dead_doctors(paths))
            yield dead, running
        finally:
            for lock in locks:
                os.close(lock)


def _run_directories(paths: HostPaths) -> list[Path]:
    return sorted(
        entry
        for entry in paths.run_root.iterdir()
        if entry.is_dir() and namespaces.RUN_ID_PATTERN.fullmatch(entry.name)
    )


def _examine(directory: Path, living: list[processes.ProcessView], paths: HostPaths) -> _DeadRun:
    try:
        records = read_ledger(directory)
    except ResultError as error:
        return _DeadRun(directory.name, directory, (), str(error))
    found = find_run(directory.name, records, living, paths)
    return _DeadRun(directory.name, directory, tuple(found), None)


def _without_directory(
    known: set[str], living: list[processes.ProcessView], paths: HostPaths
) -> list[_DeadRun]:
    """Runs of which only namespaces tell: somebody removed the record."""
    run_ids = {namespaces.run_id_of(name) for name in namespaces.list_namespaces(paths.netns)}
    return [
        _DeadRun(run_id, paths.run_root / run_id, tuple(find_run(run_id, [], living, paths)), None)
        for run_id in sorted(run_id for run_id in run_ids if run_id and run_id not in known)
    ]


def _dead_doctors(paths: HostPaths) -> _DeadRun:
    """Scratch namespaces of `doctor` processes that are gone."""
    leftovers = tuple(
        Leftover("doctor", OwnedKind.NAMESPACE, name, "scratch namespace of a dead doctor")
        for name in namespaces.list_namespaces(paths.netns)
        if (pid := namespaces.doctor_pid_of(name)) is not None and processes.identify(pid) is None
    )
    return _DeadRun("doctor", paths.run_root / "doctor", leftovers, None)
