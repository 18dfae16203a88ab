"""Programs on real interfaces: veth pairs in scratch namespaces, with real traffic."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import sentinel_bpf
from sentinel_bpf import test_run
from sentinel_bpf.attach import attach_tc, attach_xdp
from sentinel_bpf.errors import BpfError
from sentinel_bpf.flow_map import read_counters, read_flows
from sentinel_bpf.frames import ETH_IPV4, UDP, ethernet, ipv4, udp
from sentinel_bpf.loader import CompiledSource, ProgramSet
from sentinel_bpf.loss import loss_pattern
from sentinel_bpf.netns import NamespaceGoneError, run_in_netns
from sentinel_bpf.wire import LossStage, WireProbes

pytestmark = pytest.mark.lab

PROGRAM = "flow_stabilization_unit"
SENDER, RECEIVER = "10.71.1.2", "10.71.2.2"
NewNetns = Callable[[str], Path]


class Chain:
    """sender a0 - wa [wire] wb - b0 receiver; the wire forwards IPv4."""

    def __init__(self, new_netns: NewNetns) -> None:
        self.sender, self.wire, self.receiver = map(new_netns, "awb")
        veth(self.sender, "a0", self.wire, "wa")
        veth(self.receiver, "b0", self.wire, "wb")
        for netns, interface, address in (
            (self.sender, "a0", f"{SENDER}/24"),
            (self.wire, "wa", "10.71.1.1/24"),
            (self.receiver, "b0", f"{RECEIVER}/24"),
            (self.wire, "wb", "10.71.2.1/24"),
        ):
            ip(netns, "addr", "add", address, "dev", interface)
        ip(self.sender, "route", "add", "default", "via", "10.71.1.1")
        ip(self.receiver, "route", "add", "default", "via", "10.71.2.1")
        run_in_netns(self.wire, lambda: Path("/proc/sys/net/ipv4/ip_forward").write_text("1"))


def ip(netns: Path, *words: str) -> None:
    subprocess.run(["ip", "-n", netns.name, *words], check=True)


def veth(left: Path, left_name: str, right: Path, right_name: str) -> None:
    words = ["ip", "link", "add", "name", left_name, "netns", left.name, "type", "veth"]
    subprocess.run([*words, "peer", "name", right_name, "netns", right.name], check=True)
    ip(left, "link", "set", left_name, "up")
    ip(right, "link", "set", right_name, "up")


@pytest.fixture
def chain(new_netns: NewNetns) -> Chain:
    return Chain(new_netns)


def a_socket(netns: Path, kind: socket.SocketKind) -> socket.socket:
    """A socket stays in the namespace it was made in, whatever thread uses it."""
    made = run_in_netns(netns, lambda: socket.socket(socket.AF_INET, kind))
    made.settimeout(10)
    return made


def transfer(chain: Chain, size: int) -> None:
    """`size` bytes over TCP from sender to receiver; returns when both ends have closed."""
    received = []

    def drain(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            while data := connection.recv(1 << 20):
                received.append(len(data))

    with a_socket(chain.receiver, socket.SOCK_STREAM) as listener:
        listener.bind((RECEIVER, 0))
        listener.listen(1)
        thread = threading.Thread(target=drain, args=(listener,))
        thread.start()
        with a_socket(chain.sender, socket.SOCK_STREAM) as client:
            client.connect(listener.getsockname())
            client.sendall(bytes(size))
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
        thread.join()
    assert sum(received) == size


def attached_program(netns: Path, interface: str) -> dict[str, object] | None:
    words = ["ip", "-n", netns.name, "-j", "-d", "link", "show", "dev", interface]
    [link] = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    found: dict[str, object] | None = link.get("xdp")
    return found


def test_native_attach_counts_real_tcp_and_close_detaches(chain: Chain, fsu: ProgramSet) -> None:
    attachment = attach_xdp(fsu.prog_fd(PROGRAM), "b0", chain.receiver)
    try:
        found = attached_program(chain.receiver, "b0")
        assert found is not None
        assert found["mode"] == 1  # native
        size = 5_000_000
        transfer(chain, size)
        [record] = [
            flow
            for flow in read_flows(fsu.map_fd("flow_metrics_map"), fsu.map_fd("flow_metrics6"))
            if flow.protocol == 6
        ]
        assert (record.source_address, record.target_address) == (SENDER, RECEIVER)
        assert record.forward.bytes_total > size + size // 1448 * 66
        assert record.forward.packets_total >= size // 1448
        assert record.forward.avg_packet_size <= 1514
        assert record.forward.throughput_bps > 1_000_000
        assert record.backward.packets_total == 0  # leaves through this interface, does not enter
        counters = read_counters(fsu.map_fd("fsu_counters"))
        assert counters["parse_fail"] == counters["insert_fail"] == 0
    finally:
        attachment.close()
    assert attached_program(chain.receiver, "b0") is None
    attachment.close()


def test_both_ends_of_a_link_give_the_rtt_of_real_tcp(chain: Chain, fsu: ProgramSet) -> None:
    """What the sender sends enters the wire at wa, what it gets enters the sender at a0."""
    program = fsu.prog_fd(PROGRAM)
    inner = attach_xdp(program, "a0", chain.sender)
    outer = attach_xdp(program, "wa", chain.wire)
    try:
        transfer(chain, 2_000_000)
    finally:
        inner.close()
        outer.close()
    [record] = [flow for flow in read_flows(fsu.map_fd("flow_metrics_map")) if flow.protocol == 6]
    sent = record.forward
    assert (record.source_address, sent.births, record.backward.births) == (SENDER, 1, 1)
    assert sent.rtt_samples > 0
    assert 0 < sent.rtt_min_ns <= sent.rtt_last_ns
    assert sent.ifindex != 0 != record.backward.ifindex
    factor = sent.optimal_buffer_size / sent.bdp_bytes
    assert 1.19 < factor < 1.81  # 1.2 x (1.0 to 1.5)


def test_both_halves_fill_where_both_directions_enter(chain: Chain, fsu: ProgramSet) -> None:
    links = [attach_xdp(fsu.prog_fd(PROGRAM), name, chain.wire) for name in ("wa", "wb")]
    try:
        transfer(chain, 1_000_000)
        [record] = read_flows(fsu.map_fd("flow_metrics_map"))
        assert record.forward.packets_total >= 1_000_000 // 1448
        assert 0 < record.backward.packets_total < record.forward.packets_total
        assert record.backward.avg_packet_size < 100
    finally:
        for link in links:
            link.close()


def test_the_same_index_in_two_namespaces_is_two_interfaces(
    chain: Chain, flow_source: CompiledSource
) -> None:
    with flow_source.instantiate() as one, flow_source.instantiate() as other:
        links = [
            attach_xdp(one.prog_fd(PROGRAM), "a0", chain.sender),
            attach_xdp(other.prog_fd(PROGRAM), "b0", chain.receiver),
        ]
        try:
            transfer(chain, 300_000)
            acks = read_flows(one.map_fd("flow_metrics_map"))[0]
            data = read_flows(other.map_fd("flow_metrics_map"))[0]
        finally:
            for link in links:
                link.close()
    assert acks.forward.packets_total == 0 < acks.backward.packets_total
    assert data.backward.packets_total == 0 < data.forward.packets_total


def test_too_large_a_peer_mtu_is_explained(chain: Chain, fsu: ProgramSet) -> None:
    ip(chain.wire, "link", "set", "wb", "mtu", "9000")
    with pytest.raises(BpfError, match="3500 bytes"):
        attach_xdp(fsu.prog_fd(PROGRAM), "b0", chain.receiver)


def test_a_second_program_is_refused(chain: Chain, fsu: ProgramSet) -> None:
    first = attach_xdp(fsu.prog_fd(PROGRAM), "b0", chain.receiver)
    try:
        with pytest.raises(BpfError, match="another XDP program"):
            attach_xdp(fsu.prog_fd(PROGRAM), "b0", chain.receiver)
    finally:
        first.close()


def test_native_on_loopback_is_refused_not_made_generic(chain: Chain, fsu: ProgramSet) -> None:
    with pytest.raises(BpfError, match="no native XDP"):
        attach_xdp(fsu.prog_fd(PROGRAM), "lo", chain.receiver)
    attach_xdp(fsu.prog_fd(PROGRAM), "lo", chain.receiver, mode="generic").close()


def test_unknown_interface_and_namespace_are_named(chain: Chain, fsu: ProgramSet) -> None:
    with pytest.raises(BpfError, match=f"interface b9 in .*{chain.receiver.name}"):
        attach_xdp(fsu.prog_fd(PROGRAM), "b9", chain.receiver)
    with pytest.raises(NamespaceGoneError, match="sentinel-nowhere"):
        attach_xdp(fsu.prog_fd(PROGRAM), "b0", "/run/netns/sentinel-nowhere")


def qdiscs(chain: Chain) -> str:
    words = ["tc", "-n", chain.wire.name, "qdisc", "show"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def test_gso_packets_count_as_their_segments(chain: Chain, wire_source: CompiledSource) -> None:
    probes = WireProbes(wire_source)
    probes.configure(0)
    filters = [
        attach_tc(probes.enter_fd, "wa", "ingress", chain.wire),
        attach_tc(probes.leave_fd, "wb", "egress", chain.wire),
    ]
    try:
        size = 20_000_000
        transfer(chain, size)
        reading = probes.read()
    finally:
        for attached in filters:
            attached.close()
        probes.close()
    assert reading.packets_in == reading.packets_out >= size // 1448
    assert reading.bytes_in == reading.bytes_out
    assert size + size // 1448 * 66 < reading.bytes_in < size * 1.1
    assert reading.skbs_in == reading.skbs_out < reading.packets_in / 5
    assert (reading.misses, reading.ambiguous) == (0, 0)
    assert reading.samples_total == reading.skbs_out
    assert reading.transits_ns[0] > 0
    assert "clsact" not in qdiscs(chain)


def test_clsact_goes_with_the_last_filter(chain: Chain, wire_source: CompiledSource) -> None:
    probes = WireProbes(wire_source)
    first = attach_tc(probes.enter_fd, "wa", "ingress", chain.wire)
    second = attach_tc(probes.leave_fd, "wa", "egress", chain.wire)
    with pytest.raises(BpfError, match="priority"):
        attach_tc(probes.enter_fd, "wa", "ingress", chain.wire)
    first.close()
    assert "clsact" in qdiscs(chain)
    second.close()
    assert "clsact" not in qdiscs(chain)
    second.close()
    third = attach_tc(probes.enter_fd, "wa", "ingress", chain.wire)
    ip(chain.wire, "link", "del", "wa")
    third.close()
    probes.close()


def test_what_somebody_else_took_away_is_no_error(
    chain: Chain, wire_source: CompiledSource
) -> None:
    """A node's root may delete the clsact of its own interface; the network still comes down."""
    probes = WireProbes(wire_source)
    taken = attach_tc(probes.enter_fd, "wa", "ingress", chain.wire)
    subprocess.run(("tc", "-n", chain.wire.name, "qdisc", "del", "dev", "wa", "clsact"), check=True)
    taken.close()
    assert "clsact" not in qdiscs(chain)
    probes.close()


def test_seeded_loss_hits_the_same_datagrams_on_a_real_wire(
    chain: Chain, wire_source: CompiledSource
) -> None:
    count, seed, probability = 4000, 99, 0.05
    lost = loss_pattern(seed, count, probability)
    stage = LossStage(wire_source)
    stage.configure(seed, probability)
    link = attach_xdp(stage.xdp_fd, "wa", chain.wire)
    got: list[int] = []
    try:
        with (
            a_socket(chain.receiver, socket.SOCK_DGRAM) as receiver,
            a_socket(chain.sender, socket.SOCK_DGRAM) as sender,
        ):
            receiver.bind((RECEIVER, 0))
            target = receiver.getsockname()
            for start in range(0, count, 50):  # fewer than a veth ring holds
                for number in range(start, start + 50):
                    sender.sendto(number.to_bytes(4, "big"), target)
                for _ in range(50 - np.count_nonzero(lost[start : start + 50])):
                    got.append(int.from_bytes(receiver.recv(4), "big"))
            receiver.setblocking(False)
            with pytest.raises(BlockingIOError):
                receiver.recv(4)
        reading = stage.read()
    finally:
        link.close()
        stage.close()
    assert got == np.flatnonzero(~lost).tolist()
    assert (reading.seen, reading.dropped) == (count, np.count_nonzero(lost))


def test_live_frames_enter_the_stack(chain: Chain, fsu: ProgramSet) -> None:
    frame = ethernet(ipv4(udp(payload=bytes(100)), UDP, source=SENDER, target=RECEIVER), ETH_IPV4)
    prog = fsu.prog_fd(PROGRAM)
    link = attach_xdp(prog, "b0", chain.receiver)
    try:
        run_in_netns(
            chain.receiver,
            lambda: test_run.run_live(
                prog, frame, ifindex=socket.if_nametoindex("b0"), packets=640
            ),
        )
    finally:
        link.close()
    [record] = [flow for flow in read_flows(fsu.map_fd("flow_metrics_map")) if flow.protocol == UDP]
    assert record.forward.packets_total == 640


def test_the_clang_object_attaches_with_iproute2(chain: Chain, tmp_path: Path) -> None:
    source = Path(sentinel_bpf.__file__).parent.parent / "flow_math.c"
    built = tmp_path / "flow_math.o"
    subprocess.run(
        ["clang", "-O2", "-g", "-target", "bpf", "-c", str(source), "-o", str(built)], check=True
    )
    ip(chain.receiver, "link", "set", "dev", "b0", "xdp", "obj", str(built), "sec", "xdp")
    found = attached_program(chain.receiver, "b0")
    assert found is not None
    transfer(chain, 100_000)
    words = ["bpftool", "-j", "prog", "show", "id", str(found["prog"]["id"])]  # type: ignore[index]
    program = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    assert program["name"].startswith("flow_stabilizat")
    dumps = []
    for identity in program["map_ids"]:
        words = ["bpftool", "-j", "map", "show", "id", str(identity)]
        shown = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
        if shown["name"] == "flow_metrics_ma":
            words = ["bpftool", "-j", "map", "dump", "id", str(identity)]
            dumps += json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    [flow] = [entry["formatted"]["value"] for entry in dumps]
    assert flow["forward"]["bytes_total"] > 100_000
    ip(chain.receiver, "link", "set", "dev", "b0", "xdp", "off")
