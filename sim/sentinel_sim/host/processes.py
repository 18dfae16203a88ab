"""Find and end processes without ever hitting the wrong one.

A process id alone proves nothing: the kernel hands it out again. Here a process is its id *and*
its start time (proc(5), /proc/PID/stat field 22, in clock ticks since boot), and a signal goes
through a pidfd that was opened before the start time was compared.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
RUN_ID_VARIABLE = "SENTINEL_RUN_ID"
_START_TIME_FIELD_AFTER_NAME = 19


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process, for the whole time since boot. `start_time_ticks` is in clock ticks."""

    pid: int
    start_time_ticks: int


@dataclass(frozen=True, slots=True)
class ProcessView:
    """What /proc tells of a living process; unreadable parts are empty."""

    identity: ProcessIdentity
    command: tuple[str, ...]
    run_id: str | None
    """Value of SENTINEL_RUN_ID in its environment at exec time."""
    netns: tuple[int, int] | None
    """Device and inode of its network namespace."""


def parse_stat(text: str) -> tuple[str, int]:
    """State letter and start time in ticks from the text of /proc/PID/stat.

    The command name (field 2) may hold spaces and brackets, so fields count from its last one.
    """
    fields = text[text.rindex(")") + 1 :].split()
    return fields[0], int(fields[_START_TIME_FIELD_AFTER_NAME])


def identify(pid: int, proc: Path = PROC) -> ProcessIdentity | None:
    """Who holds `pid` now; None if nobody, or only a zombie that has nothing left to end."""
    try:
        state, start_time_ticks = parse_stat((proc / str(pid) / "stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else ProcessIdentity(pid, start_time_ticks)


def living_processes(proc: Path = PROC) -> list[ProcessView]:
    """Every process except zombies, in order of process id."""
    pids = sorted(int(entry.name) for entry in proc.iterdir() if entry.name.isdecimal())
    views = (_view(pid, proc) for pid in pids)
    return [view for view in views if view is not None]


def _view(pid: int, proc: Path) -> ProcessView | None:
    identity = identify(pid, proc)
    if identity is None:
        return None
    command = _read_words(proc / str(pid) / "cmdline")
    environment = _read_words(proc / str(pid) / "environ")
    prefix = f"{RUN_ID_VARIABLE}="
    run_ids = [word.removeprefix(prefix) for word in environment if word.startswith(prefix)]
    return ProcessView(
        identity, command, run_ids[0] if run_ids else None, _netns_of(proc / str(pid))
    )


def _read_words(path: Path) -> tuple[str, ...]:
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ()
    return tuple(word.decode(errors="replace") for word in raw.split(b"\0") if word)


def _netns_of(directory: Path) -> tuple[int, int] | None:
    try:
        status = (directory / "ns" / "net").stat()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    return status.st_dev, status.st_ino


def is_stopped(pid: int, proc: Path = PROC) -> bool:
    """Was it stopped by a signal, or by a tracer (states T and t of proc(5))? False if gone."""
    try:
        text = (proc / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return parse_stat(text)[0] in ("T", "t")


def own_lineage(proc: Path = PROC) -> frozenset[int]:
    """This process and all its ancestors: never to be ended by a clean-up."""
    lineage: set[int] = set()
    pid = os.getpid()
    while pid > 0 and pid not in lineage:
        lineage.add(pid)
        try:
            text = (proc / str(pid) / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            break
        pid = int(text[text.rindex(")") + 1 :].split()[1])
    return frozenset(lineage)


def terminate(identities: Iterable[ProcessIdentity], *, grace_s: float) -> list[ProcessIdentity]:
    """SIGTERM all, wait up to `grace_s` seconds in all, SIGKILL the rest; return the survivors.

    A survivor is a process that we may not signal, or that stayed through SIGKILL for another
    `grace_s` (it hangs inside the kernel). A reused process id is left alone.
    """
    return _end(identities, (signal.SIGTERM, signal.SIGKILL), grace_s)


def kill(identities: Iterable[ProcessIdentity], *, grace_s: float) -> list[ProcessIdentity]:
    """SIGKILL all at once, wait up to `grace_s` seconds; return the survivors."""
    return _end(identities, (signal.SIGKILL,), grace_s)


def _end(
    identities: Iterable[ProcessIdentity], signals: Iterable[signal.Signals], grace_s: float
) -> list[ProcessIdentity]:
    open_pidfds: dict[int, ProcessIdentity] = {}
    survivors: list[ProcessIdentity] = []
    try:
        for identity in identities:
            pidfd = _open_verified(identity)
            if pidfd is not None:
                open_pidfds[pidfd] = identity
        waiting = dict(open_pidfds)
        for signal_number in signals:
            survivors += _send(waiting, signal_number)
            _wait_for_exit(waiting, grace_s)
        survivors += waiting.values()
    finally:
        for pidfd in open_pidfds:
            os.close(pidfd)
    return survivors


def _open_verified(identity: ProcessIdentity) -> int | None:
    try:
        pidfd = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return None
    if identify(identity.pid) == identity:
        return pidfd
    os.close(pidfd)
    return None


def _send(
    waiting: dict[int, ProcessIdentity], signal_number: signal.Signals
) -> list[ProcessIdentity]:
    """Signal all; drop from `waiting` the gone ones and, returned, those we may not signal."""
    refused: list[ProcessIdentity] = []
    for pidfd in list(waiting):
        try:
            signal.pidfd_send_signal(pidfd, signal_number)
        except ProcessLookupError:
            del waiting[pidfd]
        except PermissionError:
            refused.append(waiting.pop(pidfd))
    return refused


def _wait_for_exit(waiting: dict[int, ProcessIdentity], timeout_s: float) -> None:
    """Remove from `waiting` whoever exits within `timeout_s`; a pidfd is readable from then on."""
    poller = select.poll()
    for pidfd in waiting:
        poller.register(pidfd, select.POLLIN)
    deadline_s = time.monotonic() + timeout_s
    while waiting:
        remaining_s = deadline_s - time.monotonic()
        if remaining_s <= 0:
            return
        for pidfd, _ in poller.poll(remaining_s * 1000):
            poller.unregister(pidfd)
            del waiting[pidfd]
