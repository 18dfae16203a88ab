"""The schedule of faults: in time, in order, and nothing stays broken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_sim.faults.schedule import MOMENTARY, Begin, End, FaultSchedule
from sentinel_sim.plan.model import FaultKind, FaultPlan

MS = 1_000_000


def cut(at_ms: int, for_ms: int | None = None, link: str = "a--m") -> FaultPlan:
    lasts = None if for_ms is None else for_ms * MS
    return FaultPlan(0, FaultKind.PARTITION, link, at_ns=at_ms * MS, for_ns=lasts)


def test_a_fault_begins_on_its_time_and_ends_after_what_was_asked() -> None:
    schedule = FaultSchedule([cut(5, 10)])
    assert schedule.next_deadline_ns() == 5 * MS
    assert schedule.on_timer(5 * MS - 1) == ()
    (begin,) = schedule.on_timer(6 * MS)
    assert isinstance(begin, Begin)
    assert (begin.planned_ns, begin.begun_ns) == (5 * MS, 6 * MS)
    assert schedule.next_deadline_ns() == 16 * MS, "late, but as long as was asked"
    assert schedule.on_timer(16 * MS) == (End(1, cut(5, 10), 16 * MS),)
    assert schedule.in_force == ()
    assert schedule.next_deadline_ns() is None


def test_what_is_due_together_comes_in_the_order_of_its_times() -> None:
    schedule = FaultSchedule([cut(3), cut(1, 1), cut(2)])
    schedule.on_timer(1 * MS)
    found = schedule.on_timer(9 * MS)
    assert [(type(one).__name__, one.fault) for one in found] == [
        ("End", cut(1, 1)),
        ("Begin", cut(2)),
        ("Begin", cut(3)),
    ]


def test_bytes_begin_a_fault_whatever_the_time() -> None:
    fault = FaultPlan(0, FaultKind.KILL_DAEMON, "m", at_bytes=1000)
    schedule = FaultSchedule([fault])
    assert schedule.next_deadline_ns() is None
    assert schedule.on_bytes(999, 7 * MS) == ()
    (begin,) = schedule.on_bytes(1500, 8 * MS)
    assert begin.fault == fault
    assert schedule.in_force == (), "a kill is over at once"
    assert schedule.on_bytes(3000, 9 * MS) == ()


def test_the_end_lifts_what_is_in_force_the_last_first_and_begins_nothing_more() -> None:
    schedule = FaultSchedule([cut(1), cut(2, 50), cut(99)])
    schedule.on_timer(2 * MS)
    assert [(end.number, end.planned_ns) for end in schedule.finish()] == [(2, None), (1, None)]
    assert schedule.finish() == ()
    assert schedule.on_timer(200 * MS) == ()
    assert schedule.pending == (cut(99),)
    with pytest.raises(ValueError, match="over"):
        schedule.add(cut(1))


@pytest.mark.parametrize("both", [True, False])
def test_exactly_one_of_time_and_bytes(both: bool) -> None:
    when = {"at_ns": 1, "at_bytes": 1} if both else {}
    with pytest.raises(ValueError, match="exactly one"):
        FaultSchedule([FaultPlan(0, FaultKind.LOSS, "a--m", **when)])


FAULTS = st.builds(
    FaultPlan,
    index=st.integers(0, 9),
    kind=st.sampled_from(FaultKind),
    target=st.sampled_from(["m", "a--m"]),
    at_ns=st.integers(0, 100),
    for_ns=st.none() | st.integers(0, 50),
)


@given(st.lists(FAULTS, max_size=12), st.lists(st.integers(0, 200), max_size=30), st.booleans())
def test_every_fault_begins_once_and_ends_once(
    faults: list[FaultPlan], times: list[int], by_deadline: bool
) -> None:
    schedule = FaultSchedule(faults)
    seen = []
    now = 0
    for step in times:
        deadline = schedule.next_deadline_ns()
        now = max(now, deadline if by_deadline and deadline is not None else step)
        found = schedule.on_timer(now)
        if by_deadline and deadline is not None:
            assert found, "a timer on the deadline makes progress"
        seen += found
        after = schedule.next_deadline_ns()
        assert after is None or after >= now
    seen += schedule.finish()
    begun = [one.number for one in seen if isinstance(one, Begin)]
    ended = [one.number for one in seen if isinstance(one, End)]
    lasting = [
        one.number for one in seen if isinstance(one, Begin) and one.fault.kind not in MOMENTARY
    ]
    assert len(set(begun)) == len(begun)
    assert sorted(ended) == sorted(lasting)
    assert {one.number for one in seen if isinstance(one, Begin) and one.planned_ns > now} == set()
    assert len(begun) + len(schedule.pending) == len(faults)
    assert schedule.in_force == ()
