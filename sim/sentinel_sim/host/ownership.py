"""A run's claim on this host: its id, its lock, and the record of everything it makes.

Before the controller makes anything outside its own memory it records it here; a thing that is
recorded but was never made costs nothing, the reverse would be left behind for ever. The lock is
a flock(2) on a file: the kernel drops it when the controller dies, however it dies, which tells
`sentinel-sim clean` that the run is over.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import string
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from sentinel_sim.errors import EmulationError, MissingCapabilityError
from sentinel_sim.host import namespaces, processes, release
from sentinel_sim.host.ledger import LEDGER_NAME, OwnedKind, Record, format_record, read_ledger
from sentinel_sim.host.release import Failure, HostPaths, Leftover, Undo

LOCK_NAME = "lock"
_RUN_ID_ALPHABET = string.ascii_lowercase + string.digits
_RUN_ID_LENGTH = 4
_ATTEMPTS = 100


@contextmanager
def host_lock(run_root: Path) -> Iterator[None]:
    """Held while a run is being born or judged dead, so that no run is seen half made.

    Raises MissingCapabilityError where `run_root` may not be made or opened.
    """
    try:
        run_root.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(run_root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError as error:
        raise MissingCapabilityError(
            f"{run_root}: no permission to record what a run makes on this host",
            cure="sudo .venv/bin/sentinel-sim ...",
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def try_lock(directory: Path) -> int | None:
    """Take the lock of the run in `directory`: a descriptor, or None while its controller lives."""
    descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def remove_run_directory(directory: Path) -> None:
    """Forget a run of which nothing is left. The caller holds its lock."""
    for name in (LEDGER_NAME, LOCK_NAME):
        (directory / name).unlink(missing_ok=True)
    directory.rmdir()


class Ownership:
    """What one run owns on this host. Use as a context manager: leaving it releases all.

    A process forked without exec would keep the lock alive: start programs, do not fork.
    """

    def __init__(self, run_id: str, lock: int, paths: HostPaths, undo: Undo) -> None:
        self.run_id = run_id
        self.directory = paths.run_root / run_id
        self._paths = paths
        self._undo = undo
        self._lock: int | None = lock
        self._ledger = os.open(
            self.directory / LEDGER_NAME,
            os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC,
            0o600,
        )

    @classmethod
    def create(cls, paths: HostPaths | None = None, undo: Undo | None = None) -> Ownership:
        """Begin a run: draw an id that nobody uses, make its directory, hold its lock.

        Raises MissingCapabilityError without permission to write the run directory.
        """
        paths = paths or HostPaths()
        with host_lock(paths.run_root):
            taken = {entry.name for entry in paths.run_root.iterdir()}
            taken |= {
                run_id
                for name in namespaces.list_namespaces(paths.netns)
                if (run_id := namespaces.run_id_of(name)) is not None
            }
            run_id = _draw_run_id(taken)
            directory = paths.run_root / run_id
            directory.mkdir(mode=0o700)
            lock = try_lock(directory)
        if lock is None:
            raise EmulationError(f"{directory}: new, but somebody holds its lock")
        return cls(run_id, lock, paths, undo or Undo())

    def namespace_name(self, node: str) -> str:
        """The name that the namespace of `node` must have."""
        return namespaces.namespace_name(self.run_id, node)

    def environment(self) -> dict[str, str]:
        """What every process of this run must have in its environment."""
        return {processes.RUN_ID_VARIABLE: self.run_id}

    def record_namespace(self, name: str) -> None:
        """Call before making a named namespace. ValueError if the name does not carry our mark."""
        if namespaces.run_id_of(name) != self.run_id:
            wanted = self.namespace_name("NODE")
            raise ValueError(f"namespace {name!r} of run {self.run_id} must be named {wanted}")
        self._write(Record(OwnedKind.NAMESPACE, name))

    def record_process(self, pid: int, start_time_ticks: int, what: str) -> None:
        """Call right after starting a process (before that it has no id).

        Until then its environment says whose it is: see `environment`.
        """
        self._write(Record(OwnedKind.PROCESS, what, pid, start_time_ticks))

    def record_child(self, pid: int, what: str) -> None:
        """`record_process` for a process just started, its start time read from /proc."""
        identity = processes.identify(pid)
        if identity is not None:
            self.record_process(pid, identity.start_time_ticks, what)

    def record_interface(self, name: str) -> None:
        """Call before making an interface in the host's own namespace, even for a moment."""
        self._write(Record(OwnedKind.INTERFACE, name))

    def record_file(self, path: Path) -> None:
        """Call before making a file, a socket or a BPF pin."""
        self._record_path(OwnedKind.FILE, path)

    def record_directory(self, path: Path) -> None:
        """Call before making a directory, which goes with all in it.

        Its path must carry the run id, so that no slip can remove somebody else's.
        """
        if self.run_id not in str(path):
            raise ValueError(f"directory {path} of run {self.run_id} must have the id in its path")
        self._record_path(OwnedKind.DIRECTORY, path)

    def record_mount(self, path: Path) -> None:
        """Call before mounting something at `path`."""
        self._record_path(OwnedKind.MOUNT, path)

    def record_cgroup(self, path: Path) -> None:
        """Call before making a cgroup2 directory; whoever is still in it is killed with it."""
        self._record_path(OwnedKind.CGROUP, path)

    def release_all(self, *, grace_s: float = release.GRACE_S) -> list[Failure]:
        """Undo everything; what could not be undone stays recorded and is returned.

        With nothing left the run directory goes and the lock with it. Calling again is harmless.
        """
        if self._lock is None:
            return []
        leftovers = self.find()
        _, failed = release.undo_all(leftovers, self._paths, self._undo, grace_s=grace_s)
        if not failed:
            remove_run_directory(self.directory)
            self.close()
        return failed

    def find(self) -> list[Leftover]:
        """What this run has on the host right now."""
        return release.find_run(
            self.run_id, read_ledger(self.directory), processes.living_processes(), self._paths
        )

    def close(self) -> None:
        """Let go of the lock without undoing anything: `sentinel-sim clean` may take over."""
        if self._lock is not None:
            os.close(self._lock)
            os.close(self._ledger)
            self._lock = None

    def __enter__(self) -> Ownership:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        failed = self.release_all()
        self.close()
        if failed and error is None:
            what = "; ".join(f"{f.leftover.kind} {f.leftover.name}: {f.reason}" for f in failed)
            raise EmulationError(
                f"run {self.run_id} left things on this host: {what}", cure="sentinel-sim clean"
            )

    def _record_path(self, kind: OwnedKind, path: Path) -> None:
        if not path.is_absolute():
            raise ValueError(f"{kind} {path} must be an absolute path")
        self._write(Record(kind, str(path)))

    def _write(self, record: Record) -> None:
        if self._lock is None:
            raise ValueError(f"run {self.run_id} is released; cannot record {record}")
        line = format_record(record)
        if os.write(self._ledger, line) != len(line):
            raise EmulationError(f"{self.directory / LEDGER_NAME}: disk full")


def _draw_run_id(taken: set[str]) -> str:
    for _ in range(_ATTEMPTS):
        run_id = "".join(secrets.choice(_RUN_ID_ALPHABET) for _ in range(_RUN_ID_LENGTH))
        if run_id not in taken:
            return run_id
    raise EmulationError(f"no free run id after {_ATTEMPTS} tries", cure="sentinel-sim clean")
