"""What tests with root and namespaces have in common: they run, or say exactly why not.

Every test here carries the marker `lab`. It says what it needs of the host by the names that
`sentinel-sim doctor` uses: `@pytest.mark.lab(needs=("netem",))`; root, namespaces and veth are
needed by all. What is missing skips the test with the reason. With CI=true or
SENTINEL_REQUIRE_LAB=1 it fails instead: a lab that must be there and is not is no success. The one
exception is netem on a kernel without it: those tests run under `make test-stock-kernel`, where
(SENTINEL_STOCK_KERNEL is set) nothing at all may be skipped.

Those that measure carry `quiet`, too: `pytest -m "not quiet"` can share the machine with other
work.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sentinel_sim.host import namespaces, processes
from sentinel_sim.host.capabilities import Capability, Status
from sentinel_sim.host.clean import clean
from sentinel_sim.host.doctor import run_doctor
from sentinel_sim.host.release import RUN_ROOT
from sentinel_sim.host.state import Change, HostSnapshot

LAB = Path(__file__).parent
MEASURING = ("wire", "emulated", "bench", "bpf/test_swap.py", "bpf/test_rtt_against_tcp.py")
"""What measures time or sends at a rate: it gets the marker `quiet`."""
ALWAYS_NEEDED = ("privileges", "network namespaces", "veth")
TESTED_ELSEWHERE = {"netem": "make test-stock-kernel"}


@functools.cache
def capabilities() -> dict[str, Capability]:
    """Of this host, by name; probed once per session, and only if a lab test was selected."""
    return {capability.name: capability for capability in run_doctor()}


def lab_is_required() -> bool:
    """Whether a lab test that cannot run is a failure."""
    return os.environ.get("CI") == "true" or os.environ.get("SENTINEL_REQUIRE_LAB") == "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything below tests/lab is a lab test, whether or not its author said so."""
    for item in items:
        if item.path.is_relative_to(LAB) and item.get_closest_marker("lab") is None:
            item.add_marker(pytest.mark.lab)
        if any(item.path.is_relative_to(LAB / name) for name in MEASURING):
            item.add_marker(pytest.mark.quiet)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail a lab test before its fixtures, if the host lacks what it needs."""
    needs = {name for mark in item.iter_markers("lab") for name in mark.kwargs.get("needs", ())}
    for name in (*ALWAYS_NEEDED, *sorted(needs)):
        capability = capabilities()[name]
        if not capability.usable:
            _cannot_run(capability)


def _cannot_run(capability: Capability) -> None:
    reason = f"{capability.name} {capability.status}: {capability.detail}; cure: {capability.cure}"
    elsewhere = TESTED_ELSEWHERE.get(capability.name)
    in_guest = "SENTINEL_STOCK_KERNEL" in os.environ
    if elsewhere and capability.status is Status.MISSING and not in_guest:
        pytest.skip(f"{reason} (tested by {elsewhere})")
    if lab_is_required() or in_guest:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _ours() -> set[str]:
    """Namespaces and processes that carry our mark, and records of runs.

    Outside CI another experiment may run at the same time: what belongs to a run whose controller
    lives is then not counted.
    """
    living = set() if os.environ.get("CI") == "true" else set(clean(dry_run=True).running)
    found = {
        f"namespace {name}"
        for name in namespaces.list_namespaces()
        if name.startswith(namespaces.PREFIX) and namespaces.run_id_of(name) not in living
    }
    found |= {
        f"process {view.identity.pid} {' '.join(view.command)}"
        for view in processes.living_processes()
        if view.run_id is not None and view.run_id not in living
    }
    runs = RUN_ROOT.iterdir() if RUN_ROOT.is_dir() else ()
    return found | {f"record {e}" for e in runs if e.is_dir() and e.name not in living}


@pytest.fixture(scope="session", autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """After all lab tests the host is as it was before: no new thing of ours, no change."""
    if os.geteuid() != 0:
        yield
        return
    before, ours_before = HostSnapshot.take(), _ours()
    yield
    left = sorted(_ours() - ours_before)
    assert not left, f"lab tests left on this host: {left}"
    changes = [change for change in before.diff(HostSnapshot.take()) if not _of_others(change)]
    assert not changes, f"lab tests changed the host: {[str(change) for change in changes]}"


def _of_others(change: Change) -> bool:
    """Interfaces that somebody else makes meanwhile are not our doing; in CI there is nobody else.

    Ours never appear in the host's namespace except on their way into another one.
    """
    return os.environ.get("CI") != "true" and change.before is None
