"""Run outside programs: argument tuples in, status and text out, no shell, no locale."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

STATUS_NO_PROGRAM = 127
STATUS_TIMED_OUT = 124
COMMAND_TIME_LIMIT_S = 120.0
"""Far beyond any use, also for importing bcc in an emulated guest (40 s)."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a program ended. `status` is its exit status; 127: no such program; 124: timed out."""

    status: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.status == 0

    @property
    def last_line(self) -> str:
        """The last line it said, stderr preferred: mostly the reason of a failure."""
        lines = (self.stderr.strip() or self.stdout.strip()).splitlines()
        return lines[-1].strip() if lines else ""


CommandRunner = Callable[[tuple[str, ...]], CommandResult]


def run_command(arguments: tuple[str, ...]) -> CommandResult:
    """Run one program to its end, two minutes at most, with LC_ALL=C and /usr/sbin in the path."""
    path = os.environ.get("PATH", os.defpath)
    environment = {**os.environ, "LC_ALL": "C", "PATH": f"{path}:/usr/sbin:/sbin"}
    try:
        done = subprocess.run(
            arguments,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            env=environment,
            timeout=COMMAND_TIME_LIMIT_S,
            check=False,
        )
    except FileNotFoundError:
        return CommandResult(STATUS_NO_PROGRAM, "", f"{arguments[0]}: not installed")
    except subprocess.TimeoutExpired:
        return CommandResult(STATUS_TIMED_OUT, "", f"no end after {COMMAND_TIME_LIMIT_S:.0f} s")
    return CommandResult(done.returncode, done.stdout, done.stderr)
