"""Throughput: right over the whole range, nothing wraps, nothing sticks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_bpf.reference import rate
from sentinel_bpf.reference.rate import average_x16
from sentinel_bpf.reference.state import HalfState

SECOND_NS = 1_000_000_000


def observe(half: HalfState, packet_bytes: int, now_ns: int) -> None:
    if not half.packets_total:
        half.begin(packet_bytes, now_ns, 1)
    new_tick = rate.is_new_tick(half, now_ns)
    half.count(packet_bytes, 1, now_ns)
    if new_tick:
        rate.close_interval(half, now_ns)


def steady(packet_bytes: int, gap_ns: int, packets: int, *, start_ns: int = 5) -> HalfState:
    half = HalfState()
    for index in range(packets):
        observe(half, packet_bytes, start_ns + index * gap_ns)
    return half


@pytest.mark.parametrize(
    ("packet_bytes", "gap_ns", "rate_bps"),
    [
        (125, SECOND_NS, 1_000),
        (1250, SECOND_NS, 10_000),
        (1250, 100_000_000, 100_000),
        (1250, 10_000_000, 1_000_000),
        (1250, 1_000_000, 10_000_000),
        (1250, 700_000, 14_285_714),
        (1250, 300_000, 33_333_333),
        (1250, 100_000, 100_000_000),
        (1250, 10_000, 1_000_000_000),
        (1250, 1_000, 10_000_000_000),
        (1250, 100, 100_000_000_000),
    ],
)
@pytest.mark.parametrize("start_ns", [5, 2**63 - 3])
def test_evenly_spaced_packets_give_their_rate_exactly(
    packet_bytes: int, gap_ns: int, rate_bps: int, start_ns: int
) -> None:
    packets = max(300, 20 * (1 << 20) // gap_ns)
    half = steady(packet_bytes, gap_ns, packets, start_ns=start_ns)
    assert half.throughput_bps == half.throughput_window_bps == rate_bps


def test_no_rate_is_known_from_one_packet() -> None:
    half = steady(1500, 1, 1)
    assert (half.throughput_bps, half.avg_packet_size, half.last_timestamp) == (0, 1500, 5)


def test_after_a_long_silence_the_average_forgets_the_past() -> None:
    half = steady(1250, 10_000, 2_000)
    assert half.throughput_bps == 1_000_000_000
    observe(half, 1250, half.last_timestamp + 10 * SECOND_NS)
    assert half.throughput_bps < 200_000  # the rest of the tick, spread over ten seconds


@pytest.mark.parametrize("start", [0, 8, 8 * 10**6, 8 * 10**11])
@pytest.mark.parametrize("target", [1, 999, 10**6, 10**11])
@pytest.mark.parametrize("elapsed_ns", [1 << 19, 1 << 20, 3 << 19])
def test_the_average_reaches_a_new_rate_exactly(start: int, target: int, elapsed_ns: int) -> None:
    value = start * 16
    for _ in range(600):
        value = average_x16(value, target, elapsed_ns)
    assert value >> 4 == target


@given(st.lists(st.tuples(st.integers(14, 65535), st.integers(0, 2**40)), min_size=1))
def test_totals_hold_and_no_rate_exceeds_the_fastest_interval(
    packets: list[tuple[int, int]],
) -> None:
    half, now_ns = HalfState(), 0
    for packet_bytes, gap_ns in packets:
        now_ns += gap_ns
        observe(half, packet_bytes, now_ns)
    total = sum(packet_bytes for packet_bytes, _ in packets)
    assert (half.bytes_total, half.packets_total) == (total, len(packets))
    assert half.avg_packet_size == total // len(packets)
    assert half.last_timestamp == now_ns
    assert half.throughput_window_bps <= total * 8 * SECOND_NS >> 19
    assert half.throughput_bps <= total * 8 * SECOND_NS >> 19


def test_an_impossible_burst_saturates_instead_of_wrapping() -> None:
    half = HalfState(packets_total=1, bytes_total=2**63)
    observe(half, 1500, 1 << 20)
    assert half.throughput_bps == 0x7FFFFFFF * 8 * SECOND_NS >> 20
    assert half.throughput_bps_x16 < 2**49


def test_time_that_goes_back_closes_nothing() -> None:
    half = steady(1250, 10_000, 2_000, start_ns=10**12)
    before = half.throughput_bps
    observe(half, 1250, 10**9)
    assert half.throughput_bps == before
