"""What the FSU makes of single frames and of sequences, by BPF_PROG_TEST_RUN.

Map contents are compared bit for bit with sentinel_bpf.reference; time is an input (the map
fsu_test_clock), so there is nothing to allow for.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, fields

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentinel_bpf import abi, maps, test_run
from sentinel_bpf.flow_map import FlowRecord, parse_flow, read_counters, read_flows
from sentinel_bpf.frames import (
    ETH_ARP,
    ETH_IPV4,
    ETH_IPV6,
    ETH_QINQ,
    ETH_VLAN,
    ICMP,
    ICMPV6,
    TCP,
    UDP,
    ethernet,
    extension,
    fragment_header,
    ipv4,
    ipv6,
    tcp,
    udp,
)
from sentinel_bpf.loader import CompiledSource, ProgramSet
from sentinel_bpf.reference import HalfState

pytestmark = pytest.mark.lab

PROGRAM = "flow_stabilization_unit"
HOP_BY_HOP, ROUTING, FRAGMENT, AH, NO_NEXT, DESTINATION, SCTP = 0, 43, 44, 51, 59, 60, 132


@dataclass(frozen=True)
class Flow:
    """The record a frame should lead to."""

    source: tuple[str, int]
    target: tuple[str, int]
    protocol: int
    forward: bool = True
    vlan: int = 0
    outer_vlan: int = 0


def v4(payload: bytes | None = None, **options: object) -> bytes:
    return ethernet(ipv4(tcp() if payload is None else payload, **options), ETH_IPV4)  # type: ignore[arg-type]


def v6(payload: bytes | None = None, next_header: int = TCP, **options: object) -> bytes:
    return ethernet(ipv6(tcp() if payload is None else payload, next_header, **options), ETH_IPV6)  # type: ignore[arg-type]


A4, B4 = ("10.0.0.1", 40000), ("10.0.0.2", 5201)
A6, B6 = ("fd00::1", 40000), ("fd00::2", 5201)
NO_PORTS4, NO_PORTS6 = (("10.0.0.1", 0), ("10.0.0.2", 0)), (("fd00::1", 0), ("fd00::2", 0))
SIX_OPTIONS = b"".join(extension(DESTINATION) for _ in range(5)) + extension(TCP)

FLOWS: dict[str, tuple[bytes, Flow]] = {
    "tcp": (v4(), Flow(A4, B4, TCP)),
    "tcp backward": (
        v4(tcp(5201, 40000), source="10.0.0.2", target="10.0.0.1"),
        Flow(A4, B4, TCP, forward=False),
    ),
    "tcp with options": (v4(tcp(options=bytes(40))), Flow(A4, B4, TCP)),
    "ipv4 with options": (v4(options=bytes(40)), Flow(A4, B4, TCP)),
    "ipv4 and tcp with options": (v4(tcp(options=bytes(12)), options=bytes(4)), Flow(A4, B4, TCP)),
    "don't fragment": (v4(fragment=0x4000), Flow(A4, B4, TCP)),
    "padded to 60 bytes": (v4().ljust(60, b"\0"), Flow(A4, B4, TCP)),
    "full size": (v4(tcp(payload=bytes(1460))), Flow(A4, B4, TCP)),
    "udp": (v4(udp(), protocol=UDP), Flow(A4, ("10.0.0.2", 53), UDP)),
    "udp without payload, padded": (
        v4(udp(), protocol=UDP).ljust(60, b"\0"),
        Flow(A4, ("10.0.0.2", 53), UDP),
    ),
    "icmp": (v4(bytes(8), protocol=ICMP), Flow(*NO_PORTS4, ICMP)),
    "gre": (v4(bytes(8), protocol=47), Flow(*NO_PORTS4, 47)),
    "sctp": (v4(udp(), protocol=SCTP), Flow(A4, ("10.0.0.2", 53), SCTP)),
    "empty ip packet": (v4(b"", protocol=255), Flow(*NO_PORTS4, 255)),
    "one address, ports decide": (
        v4(tcp(9, 8), target="10.0.0.1"),
        Flow(("10.0.0.1", 8), ("10.0.0.1", 9), TCP, forward=False),
    ),
    "addresses compared as numbers": (
        v4(source="10.0.0.2", target="9.255.255.255"),
        Flow(("9.255.255.255", 5201), ("10.0.0.2", 40000), TCP, forward=False),
    ),
    "addresses above 127": (
        v4(source="200.0.0.1", target="100.0.0.1"),
        Flow(("100.0.0.1", 5201), ("200.0.0.1", 40000), TCP, forward=False),
    ),
    "vlan": (ethernet(ipv4(tcp()), ETH_IPV4, (ETH_VLAN, 0xE064)), Flow(A4, B4, TCP, vlan=100)),
    "priority tag": (ethernet(ipv4(tcp()), ETH_IPV4, (ETH_VLAN, 0xE000)), Flow(A4, B4, TCP)),
    "qinq": (
        ethernet(ipv4(tcp()), ETH_IPV4, (ETH_QINQ, 4094), (ETH_VLAN, 100)),
        Flow(A4, B4, TCP, vlan=100, outer_vlan=4094),
    ),
    "ipv6 in vlan": (
        ethernet(ipv6(tcp()), ETH_IPV6, (ETH_VLAN, 7)),
        Flow(A6, B6, TCP, vlan=7),
    ),
    "ipv6 tcp": (v6(), Flow(A6, B6, TCP)),
    "ipv6 backward": (
        v6(tcp(5201, 40000), source="fd00::2", target="fd00::1"),
        Flow(A6, B6, TCP, forward=False),
    ),
    "ipv6 order in the upper half": (
        v6(source="fd01::1", target="fd00::2"),
        Flow(("fd00::2", 5201), ("fd01::1", 40000), TCP, forward=False),
    ),
    "ipv6 one address, ports decide": (
        v6(tcp(9, 8), target="fd00::1"),
        Flow(("fd00::1", 8), ("fd00::1", 9), TCP, forward=False),
    ),
    "ipv6 udp": (v6(udp(), UDP), Flow(A6, ("fd00::2", 53), UDP)),
    "icmpv6": (v6(bytes(8), ICMPV6), Flow(*NO_PORTS6, ICMPV6)),
    "ipv6 without next header": (v6(b"", NO_NEXT, payload_length=0), Flow(*NO_PORTS6, NO_NEXT)),
    "hop-by-hop": (v6(extension(TCP) + tcp(), HOP_BY_HOP), Flow(A6, B6, TCP)),
    "long routing header": (v6(extension(TCP, units=20) + tcp(), ROUTING), Flow(A6, B6, TCP)),
    "hop-by-hop, routing, destination": (
        v6(extension(ROUTING) + extension(DESTINATION) + extension(UDP) + udp(), HOP_BY_HOP),
        Flow(A6, ("fd00::2", 53), UDP),
    ),
    "authentication header": (
        v6(bytes([TCP, 4]) + bytes(22) + tcp(), AH),
        Flow(A6, B6, TCP),
    ),
    "six extension headers": (v6(SIX_OPTIONS + tcp(), DESTINATION), Flow(A6, B6, TCP)),
    "atomic fragment": (v6(fragment_header(TCP) + tcp(), FRAGMENT), Flow(A6, B6, TCP)),
}

OTHERS: dict[str, tuple[bytes, str]] = {
    "ethernet header only": (ethernet(b"", ETH_IPV4), "parse_fail"),
    "vlan tag cut": (ethernet(b"", ETH_VLAN) + b"\0\1", "parse_fail"),
    "second tag cut": (ethernet(b"\0\1", ETH_VLAN, (ETH_QINQ, 1)), "parse_fail"),
    "three tags": (
        ethernet(ipv4(tcp()), ETH_IPV4, (ETH_QINQ, 1), (ETH_QINQ, 2), (ETH_VLAN, 3)),
        "parse_fail",
    ),
    "ipv4 header cut": (v4()[:33], "parse_fail"),
    "ipv4 version 6": (v4(version=6), "parse_fail"),
    "ipv4 header length 4 words": (v4(header_words=4), "parse_fail"),
    "ipv4 header longer than the packet": (v4(b"\0" * 8, header_words=15), "parse_fail"),
    "ipv4 total length below its header": (v4(total_length=19), "parse_fail"),
    "ipv4 total length beyond the frame": (v4(total_length=1500), "parse_fail"),
    "ipv4 total length zero": (v4(total_length=0), "parse_fail"),
    "ipv4 options cut": (v4(options=bytes(40))[:40], "parse_fail"),
    "tcp header cut": (v4(tcp()[:19]), "parse_fail"),
    "tcp header in the padding": (v4(total_length=30), "parse_fail"),
    "tcp offset below 5": (v4(tcp(data_offset=4)), "parse_fail"),
    "tcp offset beyond the packet": (v4(tcp(data_offset=15)), "parse_fail"),
    "udp header cut": (v4(udp()[:7], protocol=UDP), "parse_fail"),
    "udp length below 8": (v4(udp(length=7), protocol=UDP), "parse_fail"),
    "udp length beyond the packet": (v4(udp(length=9), protocol=UDP), "parse_fail"),
    "first fragment": (v4(fragment=0x2000), "fragments"),
    "middle fragment": (v4(fragment=0x2010), "fragments"),
    "last fragment": (v4(fragment=0x0010), "fragments"),
    "ipv6 header cut": (v6()[:53], "parse_fail"),
    "ipv6 version 4": (v6(version=4), "parse_fail"),
    "ipv6 payload beyond the frame": (v6(payload_length=200), "parse_fail"),
    "ipv6 payload shorter than tcp": (v6(payload_length=19), "parse_fail"),
    "ipv6 extension cut": (v6(extension(TCP)[:7], HOP_BY_HOP), "parse_fail"),
    "ipv6 extension longer than the packet": (v6(extension(TCP, units=1)[:8], 0), "parse_fail"),
    "seven extension headers": (
        v6(extension(DESTINATION) + SIX_OPTIONS + tcp(), DESTINATION),
        "parse_fail",
    ),
    "ipv6 first fragment": (v6(fragment_header(TCP, more=True) + tcp(), FRAGMENT), "fragments"),
    "ipv6 last fragment": (v6(fragment_header(TCP, offset=1) + tcp(), FRAGMENT), "fragments"),
    "ipv6 fragment behind hop-by-hop": (
        v6(extension(FRAGMENT) + fragment_header(TCP, offset=100) + tcp(), HOP_BY_HOP),
        "fragments",
    ),
    "arp": (ethernet(bytes(28), ETH_ARP), "not_ip"),
    "arp in vlan": (ethernet(bytes(28), ETH_ARP, (ETH_VLAN, 5)), "not_ip"),
    "802.3 length": (ethernet(bytes(46), 46), "not_ip"),
    "ethertype zero": (ethernet(bytes(46), 0), "not_ip"),
}


def feed(programs: ProgramSet, frame: bytes, now_ns: int = 0) -> None:
    """One frame at a given time; the verdict is always XDP_PASS."""
    maps.update(programs.map_fd("fsu_test_clock"), maps.index_key(0), now_ns.to_bytes(8, "little"))
    assert test_run.run(programs.prog_fd(PROGRAM), frame).verdict == test_run.XDP_PASS


def raw_flows(programs: ProgramSet) -> dict[bytes, bytes]:
    return {
        key: value
        for name in ("flow_metrics_map", "flow_metrics6")
        for key, value in maps.items(programs.map_fd(name))
    }


def records(programs: ProgramSet) -> list[FlowRecord]:
    return read_flows(programs.map_fd("flow_metrics_map"), programs.map_fd("flow_metrics6"))


def half_bytes(state: HalfState) -> bytes:
    return bytes(abi.FlowHalf(*(getattr(state, field.name) for field in fields(state))))


@pytest.mark.parametrize("name", FLOWS)
def test_frame_is_counted_in_its_flow(clocked_fsu: ProgramSet, name: str) -> None:
    frame, expected = FLOWS[name]
    feed(clocked_fsu, frame, 123)
    [record] = records(clocked_fsu)
    found = Flow(
        (record.source_address, record.source_port),
        (record.target_address, record.target_port),
        record.protocol,
        record.forward.packets_total == 1,
        record.vlan,
        record.outer_vlan,
    )
    assert found == expected
    used, idle = HalfState(), HalfState()
    used.observe(len(frame), 123)
    halves = (used, idle) if expected.forward else (idle, used)
    assert list(raw_flows(clocked_fsu).values()) == [b"".join(map(half_bytes, halves))]
    counters = read_counters(clocked_fsu.map_fd("fsu_counters"))
    family = "flow6" if ":" in record.source_address else "flow4"
    assert {key: count for key, count in counters.items() if count} == {"passed": 1, family: 1}


@pytest.mark.parametrize("name", OTHERS)
def test_frame_belongs_to_no_flow(clocked_fsu: ProgramSet, name: str) -> None:
    frame, counter = OTHERS[name]
    feed(clocked_fsu, frame)
    counters = read_counters(clocked_fsu.map_fd("fsu_counters"))
    assert {key: count for key, count in counters.items() if count} == {"passed": 1, counter: 1}
    assert raw_flows(clocked_fsu) == {}


@pytest.mark.parametrize("name", [name for name in FLOWS if "padded" not in name])
def test_no_truncation_of_a_frame_is_taken_for_a_flow(clocked_fsu: ProgramSet, name: str) -> None:
    frame, _ = FLOWS[name]
    for length in range(test_run.FRAME_MIN_BYTES, len(frame)):
        feed(clocked_fsu, frame[:length])
    counters = read_counters(clocked_fsu.map_fd("fsu_counters"))
    count = len(frame) - test_run.FRAME_MIN_BYTES
    assert counters["passed"] == counters["parse_fail"] == count
    assert raw_flows(clocked_fsu) == {}


def _trace(seed: int, packets: int) -> list[tuple[str, bytes, int]]:
    """(flow name, frame, time): several flows, both directions, gaps from 40 ns to 3 s."""
    choose = random.Random(seed)
    names = ["tcp", "tcp backward", "udp", "icmp", "vlan", "ipv6 tcp", "ipv6 backward", "qinq"]
    now_ns, trace = choose.randrange(2**50), []
    for _ in range(packets):
        now_ns += int(40 * 10 ** choose.uniform(0, choose.choice([2, 4, 6, 7.9])))
        name = choose.choice(names)
        frame = FLOWS[name][0]
        # Padding behind the packet changes the length on the wire, nothing else.
        trace.append((name, frame.ljust(choose.randrange(len(frame), 1515), b"\0"), now_ns))
    return trace


@pytest.mark.parametrize("seed", range(5))
def test_map_contents_equal_the_reference_bit_for_bit(clocked_fsu: ProgramSet, seed: int) -> None:
    expected: dict[tuple[object, ...], tuple[HalfState, HalfState]] = {}
    for name, frame, now_ns in _trace(seed, 1500):
        flow = FLOWS[name][1]
        identity = (flow.source, flow.target, flow.protocol, flow.vlan, flow.outer_vlan)
        halves = expected.setdefault(identity, (HalfState(), HalfState()))
        halves[0 if flow.forward else 1].observe(len(frame), now_ns)
        feed(clocked_fsu, frame, now_ns)
    found = {}
    for key, value in raw_flows(clocked_fsu).items():
        record = parse_flow(key, value)
        source = (record.source_address, record.source_port)
        target = (record.target_address, record.target_port)
        found[source, target, record.protocol, record.vlan, record.outer_vlan] = value
    assert found == {
        identity: b"".join(map(half_bytes, halves)) for identity, halves in expected.items()
    }


@pytest.mark.parametrize(
    ("bytes_each", "gap_ns", "packets", "rate_bps"),
    [
        (125, 1_000_000_000, 20, 1_000),
        (1250, 10_000, 2_200, 1_000_000_000),
        (1250, 100, 30_000, 100_000_000_000),
    ],
)
def test_throughput_from_1_kbit_to_100_gbit(
    clocked_fsu: ProgramSet, bytes_each: int, gap_ns: int, packets: int, rate_bps: int
) -> None:
    frame = v4().ljust(bytes_each, b"\0")
    for index in range(packets):
        feed(clocked_fsu, frame, 10**15 + index * gap_ns)
    assert records(clocked_fsu)[0].forward.throughput_bps == rate_bps


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    name=st.sampled_from([*FLOWS, *OTHERS]),
    changes=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=8),
    cut=st.integers(0, 60),
)
def test_whatever_comes_passes_and_is_counted_once(
    clocked_fsu: ProgramSet, name: str, changes: list[tuple[int, int]], cut: int
) -> None:
    frame = bytearray(FLOWS[name][0] if name in FLOWS else OTHERS[name][0])
    for position, value in changes:
        frame[position % len(frame)] = value
    del frame[max(test_run.FRAME_MIN_BYTES, len(frame) - cut) :]
    before = read_counters(clocked_fsu.map_fd("fsu_counters"))
    feed(clocked_fsu, bytes(frame))
    after = read_counters(clocked_fsu.map_fd("fsu_counters"))
    grown = [key for key in after if after[key] != before[key]]
    assert grown[0] == "passed"
    assert len(grown) == 2
    assert sum(after.values()) == sum(before.values()) + 2


def test_a_full_map_gives_up_old_flows_and_keeps_counting(clocked_source: CompiledSource) -> None:
    with clocked_source.instantiate(max_entries={"flow_metrics_map": 64}) as programs:
        for port in range(1000, 2000):
            feed(programs, v4(tcp(port, 80)), port)
        counters = read_counters(programs.map_fd("fsu_counters"))
        assert counters["flow4"] == 1000
        assert counters["insert_fail"] == 0
        found = records(programs)
        assert 0 < len(found) <= 64
        assert all(record.forward.packets_total == 1 for record in found)
