"""When the supervisor beats, and what the FSU makes of it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_bpf.errors import BpfError
from sentinel_bpf.heart import INTERVAL_NS, TIMEOUT_NS, BeatSchedule, HeartbeatReading


def schedule(last_ns: int = 0) -> BeatSchedule:
    return BeatSchedule(interval_ns=100, timeout_ns=450, last_ns=last_ns)


def test_a_beat_is_due_one_interval_after_the_last() -> None:
    beats = schedule(last_ns=1000)
    assert beats.next_deadline_ns() == 1100
    assert not beats.on_timer(1099)
    assert beats.on_timer(1100)
    assert beats.next_deadline_ns() == 1200


def test_missed_beats_are_not_made_up_for_and_a_lapse_is_counted() -> None:
    beats = schedule()
    assert beats.on_timer(450)
    assert (beats.lapses, beats.gap_max_ns) == (0, 450)
    assert beats.on_timer(901)
    assert (beats.lapses, beats.gap_max_ns) == (1, 451)
    assert beats.next_deadline_ns() == 1001


@given(st.lists(st.integers(0, 1000), max_size=50))
def test_whatever_the_timer_does_every_gap_beyond_the_timeout_is_counted(steps: list[int]) -> None:
    beats, now, beaten = schedule(), 0, [0]
    for step in steps:
        now += step
        if beats.on_timer(now):
            beaten.append(now)
    gaps = [later - earlier for earlier, later in itertools.pairwise(beaten)]
    assert all(gap >= beats.interval_ns for gap in gaps)
    assert beats.lapses == sum(gap > beats.timeout_ns for gap in gaps)
    assert beats.gap_max_ns == max(gaps, default=0)
    assert beats.beats == len(beaten)


def test_an_interval_that_cannot_keep_the_timeout_is_refused() -> None:
    with pytest.raises(BpfError, match="every 450 ns cannot keep a timeout of 450 ns"):
        BeatSchedule(interval_ns=450, timeout_ns=450, last_ns=0)


def test_a_dead_supervisor_is_noticed_within_two_seconds_and_a_slow_one_is_not_taken_for_dead() -> (
    None
):
    assert TIMEOUT_NS < 2_000_000_000
    assert TIMEOUT_NS >= 4 * INTERVAL_NS


def test_without_a_timeout_nobody_is_expected_to_beat() -> None:
    silent = HeartbeatReading(beat_ns=0, timeout_ns=0)
    assert silent.age_ns(10**18) is None
    assert not silent.is_stale(10**18)
    watched = HeartbeatReading(beat_ns=1000, timeout_ns=50)
    assert watched.age_ns(1050) == 50
    assert not watched.is_stale(1050)
    assert watched.is_stale(1051)
