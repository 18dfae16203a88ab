"""A host of its own for each test: folders instead of /run, fakes for what needs root."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sentinel_sim.host.release import HostPaths, Undo

WAIT_FOR_INPUT = "import sys; print('up', flush=True); sys.stdin.read()"
IGNORE_SIGTERM = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAIT_FOR_INPUT}"

StartProcess = Callable[..., "subprocess.Popen[str]"]


@dataclass
class FakeUndo:
    """Records what would have been undone as root."""

    done: list[str] = field(default_factory=list)
    refuse: set[str] = field(default_factory=set)

    def unmount(self, path: Path) -> None:
        if path.name in self.refuse:
            raise PermissionError(1, "Operation not permitted", str(path))
        self.done.append(f"unmount {path.name}")

    def delete_interface(self, name: str) -> None:
        self.done.append(f"delete {name}")

    def as_undo(self) -> Undo:
        return Undo(self.unmount, self.delete_interface)


@pytest.fixture
def undo() -> FakeUndo:
    return FakeUndo()


@pytest.fixture
def paths(tmp_path: Path) -> HostPaths:
    (tmp_path / "netns").mkdir()
    return HostPaths(tmp_path / "run" / "sentinel-sim", tmp_path / "netns")


@pytest.fixture
def start() -> Iterator[StartProcess]:
    """Start a Python process that is up when this returns and ends with the test at the latest."""
    started: list[subprocess.Popen[str]] = []

    def run(
        *words: str, code: str = WAIT_FOR_INPUT, env: dict[str, str] | None = None
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            (sys.executable, "-S", "-c", code, *words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()
