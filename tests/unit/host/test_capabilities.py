"""Findings become statuses, costs, cures, and one verdict."""

from __future__ import annotations

import pytest

from sentinel_sim.errors import EXIT_MISSING, MissingCapabilityError
from sentinel_sim.host import capabilities as caps
from sentinel_sim.host.capabilities import (
    CATALOGUE,
    Capability,
    Finding,
    Need,
    Status,
    choose_wire_backend,
    combined_cure,
    draw_verdict,
    judge,
)

GOOD = Finding(Status.FOUND, "works")
GONE = Finding(Status.MISSING, "no such thing")
DARK = Finding(Status.UNKNOWN, "needs root to look")


def host(by_name: dict[str, Finding] | None = None) -> list[Capability]:
    """A host where all works but what is named."""
    by_name = by_name or {}
    assert by_name.keys() <= {entry.name for entry in CATALOGUE}
    return [judge(entry.name, by_name.get(entry.name, GOOD)) for entry in CATALOGUE]


def test_names_are_unique_and_every_loss_is_stated() -> None:
    assert len({entry.name for entry in CATALOGUE}) == len(CATALOGUE)
    assert all(entry.costs for entry in CATALOGUE)


def test_what_is_found_costs_nothing() -> None:
    assert all(c.costs == c.cure == "" for c in host())


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_what_is_needed_and_missing_makes_the_host_not_ready(entry: caps.Entry) -> None:
    verdict = draw_verdict(host({entry.name: GONE}))
    assert verdict.ready == (entry.need is not Need.ALWAYS)
    assert (entry.name in verdict.text) == (entry.need is Need.ALWAYS)


def test_packages_become_one_command() -> None:
    cure = combined_cure(host(dict.fromkeys(("bcc", "mininet", "ping"), GONE)))
    assert cure == "apt-get install --yes iputils-ping mininet python3-bpfcc"


def test_privileges_come_before_all_other_cures() -> None:
    verdict = draw_verdict(host({"privileges": GONE, "veth": DARK, "mininet": GONE, "netem": DARK}))
    assert verdict.cure == caps.ROOT_CURE
    assert verdict.text == "emulated backend: not ready: privileges missing, mininet missing"


def test_a_cure_of_the_probe_replaces_the_catalogues() -> None:
    capability = judge("bcc", Finding(Status.MISSING, "broken", cure="do this"))
    assert capability.cure == "do this"
    assert combined_cure([capability]) == "do this"


def test_what_could_not_be_looked_at_is_cured_by_root() -> None:
    assert judge("netem", DARK).cure == caps.ROOT_CURE


@pytest.mark.parametrize(
    ("netem", "nfqueue", "compiler", "expected"),
    [
        (GOOD, GOOD, GOOD, "netem"),
        (GOOD, GONE, GONE, "netem"),
        (GONE, GOOD, GOOD, "delayline"),
        (Finding(Status.DEGRADED, "slow"), GOOD, GOOD, "netem"),
    ],
)
def test_netem_is_preferred_to_the_delay_line(
    netem: Finding, nfqueue: Finding, compiler: Finding, expected: str
) -> None:
    findings = {"netem": netem, "NFQUEUE": nfqueue, "C compiler": compiler}
    assert choose_wire_backend(host(findings)) == expected


@pytest.mark.parametrize("broken", ["NFQUEUE", "C compiler"])
def test_without_any_wire_backend_both_are_named_with_a_cure(broken: str) -> None:
    capabilities = host({"netem": GONE, broken: GONE})
    with pytest.raises(MissingCapabilityError, match="netem missing; delayline: ") as caught:
        choose_wire_backend(capabilities)
    assert caught.value.exit_code == EXIT_MISSING
    assert caught.value.cure
    verdict = draw_verdict(capabilities)
    assert not verdict.ready
    assert verdict.wire_backend is None


def test_the_error_of_a_capability_says_what_is_lost() -> None:
    error = judge("veth", GONE).error()
    assert "veth missing: no such thing; without it nothing can be emulated" in str(error)
    assert error.cure == "modprobe veth"


def test_privileges_are_read_from_the_effective_set() -> None:
    assert caps.missing_privileges("CapEff:\t000001ffffffffff\n") == []
    without_admin = 0x1FFFFFFFFFF & ~(1 << 21)
    assert caps.missing_privileges(f"CapEff:\t{without_admin:016x}\n") == ["CAP_SYS_ADMIN"]
    assert caps.missing_privileges("") == list(caps.NEEDED_CAPABILITIES)


def test_mounts_are_found_by_type_not_by_name() -> None:
    text = "bpf /not/bpf tmpfs rw 0 0\nnone /sys/fs/bpf bpf rw 0 0\n\n"
    assert caps.mount_points(text, "bpf") == ["/sys/fs/bpf"]


def test_memory_is_in_mebibytes() -> None:
    assert caps.memory_total_mib("MemFree: 1 kB\nMemTotal:       4007512 kB\n") == 3913
    with pytest.raises(ValueError, match="MemTotal"):
        caps.memory_total_mib("")


@pytest.mark.parametrize(
    ("release", "stalls"),
    [
        ("6.1.0-56-amd64", False),
        ("6.15.9", False),
        ("6.16.0-rc1", True),
        ("6.17.9-arch1-1", True),
        ("6.17.10", False),
        ("6.18.44-fc", False),
        ("7.0", False),
    ],
)
def test_kernels_whose_veth_stalls(release: str, stalls: bool) -> None:
    assert caps.veth_may_stall(release) is stalls


def test_an_unreadable_release_is_refused() -> None:
    with pytest.raises(ValueError, match="custom"):
        caps.kernel_version("custom")


def test_clock_sources() -> None:
    assert caps.judge_clock("tsc", "tsc hpet").status is Status.FOUND
    slow = caps.judge_clock("hpet", "tsc hpet acpi_pm")
    assert slow.status is Status.DEGRADED
    assert slow.cure is not None
    assert slow.cure.startswith("echo tsc > /sys/")
    assert caps.judge_clock("acpi_pm", "acpi_pm").cure == ""


def test_virtual_machines() -> None:
    assert caps.virtualisation("flags\t\t: fpu vme hypervisor lm\n", "QEMU\n") == (
        "virtual machine (QEMU)"
    )
    assert caps.virtualisation("flags\t\t: fpu vme lm\n", "Dell Inc.") == "bare metal"
