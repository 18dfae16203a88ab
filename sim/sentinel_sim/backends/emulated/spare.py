"""Spare daemons: loaded once in each node, and copied as often as one is needed.

A daemon takes most of a second of CPU to load, which takes several under full load; a copy of one
that is loaded takes milliseconds. The spare itself never becomes the node's daemon: it forks.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

SPARE_NICE = 10
"""While it is loaded: flows come first."""
FORK_TIMEOUT_S = 5.0
"""For a spare that has to be loaded first, on a busy machine."""
PID_BYTES = 4


class Process(Protocol):
    """What is asked of a daemon's process, whoever started it."""

    @property
    def pid(self) -> int:
        """Its id."""
        ...

    def poll(self) -> int | None:
        """None while it runs."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Until it has ended. Raises subprocess.TimeoutExpired."""
        ...

    def kill(self) -> None:
        """SIGKILL."""
        ...


class Forked:
    """A daemon that a spare forked: not our child, and known by its pidfd alone. Owns that."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self.pidfd = pidfd

    def __del__(self) -> None:
        os.close(self.pidfd)

    def poll(self) -> int | None:
        """None while it runs, then 0: only its parent learns how it ended."""
        return 0 if self._ended(0) else None

    def wait(self, timeout: float | None = None) -> int:
        """Until it has ended. Raises subprocess.TimeoutExpired."""
        if not self._ended(None if timeout is None else timeout * 1e3):
            raise subprocess.TimeoutExpired(f"pid {self.pid}", timeout or 0.0)
        return 0

    def kill(self) -> None:
        """SIGKILL, and to nobody else."""
        if self.poll() is None:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def _ended(self, timeout_ms: float | None) -> bool:
        poller = select.poll()
        poller.register(self.pidfd, select.POLLIN)
        return bool(poller.poll(timeout_ms))


def pidfd_of(process: Process) -> int:
    """Another descriptor of it, for the caller to close."""
    if isinstance(process, Forked):
        return os.dup(process.pidfd)
    # Our child, and nobody has waited for it: the id is still its own.
    return os.pidfd_open(process.pid)


@dataclass(slots=True)
class Spare:
    """A loaded daemon that waits to be copied; it ends when its line is closed."""

    process: subprocess.Popen[bytes]
    line: socket.socket
    is_loaded: bool = False

    async def loaded(self) -> None:
        """Return when it is. Raises OSError if it died."""
        if self.is_loaded:
            return
        self.line.setblocking(False)
        if not await asyncio.get_running_loop().sock_recv(self.line, 1):
            raise ConnectionError("it ended while it was loaded")
        self.is_loaded = True

    def fork(self) -> Forked | None:
        """A daemon, as soon as the spare is loaded; None if it is dead. Blocks."""
        if self.process.poll() is not None:
            return None
        try:
            for task in Path(f"/proc/{self.process.pid}/task").iterdir():
                os.setpriority(os.PRIO_PROCESS, int(task.name), 0)
            self.line.settimeout(FORK_TIMEOUT_S)
            if not self.is_loaded:
                self.is_loaded = bool(self.line.recv(1))
            self.line.send(b"g")
            data, descriptors, _, _ = socket.recv_fds(self.line, PID_BYTES, 1)
        except OSError:
            return None
        if len(data) != PID_BYTES or not descriptors:
            return None
        return Forked(int.from_bytes(data, "big"), descriptors[0])
