"""Overlapping faults: a link is what all of them together make of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.emulated.specs import line, link

from sentinel_sim.faults.condition import Condition, Cut, condition_of, directions, nominal
from sentinel_sim.faults.operations import (
    NodeAction,
    SetLink,
    SetNode,
    operations_of,
)
from sentinel_sim.faults.schedule import Begin, End
from sentinel_sim.plan.model import FaultKind, FaultPlan

LINKS = line().links
SM = link("s", "m")


def fault(kind: FaultKind, target: str = "s--m", **values: object) -> FaultPlan:
    return FaultPlan(0, kind, target, at_ns=0, **values)  # type: ignore[arg-type]


def test_a_cut_of_all_outranks_one_of_the_control_channel() -> None:
    control = fault(FaultKind.PARTITION, control_only=True)
    assert condition_of(SM, "s->m", [control]).cut is Cut.CONTROL
    assert condition_of(SM, "s->m", [control, fault(FaultKind.PARTITION)]).cut is Cut.ALL


def test_losses_are_independent_and_the_slowest_rate_counts() -> None:
    found = condition_of(
        SM,
        "s->m",
        [
            fault(FaultKind.LOSS, loss=0.5),
            fault(FaultKind.LOSS, loss=0.5),
            fault(FaultKind.RATE, rate_bps=5),
            fault(FaultKind.RATE, rate_bps=3),
            fault(FaultKind.CORRUPT_CONTROL, corrupt=0.25),
            fault(FaultKind.REPLAY_CONTROL, replay=0.5),
            fault(FaultKind.REPLAY_CONTROL, replay=0.5),
        ],
    )
    assert found == Condition(Cut.NOTHING, 0.75, 0.25, 3, 0.75)


def test_one_loss_alone_is_exact() -> None:
    assert condition_of(SM, "s->m", [fault(FaultKind.LOSS, loss=0.001)]).loss == 0.001


def test_a_direction_is_struck_alone() -> None:
    one_way = fault(FaultKind.PARTITION, direction="m->s")
    (only,) = operations_of(Begin(1, one_way, 0, 0), [one_way], LINKS)
    assert only == SetLink(LINKS[0], "b", condition_of(SM, "m->s", [one_way]))
    assert condition_of(SM, "s->m", [one_way]) == nominal(SM)


def test_a_node_without_power_has_no_link() -> None:
    off = fault(FaultKind.KILL_NODE, "m")
    found = operations_of(Begin(1, off, 0, 0), [off], LINKS)
    cut = {(one.link.name, one.side) for one in found if isinstance(one, SetLink)}
    assert cut == {(name, side) for name in ("s--m", "m--r") for side in "ab"}
    assert all(one.condition.cut is Cut.ALL for one in found if isinstance(one, SetLink))


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        (FaultKind.FREEZE_DAEMON, NodeAction.THAW_DAEMON),
        (FaultKind.KILL_NODE, NodeAction.POWER_ON),
    ],
)
def test_what_another_fault_holds_stays_held(kind: FaultKind, action: NodeAction) -> None:
    mine, other = fault(kind, "m"), fault(kind, "m")
    held = operations_of(End(1, mine, None), [other], LINKS)
    assert not any(isinstance(one, SetNode) and one.action is action for one in held)
    free = operations_of(End(2, other, None), [], LINKS)
    assert any(isinstance(one, SetNode) and one.action is action for one in free)


def test_a_kill_is_one_operation() -> None:
    kill = fault(FaultKind.KILL_DAEMON, "m")
    assert operations_of(Begin(1, kill, 0, 0), [], LINKS) == (SetNode(NodeAction.KILL_DAEMON, "m"),)


PLANS = st.builds(
    FaultPlan,
    index=st.just(0),
    kind=st.sampled_from(FaultKind),
    target=st.sampled_from(["s", "m", "r", "s--m", "m--r"]),
    at_ns=st.just(0),
    direction=st.none() | st.sampled_from(["s->m", "m->s", "m->r"]),
    control_only=st.booleans(),
    loss=st.sampled_from([0.0, 0.1, 0.5]),
    rate_bps=st.none() | st.integers(1, 10**9),
    corrupt=st.sampled_from([0.0, 0.1]),
    replay=st.sampled_from([0.0, 0.5]),
)


@given(st.lists(PLANS, max_size=8), st.randoms(use_true_random=False))
def test_after_the_last_fault_every_link_is_as_the_topology_has_it(
    plans: list[FaultPlan], random: object
) -> None:
    state = {(x.name, side): nominal(x) for x in LINKS for side in "ab"}
    in_force: list[tuple[int, FaultPlan]] = []
    queue = [(number, plan, True) for number, plan in enumerate(plans)]
    queue += [(number, plan, False) for number, plan, _ in queue]
    random.shuffle(queue)  # type: ignore[attr-defined]
    begun: set[int] = set()
    for number, plan, _ in queue:
        if number in begun:
            in_force.remove((number, plan))
            action: Begin | End = End(number, plan, None)
        else:
            begun.add(number)
            in_force.append((number, plan))
            action = Begin(number, plan, 0, 0)
        for one in operations_of(action, [plan for _, plan in in_force], LINKS):
            if isinstance(one, SetLink):
                state[one.link.name, one.side] = one.condition
        for x in LINKS:
            for side, direction in zip("ab", directions(x), strict=True):
                expected = condition_of(x, direction, [plan for _, plan in in_force])
                assert state[x.name, side] == expected
    assert state == {(x.name, side): nominal(x) for x in LINKS for side in "ab"}
