"""The loss pattern bit for bit, and the sampling of transit times, by BPF_PROG_TEST_RUN."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np
import pytest

from sentinel_bpf import abi, test_run
from sentinel_bpf.bins import ByteBins
from sentinel_bpf.errors import BpfError
from sentinel_bpf.frames import (
    ETH_ARP,
    ETH_IPV4,
    ETH_IPV6,
    ICMPV6,
    UDP,
    ethernet,
    extension,
    ipv4,
    ipv6,
    tcp,
    udp,
)
from sentinel_bpf.loader import CompiledSource
from sentinel_bpf.loss import loss_pattern
from sentinel_bpf.wire import FaultReading, FaultStage, LossReading, LossStage, WireProbes

pytestmark = pytest.mark.lab

FRAME4 = ethernet(ipv4(tcp()), ETH_IPV4)
FRAME6 = ethernet(ipv6(tcp()), ETH_IPV6)


@pytest.fixture
def stage(wire_source: CompiledSource) -> Iterator[LossStage]:
    made = LossStage(wire_source)
    yield made
    made.close()


@pytest.fixture
def probes(wire_source: CompiledSource) -> Iterator[WireProbes]:
    made = WireProbes(wire_source, stamps_max=4096, transits_max=256)
    made.configure(0)
    yield made
    made.close()


@pytest.mark.parametrize(("seed", "probability"), [(0, 0.5), (7, 0.01), (2**64 - 1, 0.3)])
@pytest.mark.parametrize("frame", [FRAME4, FRAME6], ids=["ipv4", "ipv6"])
def test_each_verdict_equals_the_reference(
    stage: LossStage, seed: int, probability: float, frame: bytes
) -> None:
    stage.configure(seed, probability)
    count = 5000
    verdicts = [test_run.run(stage.xdp_fd, frame).verdict for _ in range(count)]
    expected = np.where(
        loss_pattern(seed, count, probability), test_run.XDP_DROP, test_run.XDP_PASS
    )
    assert verdicts == expected.tolist()


@pytest.mark.parametrize("probability", [1e-4, 1e-3, 1e-2])
def test_share_over_a_million_packets(stage: LossStage, probability: float) -> None:
    count = 1_000_000
    stage.configure(42, probability)
    test_run.run(stage.xdp_fd, FRAME4, repeat=count)
    reading = stage.read()
    assert reading.seen == count
    assert reading.dropped == np.count_nonzero(loss_pattern(42, count, probability))
    assert abs(reading.dropped / (count * probability) - 1) <= 3 / math.sqrt(count * probability)


def test_configure_starts_the_pattern_again(stage: LossStage) -> None:
    for _ in range(2):
        stage.configure(5, 0.2)
        verdicts = [test_run.run(stage.xdp_fd, FRAME4).verdict for _ in range(100)]
        assert [v == test_run.XDP_DROP for v in verdicts] == loss_pattern(5, 100, 0.2).tolist()


NEIGHBOUR = b"\x87" + bytes(23)
LISTENER_REPORT = extension(ICMPV6) + b"\x8f" + bytes(23)
UNCOUNTED = {
    "arp": ethernet(bytes(28), ETH_ARP),
    "neighbour solicitation": ethernet(ipv6(NEIGHBOUR, ICMPV6), ETH_IPV6),
    "neighbour advertisement": ethernet(ipv6(b"\x88" + bytes(23), ICMPV6), ETH_IPV6),
    "router solicitation": ethernet(ipv6(b"\x85" + bytes(7), ICMPV6, target="ff02::2"), ETH_IPV6),
    "listener report": ethernet(ipv6(LISTENER_REPORT, 0, target="ff02::16"), ETH_IPV6),
    "igmp": ethernet(ipv4(bytes(8), 2, target="224.0.0.22"), ETH_IPV4),
    "cut ipv4": FRAME4[:30],
}


@pytest.mark.parametrize("name", UNCOUNTED)
def test_traffic_of_the_link_itself_neither_counts_nor_drops(stage: LossStage, name: str) -> None:
    stage.configure(1, 0.999999)
    assert test_run.run(stage.xdp_fd, UNCOUNTED[name], repeat=50).verdict == test_run.XDP_PASS
    assert stage.read() == LossReading(0, 0)


COUNTED = {
    "echo": ethernet(ipv6(b"\x80" + bytes(7), ICMPV6), ETH_IPV6),
    "multicast that is routed": ethernet(ipv4(udp(), UDP, target="239.1.1.1"), ETH_IPV4),
    "tagged": ethernet(ipv4(tcp()), ETH_IPV4, (0x8100, 9)),
}


@pytest.mark.parametrize("name", COUNTED)
def test_other_traffic_counts(stage: LossStage, name: str) -> None:
    stage.configure(1, 0.0)
    test_run.run(stage.xdp_fd, COUNTED[name], repeat=50)
    assert stage.read() == LossReading(50, 0)


@pytest.mark.parametrize("probability", [1.0, -0.01, 5.0])
def test_a_percentage_is_refused(stage: LossStage, probability: float) -> None:
    with pytest.raises(BpfError, match="percentage"):
        stage.configure(1, probability)


def segment(number: int) -> bytes:
    return ethernet(ipv4(tcp(sequence=number, payload=bytes(16))), ETH_IPV4)


def test_stamped_packets_are_measured_once_each(probes: WireProbes) -> None:
    for number in range(100):
        test_run.run(probes.enter_fd, segment(number))
    for number in range(100):
        test_run.run(probes.leave_fd, segment(number))
    reading = probes.read()
    assert (reading.packets_in, reading.packets_out) == (100, 100)
    assert reading.bytes_in == reading.bytes_out == 100 * len(segment(0))
    assert reading.samples_total == len(reading.transits_ns) == 100
    assert (reading.misses, reading.ambiguous) == (0, 0)
    assert reading.transits_ns == sorted(reading.transits_ns)
    assert 0 < reading.transits_ns[0] <= reading.transits_ns[-1] == reading.transit_max_ns


def test_packets_without_a_stamp_are_misses(probes: WireProbes) -> None:
    test_run.run(probes.leave_fd, segment(1))
    reading = probes.read()
    assert (reading.misses, reading.samples_total, reading.packets_out) == (1, 0, 1)


def test_equal_packets_inside_at_once_are_not_measured(probes: WireProbes) -> None:
    for descriptor in (probes.enter_fd, probes.enter_fd, probes.leave_fd, probes.leave_fd):
        test_run.run(descriptor, segment(1))
    reading = probes.read()
    assert (reading.ambiguous, reading.misses, reading.samples_total) == (1, 1, 0)


def test_a_reset_forgets_counts_and_stamps(probes: WireProbes) -> None:
    test_run.run(probes.enter_fd, segment(1))
    probes.reset()
    test_run.run(probes.leave_fd, segment(1))
    reading = probes.read()
    assert (reading.packets_in, reading.samples_total, reading.misses) == (0, 0, 1)


@pytest.mark.parametrize("kind", ["tcp4", "tcp6", "udp4", "udp6"])
def test_about_one_in_eight_is_sampled_at_both_ends_alike(probes: WireProbes, kind: str) -> None:
    def frame(number: int) -> bytes:
        payload = (
            tcp(sequence=number * 1448)
            if kind.startswith("tcp")
            else udp(payload=number.to_bytes(8, "big")[::-1])
        )
        protocol = 6 if kind.startswith("tcp") else UDP
        if kind.endswith("4"):
            return ethernet(ipv4(payload, protocol), ETH_IPV4)
        return ethernet(ipv6(payload, protocol), ETH_IPV6)

    probes.configure(7)
    for number in range(2000):
        test_run.run(probes.enter_fd, frame(number))
        test_run.run(probes.leave_fd, frame(number))
    reading = probes.read()
    assert (reading.misses, reading.ambiguous) == (0, 0)
    assert abs(reading.samples_total - 250) < 5 * math.sqrt(250 * 7 / 8)


def test_more_transits_than_room_give_a_uniform_sample(probes: WireProbes) -> None:
    for number in range(3000):
        test_run.run(probes.enter_fd, segment(number))
        test_run.run(probes.leave_fd, segment(number))
    reading = probes.read()
    assert reading.samples_total == 3000
    assert 200 <= len(reading.transits_ns) <= 512
    assert all(0 < transit <= reading.transit_max_ns for transit in reading.transits_ns)


def test_a_sample_mask_is_a_power_of_two_less_one(probes: WireProbes) -> None:
    with pytest.raises(BpfError, match="power of two"):
        probes.configure(8)


TC_PASS, TC_SHOT = 2**32 - 1, 2


def marked(frame: bytes, *, version: int) -> bytes:
    """The frame with DSCP CS6."""
    changed = bytearray(frame)
    if version == 4:
        changed[15] = 0xC0
    else:
        changed[14], changed[15] = 0x6C, 0x00
    return bytes(changed)


DATA4 = ethernet(ipv4(tcp(payload=b"payload")), ETH_IPV4)
DATA6 = ethernet(ipv6(tcp(payload=b"payload")), ETH_IPV6)
CONTROL4, CONTROL6 = marked(DATA4, version=4), marked(DATA6, version=6)


@pytest.fixture
def faults(wire_source: CompiledSource) -> Iterator[FaultStage]:
    made = FaultStage(wire_source)
    made.reset()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("cut", "data", "control"),
    [(0, TC_PASS, TC_PASS), (1, TC_PASS, TC_SHOT), (2, TC_SHOT, TC_SHOT)],
)
def test_a_cut_takes_all_or_only_the_control_channel(
    faults: FaultStage, cut: int, data: int, control: int
) -> None:
    faults.set(cut)
    for frame, verdict in ((DATA4, data), (DATA6, data), (CONTROL4, control), (CONTROL6, control)):
        assert test_run.run(faults.tc_fd, frame).verdict == verdict
    refused = [data, data, control, control].count(TC_SHOT)
    assert faults.read() == FaultReading(refused, 0, 0)


def test_a_super_packet_that_is_cut_counts_as_its_segments(faults: FaultStage) -> None:
    faults.set(2)
    test_run.run(faults.tc_fd, DATA4, segments=10)
    assert faults.read().cut_packets == 10


def test_corruption_follows_its_pattern_and_leaves_data_alone(faults: FaultStage) -> None:
    faults.set(0, corrupt=0.25, seed=9)
    for frame in (DATA4, DATA6, marked(FRAME4, version=4), UNCOUNTED["arp"]):
        test_run.run(faults.tc_fd, frame, repeat=20)
    assert faults.read() == FaultReading(0, 0, 0), "data, and control packets without payload"
    for frame in (CONTROL4, CONTROL6):
        test_run.run(faults.tc_fd, frame, repeat=500)
    # The reference compares 64 bits, the program the upper 32: the same for this share.
    assert faults.read() == FaultReading(0, 1000, int(loss_pattern(9, 1000, 0.25).sum()))
    faults.reset()
    assert faults.read() == FaultReading(0, 0, 0)


@pytest.mark.parametrize("frame", [FRAME4, FRAME6], ids=["ipv4", "ipv6"])
def test_bytes_are_counted_in_the_bin_of_their_time(
    wire_source: CompiledSource, frame: bytes
) -> None:
    # Bins of an hour: now is the second one, and no clock matters.
    now_ns, hour_ns = time.monotonic_ns(), 3_600 * 10**9
    counter = ByteBins(wire_source, start_ns=now_ns - hour_ns, bin_ns=hour_ns)
    try:
        test_run.run(counter.tc_fd, frame, repeat=1000)
        test_run.run(counter.tc_fd, UNCOUNTED["arp"], repeat=10)
        assert counter.read(3) == (0, 1000 * len(frame), 0)
        with pytest.raises(BpfError, match="131072 bins"):
            counter.read(abi.WIRE_BINS_MAX + 1)
    finally:
        counter.close()


@pytest.mark.parametrize("ago_ns", [-3_600 * 10**9, abi.WIRE_BINS_MAX * 1000])
def test_before_the_first_bin_and_after_the_last_nothing_is_counted(
    wire_source: CompiledSource, ago_ns: int
) -> None:
    counter = ByteBins(wire_source, start_ns=time.monotonic_ns() - ago_ns, bin_ns=1000)
    try:
        test_run.run(counter.tc_fd, FRAME4, repeat=10)
        assert not any(counter.read(abi.WIRE_BINS_MAX))
    finally:
        counter.close()
