"""What a result depends on besides its file: kernel, versions, commit, processor."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("sentinel-sim", "grpcio", "protobuf", "pyroute2", "numpy", "numba", "scipy", "mininet")
GIT_TIMEOUT_S = 10

Output = Callable[[Sequence[str]], bytes | None]
"""Runs a command and gives its standard output; None where it failed or is not installed."""


def command_output(command: Sequence[str]) -> bytes | None:
    """The default `Output`."""
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            timeout=GIT_TIMEOUT_S,
            env={**os.environ, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def commit_of(folder: Path, output: Output = command_output) -> str | None:
    """Commit of the checkout that `folder` lies in; None when it is not in one.

    With uncommitted changes to tracked files, `+dirty.` and a digest of them is added: two
    different dirty trees are two different commits.
    """
    # The experiment runs as root, in a checkout that often belongs to somebody else.
    git = ("git", "-c", f"safe.directory={_top(folder)}", "-C", str(folder))
    head = output((*git, "rev-parse", "HEAD"))
    if head is None:
        return None
    changes = output((*git, "diff", "HEAD", "--no-ext-diff", "--binary"))
    commit = head.decode().strip()
    if changes is None:
        return f"{commit}+unknown"
    if changes:
        return f"{commit}+dirty.{hashlib.sha256(changes).hexdigest()[:8]}"
    return commit


def _top(folder: Path) -> Path:
    """The nearest folder upwards that holds `.git`; `folder` itself where there is none."""
    for candidate in (folder, *folder.parents):
        if (candidate / ".git").exists():
            return candidate
    return folder


def versions() -> dict[str, str | None]:
    """Installed versions of the packages that figures can depend on; None: not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def host_environment(output: Output = command_output) -> dict[str, Any]:
    """What this process can say of the host; the backend adds its part."""
    return {
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpu_count": os.cpu_count(),
        "versions": versions(),
        "commit": commit_of(Path(__file__).resolve().parent, output),
    }
