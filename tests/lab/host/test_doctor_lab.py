"""The doctor on this very host."""

from __future__ import annotations

import os

import pytest

from sentinel_sim.host import namespaces
from sentinel_sim.host.capabilities import Capability, Status
from sentinel_sim.host.commands import CommandResult, run_command
from sentinel_sim.host.doctor import nfqueue_iptables, run_doctor, verdict, wire_backend
from sentinel_sim.host.state import HostSnapshot
from sentinel_sim.host.user_namespaces import (
    ENOUGH,
    OWN_USER_NAMESPACE,
    TRIAL,
    finding_of,
    limit_path,
)

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def found() -> dict[str, Capability]:
    return {capability.name: capability for capability in run_doctor()}


def test_root_sees_everything(found: dict[str, Capability]) -> None:
    assert [c.name for c in found.values() if c.status is Status.UNKNOWN] == []


def test_the_emulated_backend_is_ready(found: dict[str, Capability]) -> None:
    result = verdict(found.values())
    assert result.ready, f"{result.text}; cure: {result.cure}"
    assert result.wire_backend == wire_backend()


def test_the_doctor_leaves_the_host_as_it_was() -> None:
    run_doctor()  # what it loads is loaded now
    before = HostSnapshot.take()
    run_doctor()
    assert f"sentinel-doctor-{os.getpid()}" not in namespaces.list_namespaces()
    changes = before.diff(HostSnapshot.take())
    assert [str(c) for c in changes if c.what.split()[0] in ("sysctl", "qdisc", "filter")] == []


def test_what_nfqueue_is_said_to_work_with_works() -> None:
    program = nfqueue_iptables()
    assert run_command((program, "--version")).ok


def test_a_host_without_room_for_user_namespaces_is_told_which_limit_to_raise(
    found: dict[str, Capability],
) -> None:
    """Limits hold for each user namespace: one of our own plays the host, ours stays as it is."""
    assert found["user namespaces"].status is Status.FOUND
    lower = f'echo 0 >/{limit_path("user")} && exec "$@"'

    def there(arguments: tuple[str, ...]) -> CommandResult:
        return run_command((*OWN_USER_NAMESPACE, "sh", "-c", lower, "sh", *arguments))

    told = finding_of(there(TRIAL), in_kernel=True, limits={"user": "0"})
    assert told.status is Status.MISSING
    assert told.cure == f"sysctl -w user.max_user_namespaces={ENOUGH}"
    # The cure cures: with that limit the same trial succeeds there.
    lower = lower.replace("echo 0", f"echo {ENOUGH}")
    assert finding_of(there(TRIAL), in_kernel=True, limits={}).status is Status.FOUND


@pytest.mark.lab(needs=("netem",))
def test_netem_takes_a_delay_of_20000_km(found: dict[str, Capability]) -> None:
    assert wire_backend() == "netem"
    name = "sentinel-labtest-netem"
    assert run_command(("ip", "netns", "add", name)).ok
    try:
        veth = ("link", "add", "name", "v0", "type", "veth", "peer", "name", "v1")
        assert run_command(("ip", "-n", name, *veth)).ok
        words = ("qdisc", "replace", "dev", "v0", "root", "netem", "limit", "100000")
        assert run_command(("tc", "-n", name, *words, "delay", "100ms")).ok
        shown = run_command(("tc", "-n", name, "qdisc", "show", "dev", "v0"))
        assert "delay 100ms" in shown.stdout
    finally:
        assert run_command(("ip", "netns", "del", name)).ok
