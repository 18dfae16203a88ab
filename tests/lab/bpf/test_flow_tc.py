"""The FSU on tc: super-packets are counted as the packets they become, headers included."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from sentinel_bpf import maps, model, test_run
from sentinel_bpf.flow_map import read_counters
from sentinel_bpf.flow_tc import TC_PROGRAM, compile_flow_math_tc
from sentinel_bpf.frames import (
    ETH_IPV4,
    ETH_IPV6,
    TCP,
    UDP,
    ethernet,
    ipv4,
    ipv6,
    tcp,
    timestamps,
    udp,
)
from sentinel_bpf.loader import CompiledSource
from sentinel_bpf.reference.fsu import FsuReference

pytestmark = pytest.mark.lab

FROM_NOWHERE = 0
"""A test run's skb was received by no interface."""


@pytest.fixture(scope="module")
def source() -> Iterator[CompiledSource]:
    with compile_flow_math_tc(["-DSENTINEL_TEST_CLOCK"]) as compiled:
        yield compiled


def super_packets(count: int, seed: int) -> Iterator[tuple[bytes, int, int]]:
    """(frame, segments, ns): TCP with and without timestamps, UDP, IPv4 and IPv6."""
    choose = random.Random(seed)
    now_ns, sequence = 2**40, 2**32 - 50_000
    for _ in range(count):
        now_ns += int(10 ** choose.uniform(2, 8))
        segments = choose.choice((1, 1, 2, 3, 17, 44))
        payload = bytes(choose.randrange(0, 3000))
        port = 1024 + choose.randrange(3)
        if choose.random() < 0.2:
            yield ethernet(ipv4(udp(port, 53, payload), UDP), ETH_IPV4), segments, now_ns
            continue
        options = timestamps(choose.getrandbits(32), choose.getrandbits(32))
        words = options if port % 2 else b""
        segment = tcp(port, 80, payload, options=words, sequence=sequence % 2**32)
        sequence += len(payload)
        if choose.random() < 0.3:
            yield ethernet(ipv6(segment, TCP), ETH_IPV6), segments, now_ns
        else:
            yield ethernet(ipv4(segment, TCP), ETH_IPV4), segments, now_ns


def test_super_packets_leave_what_the_reference_says_bit_for_bit(source: CompiledSource) -> None:
    with source.instantiate() as programs:
        network = model.install_shipped(programs.map_fd("fsu_models")).network
        reference = FsuReference(network, ifindex=FROM_NOWHERE)
        prog_fd, clock = programs.prog_fd(TC_PROGRAM), programs.map_fd("fsu_test_clock")
        for frame, segments, now_ns in super_packets(5_000, seed=3):
            maps.update(clock, maps.index_key(0), now_ns.to_bytes(8, "little"))
            test_run.run(prog_fd, frame, segments=segments)
            reference.observe(frame, now_ns, segments)
        found = dict(maps.items(programs.map_fd("flow_metrics_map")))
        found |= dict(maps.items(programs.map_fd("flow_metrics6")))
        counted = read_counters(programs.map_fd("fsu_counters"))
    assert len(found) == 9
    assert found == reference.entries()
    assert counted["flow4"] + counted["flow6"] == 5_000


def test_one_super_packet_is_so_many_packets_with_headers_each(source: CompiledSource) -> None:
    frame = ethernet(ipv4(tcp(1024, 80, bytes(3000)), TCP), ETH_IPV4)
    with source.instantiate() as programs:
        test_run.run(programs.prog_fd(TC_PROGRAM), frame, segments=3)
        [entry] = [value for _, value in maps.items(programs.map_fd("flow_metrics_map"))]
    reference = FsuReference(None, ifindex=FROM_NOWHERE)
    reference.observe(frame, 0, 3)
    [expected] = reference.flows.values()
    half = next(side.half for side in expected.directions if side.half.packets_total)
    assert (half.packets_total, half.bytes_total) == (3, 3 * (14 + 20 + 20) + 3000)
    assert half.packets_total.to_bytes(8, "little") in entry
    assert half.bytes_total.to_bytes(8, "little") in entry
