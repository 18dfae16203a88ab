"""The doctor on a host of recorded answers."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from sentinel_sim.host import doctor, probes
from sentinel_sim.host.capabilities import (
    CATALOGUE,
    KERNEL_CURE,
    Capability,
    Finding,
    Status,
    draw_verdict,
    judge,
)
from sentinel_sim.host.commands import CommandResult, run_command
from sentinel_sim.host.probes import PROBES, Lab

OK = CommandResult(0, "", "")
UNKNOWN_QDISC = CommandResult(2, "", "Error: Specified qdisc kind is unknown.\n")


class RecordedHost:
    """Answers commands by their words; all else succeeds."""

    def __init__(self, answers: dict[str, CommandResult]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, arguments: tuple[str, ...]) -> CommandResult:
        line = " ".join(arguments)
        self.asked.append(line)
        return next((answer for words, answer in self.answers.items() if words in line), OK)


def find(name: str, answers: dict[str, CommandResult], root: Path = Path("/")) -> Finding:
    return PROBES[name](Lab(RecordedHost(answers), "sentinel-doctor-1", root=root))


def test_every_entry_of_the_catalogue_has_a_probe() -> None:
    assert set(PROBES) == {entry.name for entry in CATALOGUE}


def test_an_unknown_qdisc_is_missing_with_the_kernels_own_words() -> None:
    finding = find("netem", {"root netem": UNKNOWN_QDISC})
    assert finding == Finding(Status.MISSING, "Error: Specified qdisc kind is unknown.")
    assert find("tbf", {"root netem": UNKNOWN_QDISC}).status is Status.FOUND


def test_a_program_that_is_not_installed_is_missing() -> None:
    absent = run_command(("sentinel-no-such-program",))
    finding = find("clang", {"clang": absent})
    assert finding == Finding(Status.MISSING, "sentinel-no-such-program: not installed")
    assert judge("clang", finding).cure == "apt-get install --yes clang llvm"


def test_nfqueue_names_each_iptables_that_refuses() -> None:
    refused = CommandResult(2, "", "iptables: No chain/target/match by that name.\n")
    finding = find("NFQUEUE", {"iptables-nft": refused, "iptables-legacy": refused})
    assert finding.status is Status.MISSING
    assert finding.detail.count("No chain/target/match") == 2


def _refused_namespaces(tmp_path: Path, words: str, **limits: str) -> Capability:
    """What the doctor says where the trial of a node's namespaces ends with these words."""
    (tmp_path / "proc/self/ns").mkdir(parents=True)
    (tmp_path / "proc/self/ns/user").touch()
    (tmp_path / "proc/sys/user").mkdir(parents=True)
    for kind in ("user", "net", "mnt", "pid"):
        (tmp_path / f"proc/sys/user/max_{kind}_namespaces").write_text(limits.get(kind, "96343"))
    answer = CommandResult(1, "", f"unshare: unshare failed: {words}\n")
    finding = find("user namespaces", {"--map-root-user": answer}, tmp_path)
    return judge("user namespaces", finding)


@pytest.mark.parametrize(
    ("limits", "cure"),
    [
        ({"user": "0"}, "sysctl -w user.max_user_namespaces=10000"),
        ({"net": "0"}, "sysctl -w user.max_net_namespaces=10000"),
        ({"user": "64"}, "sysctl -w user.max_user_namespaces=10000"),
    ],
)
def test_the_limit_that_forbids_user_namespaces_is_named_and_raised(
    tmp_path: Path, limits: dict[str, str], cure: str
) -> None:
    found = _refused_namespaces(tmp_path, "No space left on device", **limits)
    assert found.status is Status.MISSING
    ((kind, value),) = limits.items()
    assert f"user.max_{kind}_namespaces = {value}" in found.detail
    assert found.cure == cure
    assert not draw_verdict(
        [judge(e.name, Finding(Status.FOUND, "")) for e in CATALOGUE if e.name != found.name]
        + [found]
    ).ready


def test_user_namespaces_forbidden_or_absent_are_told_apart(tmp_path: Path) -> None:
    forbidden = _refused_namespaces(tmp_path, "Operation not permitted")
    assert "privileged container" in forbidden.cure
    (tmp_path / "proc/self/ns/user").unlink()
    answer = CommandResult(1, "", "unshare: unshare failed: Invalid argument\n")
    absent = find("user namespaces", {"--map-root-user": answer}, tmp_path)
    assert absent.detail == "not in this kernel (CONFIG_USER_NS)"
    assert absent.cure == KERNEL_CURE


@pytest.mark.parametrize(
    ("mounts", "filesystems", "status"),
    [
        ("none /sys/fs/bpf bpf rw 0 0\n", "nodev\tbpf\n", Status.FOUND),
        ("", "nodev\tbpf\n", Status.DEGRADED),
        ("", "nodev\ttmpfs\n", Status.MISSING),
    ],
)
def test_bpffs_may_be_mounted_mountable_or_absent(
    tmp_path: Path, mounts: str, filesystems: str, status: Status
) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "mounts").write_text(mounts)
    (tmp_path / "proc" / "filesystems").write_text(filesystems)
    assert find("bpffs", {}, tmp_path).status is status


def test_without_a_namespace_what_needs_one_is_unknown() -> None:
    lab = Lab(RecordedHost({}), None)
    unknown = {name for name, probe in PROBES.items() if probe(lab).status is Status.UNKNOWN}
    assert {"netem", "tbf", "htb", "clsact", "NFQUEUE", "veth native XDP", "tc BPF"} <= unknown


def test_scratch_namespace_is_removed_whatever_happens() -> None:
    host = RecordedHost({})
    with pytest.raises(KeyError), probes.scratch(host, as_root=True) as lab:
        raise KeyError(lab.namespace)
    assert lab.namespace is not None
    assert host.asked[-1] == f"ip netns del {lab.namespace}"


def test_a_host_that_allows_no_namespaces_says_why() -> None:
    refusal = CommandResult(1, "", "mkdir /run/netns failed: Read-only file system\n")
    with probes.scratch(RecordedHost({"netns add": refusal}), as_root=True) as lab:
        finding = PROBES["network namespaces"](lab)
    assert finding.status is Status.MISSING
    assert "Read-only file system" in finding.detail


def _capabilities() -> list[Capability]:
    finding = Finding(Status.FOUND, "works [bold]really[/bold]")
    return [judge(entry.name, finding) for entry in CATALOGUE]


def test_the_table_shows_every_capability_and_takes_no_text_for_markup() -> None:
    paper = io.StringIO()
    Console(width=300, file=paper).print(doctor.render(_capabilities()))
    text = paper.getvalue()
    assert all(entry.name in text for entry in CATALOGUE)
    assert "[bold]really[/bold]" in text


def test_json_holds_verdict_and_all_capabilities() -> None:
    document = json.loads(json.dumps(doctor.as_json(_capabilities())))
    assert document["schema"] == "sentinel-sim/doctor/1"
    assert document["verdict"]["ready"] is True
    assert len(document["capabilities"]) == len(CATALOGUE)
    assert document["capabilities"][0]["status"] == "found"
