"""Compiled sources, once per session, and scratch namespaces that are always removed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sentinel_bpf.loader import (
    CompiledSource,
    ProgramSet,
    compile_drive,
    compile_flow_math,
    compile_wire,
)

NewNetns = Callable[[str], Path]


def _missing() -> str | None:
    if os.geteuid() != 0:
        return "needs root"
    for program in ("ip", "tc", "bpftool", "clang"):
        if shutil.which(program) is None:
            return f"{program} is missing: apt-get install -y iproute2 bpftool clang"
    return None


@pytest.fixture(scope="session", autouse=True)
def bpf_lab() -> None:
    """Skip, saying what is missing; fail instead where the lab must be there."""
    reason = _missing()
    if reason is None:
        return
    if os.environ.get("CI") == "true" or os.environ.get("SENTINEL_REQUIRE_LAB") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def flow_source(bpf_lab: None) -> Iterator[CompiledSource]:
    """The FSU as runs use it."""
    with compile_flow_math() as compiled:
        yield compiled


@pytest.fixture(scope="session")
def clocked_source(bpf_lab: None) -> Iterator[CompiledSource]:
    """The FSU with its time taken from a map."""
    with compile_flow_math(["-DSENTINEL_TEST_CLOCK"]) as compiled:
        yield compiled


@pytest.fixture(scope="session")
def wire_source(bpf_lab: None) -> Iterator[CompiledSource]:
    """Loss stage and probes."""
    with compile_wire() as compiled:
        yield compiled


@pytest.fixture(scope="session")
def drive_source(bpf_lab: None) -> Iterator[CompiledSource]:
    """Drivers of test runs."""
    with compile_drive() as compiled:
        yield compiled


@pytest.fixture
def fsu(flow_source: CompiledSource) -> Iterator[ProgramSet]:
    """A fresh FSU."""
    with flow_source.instantiate() as programs:
        yield programs


@pytest.fixture
def clocked_fsu(clocked_source: CompiledSource) -> Iterator[ProgramSet]:
    """A fresh FSU with an artificial clock."""
    with clocked_source.instantiate() as programs:
        yield programs


@pytest.fixture
def new_netns() -> Iterator[NewNetns]:
    """Make namespaces by a short name; the value is the path. Removed whatever happens."""
    made: list[str] = []

    def make(short: str) -> Path:
        name = f"sentinel-t{os.getpid()}-{short}"
        subprocess.run(["ip", "netns", "add", name], check=True)
        made.append(name)
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        return Path("/run/netns") / name

    yield make
    for name in reversed(made):
        subprocess.run(["ip", "netns", "del", name], check=True)
