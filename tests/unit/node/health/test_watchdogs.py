"""Watchdogs bite once, after their time or count, and say when it is over."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sentinel_node.core.health.watchdogs import (
    InPhase,
    Moving,
    OutOfPhase,
    PhaseWatchdog,
    ProgressWatchdog,
    Stalled,
)


def test_a_stall_is_told_once_and_its_end_too() -> None:
    dog = ProgressWatchdog(100)
    assert dog.on_sample(1, delivered=5, backlog_bytes=9, now_ns=0) == ()
    assert dog.next_deadline_ns() == 100
    assert dog.on_timer(99) == ()
    assert dog.on_timer(100) == (Stalled(1, 5, 9, 0),)
    assert dog.on_timer(200) == ()
    assert dog.next_deadline_ns() is None
    assert dog.on_sample(1, delivered=6, backlog_bytes=9, now_ns=250) == (Moving(1, 250),)
    assert dog.next_deadline_ns() == 350


def test_without_backlog_nothing_stalls() -> None:
    dog = ProgressWatchdog(100)
    dog.on_sample(1, delivered=5, backlog_bytes=0, now_ns=0)
    assert dog.on_timer(1000) == ()
    # Backlog that begins now has not waited since the last movement.
    assert dog.on_sample(1, delivered=5, backlog_bytes=7, now_ns=1000) == ()
    assert dog.on_timer(1099) == ()
    assert dog.on_timer(1100) == (Stalled(1, 5, 7, 1000),)
    dog.on_end(1)
    assert dog.next_deadline_ns() is None


@given(
    st.lists(
        st.tuples(st.integers(0, 150), st.booleans(), st.integers(0, 2), st.booleans()),
        max_size=40,
    )
)
def test_stalled_and_moving_alternate_and_are_true(
    events: list[tuple[int, bool, int, bool]],
) -> None:
    dog, now_ns, delivered, told = ProgressWatchdog(100), 0, 0, []
    waiting_since: int | None = None
    for wait_ns, moves, backlog, timer in events:
        now_ns += wait_ns
        if timer:
            effects = dog.on_timer(now_ns)
        else:
            delivered += moves
            if moves or not backlog:
                waiting_since = now_ns if backlog else None
            elif waiting_since is None:
                waiting_since = now_ns
            effects = dog.on_sample(1, delivered=delivered, backlog_bytes=backlog, now_ns=now_ns)
        for effect in effects:
            told.append(type(effect))
            if isinstance(effect, Stalled):
                assert waiting_since is not None
                assert now_ns - waiting_since >= 100
                assert effect.since_ns == waiting_since
    assert told == [Stalled, Moving] * (len(told) // 2) + [Stalled] * (len(told) % 2)


def test_phase_bites_after_several_samples_in_a_row() -> None:
    dog = PhaseWatchdog(bound_ns=10, samples=3)
    samples: list[int | None] = [11, -12, 3, 11, None, -11, 50, 10, 0]
    found = [dog.on_sample(1, "b", error, now_ns=at) for at, error in enumerate(samples)]
    assert found[5] == (OutOfPhase(1, "b", -11, 3, 3),)
    assert found[7] == (InPhase(1, "b"),)
    assert all(not found[at] for at in (0, 1, 2, 3, 4, 6, 8))
    dog.on_sample(1, "b", 99, now_ns=10)
    dog.on_end(1)
    assert [dog.on_sample(1, "b", 99, now_ns=at) for at in (11, 12)] == [(), ()]
