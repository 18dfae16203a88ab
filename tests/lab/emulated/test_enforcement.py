"""What a node's own root can do against the FSU: nothing that the outer end does not see."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.lab.emulated.runs import MBIT, bulk

from sentinel_bpf.bpffs import PinDirectory
from sentinel_bpf.flow_map import read_counters
from sentinel_bpf.unit import UnitRecord, end_report, read_records
from sentinel_sim.backends.emulated.backend import EmulatedBackend
from sentinel_sim.backends.emulated.confinement import NODE_ROOT_PRIVILEGES, node_root
from sentinel_sim.backends.emulated.options import EmulationOptions
from sentinel_sim.host.commands import CommandResult, run_command
from sentinel_sim.host.doctor import wire_backend
from sentinel_sim.host.release import RUN_ROOT
from sentinel_sim.plan.model import Arm

pytestmark = pytest.mark.lab

# Frames of an unknown kind, straight to the interface, past the kernel's IP stack.
RAW_FRAMES = """
import socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
    sock.bind((sys.argv[1], 0))
    for _ in range(int(sys.argv[2])):
        sock.send(b"\\xff" * 12 + b"\\x88\\xb5" + bytes(60))
"""

# A veth pair in the namespace of the interface's peer, which is named by its netnsid (rtnetlink(7):
# IFLA_TARGET_NETNSID is 46). Says "made", or the error the kernel answers.
LINK_BY_NETNSID = """
import errno, socket, struct, sys
from pyroute2 import IPRoute
with IPRoute() as netlink:
    (link,) = netlink.get_links(ifname=sys.argv[1])
    there = link.get_attr("IFLA_LINK_NETNSID")
def attribute(kind, payload):
    size = 4 + len(payload)
    return struct.pack("HH", size, kind) + payload + bytes(-size % 4)
body = struct.pack("BxHiII", 0, 0, 0, 0, 0) + attribute(3, b"around\\0")
body += attribute(46, struct.pack("i", there)) + attribute(18, attribute(1, b"veth\\0"))
with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
    # RTM_NEWLINK; request, acknowledge, exclusively create
    sock.send(struct.pack("IHHII", 16 + len(body), 16, 0x605, 1, 0) + body)
    (code,) = struct.unpack_from("i", sock.recv(4096), 16)
print(errno.errorcode[-code] if code else "made")
"""


@dataclass
class Prison:
    """A running network, and the root of its sender."""

    backend: EmulatedBackend
    record: UnitRecord

    @property
    def interface(self) -> str:
        return self.record.ends[0].ifname

    def as_root(self, *command: str) -> CommandResult:
        pid = self.backend.node_pid("n0")
        return run_command(node_root(pid, *command))

    def seen(self) -> dict[str, int]:
        with PinDirectory(Path(self.record.pins)).opened("fsu_counters", read_only=True) as fd:
            return read_counters(fd)

    def states(self) -> list[str]:
        pins = PinDirectory(Path(self.record.pins))
        return [end_report(pins, end).state for end in self.record.ends]


@pytest.fixture
def prison() -> Iterator[Prison]:
    spec = bulk(Arm.TUNED, hops=1, rate_bps=100 * MBIT)
    with asyncio.Runner() as runner:
        backend = EmulatedBackend(spec, EmulationOptions(wire_backend()))
        runner.run(backend.__aenter__())
        try:
            runner.run(backend.prepare(spec))
            records = read_records(RUN_ROOT / backend.layout.run_id / "fsu")
            (record,) = (r for r in records if r.node == "n0")
            yield Prison(backend, record)
        finally:
            runner.run(backend.__aexit__(None, None, None))


def test_a_nodes_root_is_what_it_is_said_to_be(prison: Prison) -> None:
    status = prison.as_root("cat", "/proc/self/status").stdout
    masks = {line.split(":")[0]: line.split()[-1] for line in status.splitlines() if "Cap" in line}
    both = f"{1 << 12 | 1 << 13:016x}"  # CAP_NET_ADMIN, CAP_NET_RAW
    assert masks["CapEff"] == masks["CapPrm"] == masks["CapBnd"] == both
    assert prison.as_root("id", "-u").stdout.strip() == "0"
    assert prison.as_root("ip", "-br", "link", "show", "dev", prison.interface).ok


def test_it_cannot_take_the_program_off(prison: Prison) -> None:
    off = prison.as_root("ip", "link", "set", "dev", prison.interface, "xdp", "off")
    assert not off.ok
    assert "Can't replace active BPF XDP link" in off.stderr or "busy" in off.stderr
    assert prison.states() == ["attached", "attached"]


def test_bpf_is_closed_to_it(prison: Prison) -> None:
    for words in (("prog", "show"), ("link", "show"), ("map", "show")):
        done = prison.as_root("bpftool", *words)
        assert not done.ok
        assert "Operation not permitted" in done.stderr
    number = str(end_report(PinDirectory(Path(prison.record.pins)), prison.record.ends[0]).link_id)
    assert not prison.as_root("bpftool", "link", "detach", "id", number).ok
    assert prison.states() == ["attached", "attached"]


def test_it_sees_neither_pins_nor_namespaces_nor_processes_of_others(prison: Prison) -> None:
    assert prison.as_root("ls", "/run/netns").stdout == ""
    assert prison.as_root("ls", str(Path(prison.record.pins).parent)).stdout == ""
    assert prison.as_root("umount", "/run/netns").ok is False
    assert prison.as_root("kill", "-0", str(os.getpid())).ok is False
    seen = prison.as_root("sh", "-c", "ls -d /proc/[0-9]*").stdout.split()
    assert len(seen) < 5


def test_it_cannot_lay_a_link_around_the_wire(prison: Prison) -> None:
    """With CAP_NET_ADMIN over the host's user namespace, any of these would do."""
    inner, outer = prison.record.ends
    assert inner.netns is not None
    around = ("ip", "link", "add", "name", "around", "type", "veth", "peer", "name", "a1")
    assert not prison.as_root(*around, "netns", str(os.getpid())).ok
    assert not prison.as_root("nsenter", f"--net={outer.netns}", "true").ok
    by_number = (sys.executable, "-c", LINK_BY_NETNSID, prison.interface)
    wire = Path(outer.netns or "").name
    assert prison.as_root(*by_number).stdout.strip() == "EPERM"
    # That attempt is a real one: with CAP_NET_ADMIN over the host's user namespace it succeeds.
    node = ("nsenter", "--target", str(prison.backend.node_pid("n0")), "--net", "--")
    assert run_command((*node, *NODE_ROOT_PRIVILEGES, *by_number)).stdout.strip() == "made"
    assert run_command(("ip", "-n", wire, "link", "del", "around")).ok


def test_raw_frames_are_counted_by_the_outer_end(prison: Prison) -> None:
    before = prison.seen()["not_ip"]
    assert prison.as_root(sys.executable, "-c", RAW_FRAMES, prison.interface, "200").ok
    assert prison.seen()["not_ip"] >= before + 200


def test_another_address_mac_and_route_change_nothing(prison: Prison) -> None:
    interface = prison.interface
    for words in (
        ("addr", "flush", "dev", interface),
        ("link", "set", "dev", interface, "address", "02:00:00:00:00:99"),
        ("addr", "add", "192.0.2.1/24", "dev", interface),
        ("route", "replace", "198.51.100.0/24", "via", "192.0.2.2", "onlink", "dev", interface),
        ("neigh", "replace", "192.0.2.2", "lladdr", "02:00:00:00:00:98", "dev", interface),
    ):
        done = prison.as_root("ip", *words)
        assert done.ok, done.stderr
    before = prison.seen()["flow4"]
    prison.as_root("ping", "-q", "-c", "20", "-i", "0.01", "-W", "1", "198.51.100.7")
    assert prison.seen()["flow4"] >= before + 20


def test_taking_its_own_interface_away_takes_its_own_network_away(prison: Prison) -> None:
    assert prison.as_root("ip", "link", "del", prison.interface).ok
    assert set(prison.states()) == {"interface gone"}
    left = json.loads(prison.as_root("ip", "-j", "link", "show").stdout)
    assert [link["ifname"] for link in left] == ["lo"]


def test_the_daemons_have_dropped_all_but_their_network(prison: Prison) -> None:
    for name, pid in prison.backend.pids().items():
        if name.startswith("node "):
            status = Path(f"/proc/{pid}/status").read_text()
            assert f"CapEff:\t{1 << 12:016x}" in status
            assert f"CapBnd:\t{1 << 12:016x}" in status
            assert "NoNewPrivs:\t1" in status
