"""`sentinel-sim fsu ...` as a program, on veth pairs in scratch namespaces, with real packets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sentinel_bpf import bpffs
from sentinel_bpf.netns import run_in_netns
from sentinel_sim.host.release import RUN_ROOT

pytestmark = pytest.mark.lab

PROGRAM = (sys.executable, "-c", "from sentinel_sim.cli.main import main; main()")
LEFT, RIGHT = "10.77.1.1", "10.77.1.2"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def fsu(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (*PROGRAM, "fsu", *words),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def ip(*words: str) -> str:
    done = subprocess.run(("ip", *words), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def pair() -> Iterator[tuple[str, str]]:
    """Two namespaces joined by veth `v0`, with addresses; nothing of them or of ours stays."""
    names = tuple(f"sentinel-t{os.getpid()}-{side}" for side in "lr")
    for name in names:
        ip("netns", "add", name)
    try:
        left, right = names
        ip(
            "link",
            "add",
            "name",
            "v0",
            "netns",
            left,
            "type",
            "veth",
            "peer",
            "name",
            "v0",
            "netns",
            right,
        )
        for name, address in ((left, LEFT), (right, RIGHT)):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "v0")
            ip("-n", name, "link", "set", "v0", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield left, right
    finally:
        for name in names:
            fsu("detach", "v0", "--netns", name)
            subprocess.run(("ip", "netns", "del", name), check=False)
        fsu("clean")
        assert not (RUN_ROOT / "fsu").exists()


def ping(netns: str, target: str, count: int = 5) -> None:
    words = ("ip", "netns", "exec", netns, "ping", "-q", "-i", "0.01", "-c", str(count), target)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def status_of(interface: str) -> dict[str, Any]:
    document = json.loads(fsu("status", "--json").stdout)
    (found,) = (u for u in document["units"] if u["ends"][0]["ifname"] == interface)
    return dict(found)


def attached(netns: str, interface: str = "v0") -> dict[str, Any] | None:
    (link,) = json.loads(ip("-n", netns, "-j", "-d", "link", "show", "dev", interface))
    found: dict[str, Any] | None = link.get("xdp")
    return found


def test_attach_watch_and_detach(pair: tuple[str, str]) -> None:
    left, right = pair
    done = fsu("attach", "v0", "--netns", right)
    assert done.returncode == 0, done.stderr
    assert "fsu top v0" in done.stderr
    program = attached(right)
    assert program is not None
    ping(left, RIGHT)

    state = status_of("v0")
    assert state["ends"][0]["state"] == "attached"
    assert state["ends"][0]["program_id"] == program["prog"]["id"]
    assert state["counters"]["flow4"] >= 5
    assert state["heartbeat"]["expected"] is False
    assert {fact["name"] for fact in state["maps"]} >= {"flow_metrics_map", "flow_metrics6"}

    top = json.loads(fsu("top", "--once", "--json", "--filter", LEFT).stdout)
    (row,) = top["rows"]
    assert (row["source"], row["target"], row["packets_total"]) == (LEFT, RIGHT, 5)
    words = fsu("top", "v0", "--once").stdout
    assert f"icmp {LEFT} > {RIGHT}" in words

    dump = json.loads(fsu("dump", "v0", "--json").stdout)
    (flow,) = (f for f in dump["units"][0]["flows"] if f["protocol"] == 1)
    assert flow["forward"]["packets_total"] == 5
    assert "prediction" in flow["forward"]

    done = fsu("detach", "v0", "--netns", right)
    assert done.returncode == 0, done.stderr
    assert attached(right) is None
    assert not (RUN_ROOT / "fsu").exists()
    assert not bpffs.is_bpffs(RUN_ROOT / "fsu" / "bpf")


def test_attaching_twice_is_refused_and_changes_nothing(pair: tuple[str, str]) -> None:
    _, right = pair
    assert fsu("attach", "v0", "--netns", right).returncode == 0
    before = attached(right)
    again = fsu("attach", "v0", "--netns", right)
    assert again.returncode == 2
    assert "attached already" in again.stderr
    assert f"fsu detach v0 --netns {right}" in again.stderr
    assert attached(right) == before


def test_a_foreign_program_is_named_and_left_alone(pair: tuple[str, str], tmp_path: Path) -> None:
    _, right = pair
    source, built = tmp_path / "alien.c", tmp_path / "alien.o"
    source.write_text(
        '__attribute__((section("xdp"), used)) int alien_program(void *ctx) { return 2; }\n'
        'char kind[] __attribute__((section("license"), used)) = "GPL";\n'
    )
    subprocess.run(
        ["clang", "-O2", "-g", "-target", "bpf", "-c", str(source), "-o", str(built)], check=True
    )
    ip("-n", right, "link", "set", "dev", "v0", "xdp", "obj", str(built), "sec", "xdp")
    before = attached(right)
    done = fsu("attach", "v0", "--netns", right)
    assert done.returncode == 2
    assert "another XDP program is attached there: alien_program" in done.stderr
    assert before is not None
    assert attached(right) == before
    assert fsu("detach", "v0", "--netns", right).returncode == 2
    assert attached(right) == before


def test_an_interface_that_vanished_is_shown_and_cleaned(pair: tuple[str, str]) -> None:
    left, right = pair
    assert fsu("attach", "v0", "--netns", right).returncode == 0
    ip("-n", left, "link", "del", "v0")
    assert status_of("v0")["ends"][0]["state"] == "interface gone"
    assert status_of("v0")["stale"] is True
    dry = json.loads(fsu("clean", "--dry-run", "--json").stdout)
    assert [one["detail"] for one in dry["found"]] == ["interface gone"]
    assert status_of("v0")["stale"] is True
    assert fsu("clean").returncode == 0
    assert json.loads(fsu("status", "--json").stdout)["units"] == []


def test_cleaning_leaves_what_is_attached(pair: tuple[str, str]) -> None:
    _, right = pair
    assert fsu("attach", "v0", "--netns", right).returncode == 0
    assert "nothing to clean" in fsu("clean").stdout
    assert attached(right) is not None


def test_native_where_the_driver_has_none_names_the_generic_mode(pair: tuple[str, str]) -> None:
    _, right = pair
    done = fsu("attach", "lo", "--netns", right)
    assert done.returncode == 2
    assert "no native XDP" in done.stderr
    assert "generic" in done.stderr
    assert attached(right, "lo") is None
    assert fsu("attach", "lo", "--netns", right, "--mode", "generic").returncode == 0
    assert fsu("detach", "lo", "--netns", right).returncode == 0


def test_without_root_the_exact_command_is_given() -> None:
    words = ("setpriv", "--reuid", "65534", "--clear-groups", "--", *PROGRAM, "fsu", "attach", "v0")
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SENTINEL_FLOWS": "128", "HOME": "/nonexistent"},
    )
    assert done.returncode == 3
    assert "needs root" in done.stderr
    assert "cure: sudo SENTINEL_FLOWS=128 " in done.stderr
    assert "fsu attach v0" in done.stderr


def test_names_that_do_not_exist_are_said(pair: tuple[str, str]) -> None:
    _, right = pair
    missing = fsu("attach", "v9", "--netns", right)
    assert missing.returncode == 2
    assert f"interface v9 in /run/netns/{right}: no such interface" in missing.stderr
    nowhere = fsu("attach", "v0", "--netns", "sentinel-nowhere")
    assert nowhere.returncode == 2
    assert "sentinel-nowhere" in nowhere.stderr
    empty = fsu("top", "--once")
    assert empty.returncode == 2
    assert "attached on this host: none" in empty.stderr


def test_pins_that_would_end_with_the_command_are_refused(pair: tuple[str, str]) -> None:
    _, right = pair
    if bpffs.is_bpffs(bpffs.HOST_BPFFS):
        pytest.skip("this host has a bpffs: pins lie there")
    words = ("ip", "netns", "exec", right, *PROGRAM, "fsu", "attach", "v0")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--netns NAME" in done.stderr
    assert attached(right) is None


def test_the_heart_of_a_killed_command_stops_and_packets_pass_as_bypassed(
    pair: tuple[str, str],
) -> None:
    left, right = pair
    words = (*PROGRAM, "fsu", "attach", "v0", "--netns", right, "--beat", "--json")
    beating = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert beating.stderr is not None
        assert "beating its heart" in beating.stderr.readline()
        ping(left, RIGHT)
        assert status_of("v0")["counters"]["bypassed"] == 0
        assert status_of("v0")["heartbeat"]["stale"] is False
        beating.send_signal(signal.SIGKILL)
        beating.wait()
        # Traffic never stops: 100 packets/s for 3 s, of which 2 s at most may pass before the
        # dead heart is noticed. How soon they begin after the kill depends on the host.
        ping(left, RIGHT, count=300)
    finally:
        beating.kill()
        beating.communicate()
    state = status_of("v0")
    assert state["heartbeat"]["stale"] is True
    assert state["ends"][0]["state"] == "attached"
    assert 100 <= state["counters"]["bypassed"] <= 300


def test_a_bpffs_of_the_host_is_used_through_a_directory_of_ours(
    pair: tuple[str, str], tmp_path: Path
) -> None:
    """The host's own bpffs, played by one that is mounted for this test."""
    from datetime import UTC, datetime

    from sentinel_bpf.loader import compile_flow_math
    from sentinel_sim.fsu.registry import Registry

    _, right = pair
    host = tmp_path / "bpf"
    bpffs.mount_bpffs(host)
    try:
        registry = Registry(tmp_path / "run", bpffs_directory=host)
        place = Path("/run/netns") / right
        with compile_flow_math() as compiled:
            record = registry.attach(
                compiled, "v0", place, mode="native", flows_max=64, now_utc=datetime.now(UTC)
            )
        assert Path(record.pins).parent == host / "sentinel-sim" / "fsu"
        orphan = host / "sentinel-sim" / "fsu" / "n1i1"
        orphan.mkdir()
        (found,) = registry.clean(dry_run=False)
        assert found.unit == "n1i1"
        assert attached(right) is not None
        registry.detach("v0", place)
        assert not (host / "sentinel-sim").exists()
        assert attached(right) is None
    finally:
        bpffs.unmount_bpffs(host)


def test_batch_and_single_reading_agree(pair: tuple[str, str]) -> None:
    from sentinel_bpf import maps
    from sentinel_bpf.bpffs import PinDirectory

    left, right = pair
    assert fsu("attach", "v0", "--netns", right, "--flows", "256").returncode == 0
    ping(left, RIGHT)

    def send() -> None:
        import socket

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for port in range(2000, 2100):
                sock.sendto(b"x", (RIGHT, port))

    run_in_netns(f"/run/netns/{left}", send)
    pins = PinDirectory(Path(status_of("v0")["pins"]))
    with pins.opened("flow_metrics_map", read_only=True) as fd:
        batch = dict(maps.items(fd))
        single = dict(maps.items_one_by_one(fd))
    assert batch == single
    assert len(batch) >= 101
