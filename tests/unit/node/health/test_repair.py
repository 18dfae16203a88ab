"""Repairs go up their ladder, back off, obey the rate limit, and end with one record."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_node.core.health.repair import (
    LADDERS,
    Fault,
    Incident,
    Perform,
    RepairPlanner,
    RepairPolicy,
    RepairRecord,
    Step,
)

POLICY = RepairPolicy(attempts=2, backoff_ns=100, backoff_max_ns=400, spacing_ns=1)
LOST = Incident(Fault.CONNECTION_LOST, "b")
PATHS = {"b": [("a", "b", "d"), ("a", "c", "d")]}


def performed(effects: tuple[object, ...]) -> Perform:
    (effect,) = effects
    assert isinstance(effect, Perform)
    return effect


def recorded(effects: tuple[object, ...]) -> RepairRecord:
    (effect,) = effects
    assert isinstance(effect, RepairRecord)
    return effect


def test_a_repair_goes_through_its_steps_and_is_recorded() -> None:
    planner = RepairPlanner(POLICY)
    planner.on_fault(LOST, failed_ns=5, now_ns=20)
    planner.on_fault(LOST, failed_ns=6, now_ns=21)
    now_ns = 30
    for step in (Step.RECONNECT, Step.RESYNC, Step.RESUME):
        doing = performed(planner.on_timer(now_ns))
        assert (doing.step, doing.attempt) == (step, 1)
        assert planner.on_timer(now_ns + 1) == ()  # it is under way
        now_ns += 10
        effects = planner.on_done(doing.number, ok=True, now_ns=now_ns, bytes_replayed=7)
    record = recorded(effects)
    assert record.repaired
    assert (record.time_to_detect_ns, record.time_to_repair_ns) == (15, 40)
    assert record.bytes_replayed == 21
    assert planner.open == ()


def test_failures_back_off_then_reroute_around_the_suspected_then_give_up() -> None:
    planner = RepairPlanner(POLICY, PATHS)
    planner.set_avoid(frozenset({"b"}))
    planner.on_fault(LOST, failed_ns=0, now_ns=0)
    seen, now_ns, effects = [], 0, ()
    while planner.open:
        deadline_ns = planner.next_deadline_ns()
        assert deadline_ns is not None
        assert planner.on_timer(deadline_ns - 1) == ()
        doing = performed(planner.on_timer(deadline_ns))
        seen.append((doing.step, doing.path, deadline_ns - now_ns))
        now_ns = deadline_ns
        effects = planner.on_done(doing.number, ok=False, now_ns=now_ns)
    assert seen == [
        (Step.RECONNECT, (), 0),
        (Step.RECONNECT, (), 100),
        (Step.REROUTE, ("a", "c", "d"), 200),
        (Step.REROUTE, ("a", "c", "d"), 400),
    ]
    record = recorded(effects)
    assert not record.repaired
    assert record.detail == "every remedy failed"


def test_without_another_path_it_says_so() -> None:
    planner = RepairPlanner(RepairPolicy(attempts=1), PATHS)
    planner.set_avoid(frozenset({"b", "c"}))
    planner.on_fault(LOST, failed_ns=0, now_ns=0)
    planner.on_done(performed(planner.on_timer(0)).number, ok=False, now_ns=1)
    deadline_ns = planner.next_deadline_ns()
    assert deadline_ns is not None
    record = recorded(planner.on_timer(deadline_ns))
    assert not record.repaired
    assert "avoids b, c" in record.detail


def test_what_is_cured_by_itself_is_repaired_no_further() -> None:
    planner = RepairPlanner(POLICY)
    planner.on_fault(LOST, failed_ns=0, now_ns=0)
    doing = performed(planner.on_timer(0))
    assert recorded(planner.on_cured(LOST, now_ns=9)).repaired
    assert planner.on_done(doing.number, ok=False, now_ns=10) == ()
    assert planner.next_deadline_ns() is None


@given(
    st.lists(st.tuples(st.sampled_from(Fault), st.sampled_from("abc")), max_size=12),
    st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=120),
)
def test_every_incident_ends_once_and_steps_keep_their_distance(
    faults: list[tuple[Fault, str]], answers: list[tuple[int, bool]]
) -> None:
    policy = RepairPolicy(attempts=2, backoff_ns=10, backoff_max_ns=40, spacing_ns=5)
    planner = RepairPlanner(policy, {target: [("x", "y")] for target in "abc"})
    now_ns, begun, records = 0, [], []
    for fault, target in faults:
        planner.on_fault(Incident(fault, target), failed_ns=0, now_ns=0)
    for incident in planner.open:
        if not LADDERS[incident.fault]:  # nothing is done about it, and it is over some day
            records += planner.on_cured(incident, now_ns=now_ns)  # type: ignore[arg-type]
    waiting: list[Perform] = []
    turns = iter(answers)
    for _ in range(2000):
        wait_ns, ok = next(turns, (7, False))
        now_ns += wait_ns
        for effect in planner.on_timer(now_ns):
            (waiting if isinstance(effect, Perform) else records).append(effect)  # type: ignore[arg-type]
            if isinstance(effect, Perform):
                begun.append(now_ns)
        if waiting:
            doing = waiting.pop(0)
            records += planner.on_done(doing.number, ok=ok, now_ns=now_ns)  # type: ignore[arg-type]
        if not planner.open:
            break
    assert planner.open == ()
    incidents = [record.incident for record in records]  # type: ignore[attr-defined]
    assert sorted(incidents, key=str) == sorted({Incident(*fault) for fault in faults}, key=str)
    assert all(later - earlier >= 5 for earlier, later in pairwise(begun))


def test_a_fault_without_remedies_is_waited_out() -> None:
    planner = RepairPlanner(POLICY)
    away = Incident(Fault.LINK_LOST, "a--b")
    planner.on_fault(away, failed_ns=0, now_ns=5)
    assert planner.next_deadline_ns() is None
    assert planner.on_timer(10**12) == ()
    record = recorded(planner.on_cured(away, now_ns=9))
    assert (record.repaired, record.steps, record.time_to_repair_ns) == (True, (), 4)


def test_every_fault_has_a_ladder() -> None:
    assert set(LADDERS) == set(Fault)
    with pytest.raises(ValueError, match="attempts"):
        RepairPolicy(attempts=0)
