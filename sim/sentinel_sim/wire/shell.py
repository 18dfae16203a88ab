"""Runs outside programs: argument tuples in, text out; every command is kept for the record."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from typing import Protocol

from sentinel_sim.errors import EmulationError, MissingCapabilityError

COMMAND_TIMEOUT_S = 30


class Shell(Protocol):
    """Runs one command and returns its standard output."""

    def run(self, args: Sequence[str], stdin: str = "") -> str:
        """Run `args`; raise EmulationError with the command and its complaint if it fails."""
        ...


class HostShell:
    """Runs commands on this host and remembers them, in order, as replayable lines."""

    def __init__(self) -> None:
        self.history: list[str] = []

    def run(self, args: Sequence[str], stdin: str = "") -> str:
        line = shlex.join(args)
        self.history.append(line if not stdin else f"{line} <<'END'\n{stdin}END")
        try:
            done = subprocess.run(
                args,
                input=stdin,
                capture_output=True,
                text=True,
                check=False,
                timeout=COMMAND_TIMEOUT_S,
                env={**os.environ, "LC_ALL": "C"},
            )
        except FileNotFoundError as error:
            raise MissingCapabilityError(
                f"the program {args[0]} is not installed", cure="make setup"
            ) from error
        if done.returncode != 0:
            complaint = (done.stderr or done.stdout).strip() or f"exit status {done.returncode}"
            where = f"\n{stdin.rstrip()}" if stdin else ""
            raise EmulationError(f"{line}: {complaint}{where}")
        return done.stdout


class DryShell:
    """Remembers commands without running them: for `--dry-run` and for tests."""

    def __init__(self) -> None:
        self.history: list[str] = []

    def run(self, args: Sequence[str], stdin: str = "") -> str:
        line = shlex.join(args)
        self.history.append(line if not stdin else f"{line} <<'END'\n{stdin}END")
        return ""


def batch(shell: Shell, program: str, namespace: str, lines: Sequence[str]) -> None:
    """Feed `lines` to one `ip` or `tc` process inside a namespace; stops at the first error."""
    if lines:
        shell.run((program, "-n", namespace, "-batch", "-"), "\n".join(lines) + "\n")


def in_namespace(namespace: str, *args: str) -> tuple[str, ...]:
    """`args`, to be run inside a named network namespace."""
    return ("ip", "netns", "exec", namespace, *args)
