"""The rate stage's settings and what is read back from it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_sim.wire.rate import (
    SUPER_PACKET_BYTES,
    QueueSample,
    burst_bytes,
    drain_rate_bps,
    htb_lines,
    queue_limit_bytes,
    rate_lines,
    tbf_lines,
)

GBIT = 1_000_000_000
MS = 1_000_000


def rates_of(lines: list[str]) -> dict[str, int]:
    """Assured rate of each HTB class."""
    found = {}
    for line in lines:
        if match := re.search(r"classid (\S+) htb rate (\d+)bit", line):
            found[match[1]] = int(match[2])
    return found


@given(st.integers(min_value=100_000, max_value=100 * GBIT))
def test_bands_share_exactly_the_link_rate(rate_bps: int) -> None:
    rates = rates_of(htb_lines("x", rate_bps, 10**6))
    assert rates["1:10"] + rates["1:20"] == rates["1:1"] == rate_bps


@given(st.integers(min_value=1, max_value=400 * GBIT))
def test_bucket_always_holds_a_super_packet(rate_bps: int) -> None:
    assert burst_bytes(rate_bps) >= SUPER_PACKET_BYTES


def test_bucket_covers_two_milliseconds_of_a_fast_link() -> None:
    assert burst_bytes(10 * GBIT) == 2_500_000


def test_queue_is_the_requested_size_unless_nothing_could_pass() -> None:
    assert queue_limit_bytes(12_500_000) == 12_500_000
    assert queue_limit_bytes(1) > SUPER_PACKET_BYTES
    assert "limit 12500000" in tbf_lines("x", GBIT, 12_500_000)[0]


def test_control_band_chooses_htb_and_its_absence_tbf() -> None:
    assert "htb" in rate_lines("x", GBIT, 10**6, True)[0]
    assert "tbf" in rate_lines("x", GBIT, 10**6, False)[0]


def test_drain_rate_counts_only_backlogged_stretches() -> None:
    # 100 ms each: idle, then a queue that drains 12.5 MB per 100 ms, then idle again.
    samples = [
        QueueSample(0, 0, 0),
        QueueSample(100 * MS, 5_000_000, 9_000_000),
        QueueSample(200 * MS, 17_500_000, 9_000_000),
        QueueSample(300 * MS, 30_000_000, 9_000_000),
        QueueSample(400 * MS, 31_000_000, 0),
    ]
    assert drain_rate_bps(samples, 1_000_000, 200 * MS) == pytest.approx(GBIT)


def test_drain_rate_is_unknown_when_hardly_backlogged() -> None:
    samples = [QueueSample(0, 0, 9_000_000), QueueSample(100 * MS, 12_500_000, 9_000_000)]
    assert drain_rate_bps(samples, 1_000_000, 200 * MS) is None
    assert drain_rate_bps([], 0, 1) is None


def full(at_ms: int, megabytes: float, sure: bool = True) -> QueueSample:
    return QueueSample(at_ms * MS, int(megabytes * 1e6), 9_000_000, sure)


def test_a_vague_sample_neither_begins_nor_ends_a_stretch_but_holds_it_together() -> None:
    samples = [full(90, 0, False), full(100, 0), full(230, 12.5, False), full(300, 25)]
    samples.append(full(450, 37.5, False))
    assert drain_rate_bps(samples, 1_000_000, 200 * MS) == pytest.approx(GBIT)


def test_a_vague_sample_of_an_empty_queue_breaks_the_stretch() -> None:
    samples = [full(0, 0), QueueSample(100 * MS, 5_000_000, 0, False), full(200, 10)]
    assert drain_rate_bps(samples, 1_000_000, 1) is None
