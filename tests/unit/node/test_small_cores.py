"""Arrivals, token bucket, and the rules of a relay."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_node.core.arrivals import ArrivalSchedule, poisson_offsets_ns, regular_offsets_ns
from sentinel_node.core.relaying import Direction
from sentinel_node.core.token_bucket import TokenBucket

SECOND = 1_000_000_000


def test_poisson_offsets_follow_the_generator_and_the_rate() -> None:
    offsets = poisson_offsets_ns(20_000, 100.0, Random(1))
    assert offsets == poisson_offsets_ns(20_000, 100.0, Random(1))
    assert offsets == tuple(sorted(offsets))
    # Mean of n exponential gaps: standard error 1/sqrt(n) = 0.7 %.
    assert offsets[-1] == pytest.approx(200 * SECOND, rel=0.03)


def test_regular_offsets() -> None:
    assert regular_offsets_ns(3, 10) == (0, 10, 20)
    with pytest.raises(ValueError, match="negative"):
        regular_offsets_ns(-1, 10)
    with pytest.raises(ValueError, match="positive"):
        poisson_offsets_ns(1, 0.0, Random(1))


@given(starts=st.lists(st.integers(0, 100)), looks=st.lists(st.integers(0, 120)))
def test_every_flow_is_due_once_in_order_and_not_early(starts: list[int], looks: list[int]) -> None:
    schedule = ArrivalSchedule(enumerate_starts(starts))
    given_out: list[int] = []
    for now_ns in sorted(looks):
        due = schedule.due(now_ns)
        assert all(starts[index] <= now_ns for index in due)
        assert schedule.next_start_ns is None or schedule.next_start_ns > now_ns
        given_out += due
    given_out += schedule.due(1000)
    assert given_out == sorted(range(len(starts)), key=lambda index: (starts[index], index))
    assert len(schedule) == 0


def enumerate_starts(starts: list[int]) -> list[tuple[int, int]]:
    return [(start, index) for index, start in enumerate(starts)]


@given(
    rate_bps=st.integers(1, 10**12),
    steps=st.lists(st.tuples(st.integers(0, 10**8), st.integers(0, 2000)), max_size=60),
)
def test_no_more_passes_than_rate_and_burst_allow(
    rate_bps: int, steps: list[tuple[int, int]]
) -> None:
    burst = 1500
    bucket = TokenBucket(rate_bps, burst, now_ns=0)
    now_ns = passed = 0
    for wait_ns, wanted in steps:
        now_ns += wait_ns
        taken = min(wanted, bucket.available_bytes(now_ns))
        bucket.take(taken)
        passed += taken
        assert passed * 8 * SECOND <= rate_bps * now_ns + burst * 8 * SECOND


@given(rate_bps=st.integers(1, 10**12), wanted=st.integers(1, 1500))
def test_what_was_promised_is_there_at_the_promised_time(rate_bps: int, wanted: int) -> None:
    bucket = TokenBucket(rate_bps, 1500, now_ns=0)
    bucket.take(1500)
    ready_ns = bucket.ready_at_ns(wanted)
    assert bucket.available_bytes(ready_ns - 1) < wanted
    assert bucket.available_bytes(ready_ns) >= wanted


def test_overdrawing_a_bucket_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot take"):
        TokenBucket(8, 10, now_ns=0).take(11)


@given(st.lists(st.tuples(st.sampled_from(["read", "write", "end"]), st.integers(1, 200))))
def test_a_direction_is_bounded_loses_nothing_and_half_closes_last(
    moves: list[tuple[str, int]],
) -> None:
    way = Direction(capacity_bytes=100)
    read = 0
    for kind, amount in moves:
        if kind == "read" and way.room_bytes:
            count = min(amount, way.room_bytes)
            way.on_read(count)
            read += count
        elif kind == "write" and way.wants_write:
            way.on_written(min(amount, way.buffered_bytes))
        elif kind == "end" and not way.source_ended:
            way.on_read(0)
        assert 0 <= way.buffered_bytes <= 100 >= way.buffered_bytes_max
        assert read == way.moved_bytes + way.buffered_bytes
        assert way.must_close_sink == (way.source_ended and way.moved_bytes == read)
    while way.wants_write:
        way.on_written(1)
    if way.source_ended:
        way.on_sink_closed()
        assert way.moved_bytes == read
        assert not way.must_close_sink


def test_a_direction_refuses_what_cannot_be() -> None:
    way = Direction(capacity_bytes=10)
    with pytest.raises(ValueError, match="room for 10"):
        way.on_read(11)
    with pytest.raises(ValueError, match="0 buffered"):
        way.on_written(1)
    with pytest.raises(ValueError, match="closed the sink"):
        way.on_sink_closed()
    way.on_read(0)
    with pytest.raises(ValueError, match="after the source's end"):
        way.on_read(1)
    with pytest.raises(ValueError, match="positive"):
        Direction(0)
