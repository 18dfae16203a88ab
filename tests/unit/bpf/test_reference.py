"""The flow arithmetic, on its Python twin: rates are right over the whole range, nothing wraps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_bpf.reference import HalfState, average_x8

SECOND_NS = 1_000_000_000


def steady(packet_bytes: int, gap_ns: int, packets: int, *, start_ns: int = 5) -> HalfState:
    half = HalfState()
    for index in range(packets):
        half.observe(packet_bytes, start_ns + index * gap_ns)
    return half


@pytest.mark.parametrize(
    ("packet_bytes", "gap_ns", "rate_bps"),
    [
        (125, SECOND_NS, 1_000),
        (1250, SECOND_NS, 10_000),
        (1250, 100_000_000, 100_000),
        (1250, 10_000_000, 1_000_000),
        (1250, 1_000_000, 10_000_000),
        (1250, 100_000, 100_000_000),
        (1250, 10_000, 1_000_000_000),
        (1250, 1_000, 10_000_000_000),
        (1250, 100, 100_000_000_000),
    ],
)
def test_evenly_spaced_packets_give_their_rate_exactly(
    packet_bytes: int, gap_ns: int, rate_bps: int
) -> None:
    packets = max(30, 20 * (1 << 20) // gap_ns)
    assert steady(packet_bytes, gap_ns, packets).throughput_bps == rate_bps


def test_no_rate_is_known_from_one_packet() -> None:
    half = steady(1500, 1, 1)
    assert (half.throughput_bps, half.avg_packet_size, half.last_timestamp) == (0, 1500, 5)


def test_a_rate_is_first_known_after_one_whole_interval() -> None:
    half = HalfState()
    half.observe(1000, 0)
    half.observe(1000, (1 << 20) - 1)
    assert half.throughput_bps == 0
    half.observe(1000, 1 << 20)
    assert half.throughput_bps == 2000 * 8 * SECOND_NS // (1 << 20)


def test_after_a_long_silence_the_average_forgets_the_past() -> None:
    half = steady(1250, 10_000, 2_000)
    assert half.throughput_bps == 1_000_000_000
    half.observe(1250, half.last_timestamp + 10 * SECOND_NS)
    assert half.throughput_bps < 20_000  # the rest of the burst, spread over ten seconds


@pytest.mark.parametrize("start", [8, 8 * 10**6, 8 * 10**11])
@pytest.mark.parametrize("target", [1, 999, 10**6, 10**11])
def test_the_average_reaches_a_new_rate_exactly(start: int, target: int) -> None:
    value = start
    for _ in range(600):
        value = average_x8(value, target, 1 << 20)
    assert value >> 3 == target


@given(st.lists(st.tuples(st.integers(14, 65535), st.integers(0, 2**40)), min_size=1))
def test_totals_hold_and_no_rate_exceeds_the_fastest_interval(
    packets: list[tuple[int, int]],
) -> None:
    half, now_ns = HalfState(), 0
    for packet_bytes, gap_ns in packets:
        now_ns += gap_ns
        half.observe(packet_bytes, now_ns)
    total = sum(packet_bytes for packet_bytes, _ in packets)
    assert (half.bytes_total, half.packets_total) == (total, len(packets))
    assert half.avg_packet_size == total // len(packets)
    assert half.last_timestamp == now_ns
    assert half.throughput_bps <= total * 8 * SECOND_NS >> 20
    assert half.interval_bytes < total


def test_an_impossible_burst_saturates_instead_of_wrapping() -> None:
    half = HalfState(packets_total=1, bytes_total=1, interval_bytes=2**63)
    half.observe(1500, 1 << 20)
    assert half.throughput_bps == 0x7FFFFFFF * 8 * SECOND_NS >> 20
    assert half.throughput_bps_x8 < 2**47
