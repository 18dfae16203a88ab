"""A controller that is killed leaves nothing that `clean` does not remove."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from sentinel_sim.host import namespaces, processes
from sentinel_sim.host.clean import clean
from sentinel_sim.host.commands import run_command
from sentinel_sim.host.ledger import OwnedKind
from sentinel_sim.host.state import HostSnapshot

pytestmark = pytest.mark.lab

# Makes what a run makes: two namespaces joined by a veth pair, an interface on its way from the
# host's namespace, a daemon with and one without a record, and a process that somebody else moved
# into a namespace of ours.
CONTROLLER = """
import os, subprocess, sys
from sentinel_sim.host.ownership import Ownership

def ip(*words):
    subprocess.run(("ip", *words), check=True)

run = Ownership.create()
a, b = run.namespace_name("a"), run.namespace_name("b")
for name in (a, b):
    run.record_namespace(name)
    ip("netns", "add", name)
ip("link", "add", "name", "eth0", "netns", a, "type", "veth", "peer", "name", "eth0", "netns", b)
ip("-n", a, "link", "set", "eth0", "up")
interface = "sn" + run.run_id
run.record_interface(interface)
ip("link", "add", "name", interface, "type", "veth", "peer", "name", interface + "p")
sleep = ("sleep", "1000")
marked = {**os.environ, **run.environment()}
recorded = subprocess.Popen(("ip", "netns", "exec", a, *sleep), env=marked)
run.record_child(recorded.pid, "daemon of a")
subprocess.Popen(sleep, env=marked)
subprocess.Popen(("ip", "netns", "exec", b, *sleep))
print(run.run_id, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def controller() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        (sys.executable, "-c", CONTROLLER),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    # Not communicate(): its children hold the pipe open until they are cleaned.
    process.wait()
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        stream.close()
    clean(dry_run=False)


def run_id_of(controller: subprocess.Popen[str]) -> str:
    assert controller.stdout is not None
    run_id = controller.stdout.readline().strip()
    assert namespaces.RUN_ID_PATTERN.fullmatch(run_id)
    return run_id


def living_sleepers(run_id: str) -> list[int]:
    """Processes of the run: by its mark or inside its namespaces."""
    names = [n for n in namespaces.list_namespaces() if namespaces.run_id_of(n) == run_id]
    homes = {namespaces.identity_of(namespaces.NETNS_DIRECTORY / name) for name in names}
    return [
        view.identity.pid
        for view in processes.living_processes()
        if view.command[:1] == ("sleep",) and (view.run_id == run_id or view.netns in homes)
    ]


def until_three_sleep(run_id: str) -> None:
    """`ip netns exec` becomes `sleep` a moment after it was started."""
    deadline, waiting = time.monotonic() + 10.0, threading.Event()
    while len(found := living_sleepers(run_id)) < 3 and time.monotonic() < deadline:
        waiting.wait(0.02)
    assert len(found) == 3


def test_everything_of_a_killed_run_is_removed_and_the_host_is_as_before(
    controller: subprocess.Popen[str],
) -> None:
    run_id = run_id_of(controller)
    until_three_sleep(run_id)
    controller.send_signal(signal.SIGKILL)
    controller.wait()

    dry = clean(dry_run=True)
    ours = [item for item in dry.found if item.run_id == run_id]
    kinds = [item.kind for item in ours]
    assert kinds.count(OwnedKind.NAMESPACE) == 2
    assert kinds.count(OwnedKind.PROCESS) == 3
    assert kinds.count(OwnedKind.INTERFACE) == 1
    assert len(living_sleepers(run_id)) == 3

    report = clean(dry_run=False)
    assert set(ours) <= set(report.removed)
    assert [failure for failure in report.failed if failure.leftover.run_id == run_id] == []
    assert [n for n in namespaces.list_namespaces() if namespaces.run_id_of(n) == run_id] == []
    assert living_sleepers(run_id) == []
    assert not run_command(("ip", "link", "show", f"sn{run_id}")).ok
    assert [item for item in clean(dry_run=True).found if item.run_id == run_id] == []


def test_a_living_run_is_not_touched(controller: subprocess.Popen[str]) -> None:
    run_id = run_id_of(controller)
    report = clean(dry_run=False)
    assert run_id in report.running
    assert [item for item in report.found if item.run_id == run_id] == []
    until_three_sleep(run_id)


def test_a_foreign_namespace_and_process_survive_a_clean() -> None:
    name = "sentinel-labtest-foreign"
    assert run_command(("ip", "netns", "add", name)).ok
    try:
        clean(dry_run=False)
        assert name in namespaces.list_namespaces()
    finally:
        assert run_command(("ip", "netns", "del", name)).ok


def test_a_namespace_and_its_mount_change_no_sysctl_of_the_host() -> None:
    before = HostSnapshot.take()
    name = "sentinel-labtest-state"
    assert run_command(("ip", "netns", "add", name)).ok
    try:
        words = ("ip", "netns", "exec", name, "sysctl", "-q", "-w")
        assert run_command((*words, "net.ipv4.ip_forward=1")).ok
        assert run_command((*words, "net.ipv4.tcp_rmem=4096 131072 268435456")).ok
        changes = before.diff(HostSnapshot.take())
        assert [change for change in changes if change.what.startswith("sysctl")] == []
    finally:
        assert run_command(("ip", "netns", "del", name)).ok
