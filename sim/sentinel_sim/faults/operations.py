"""From a fault that begins or ends to what must be done to daemons and links (pure)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from sentinel_sim.faults.condition import Condition, condition_of, directions, strikes
from sentinel_sim.faults.schedule import Action, Begin
from sentinel_sim.plan.model import FaultKind, FaultPlan, LinkPlan


class NodeAction(Enum):
    """What is done to a node or its daemon."""

    KILL_DAEMON = auto()
    """SIGKILL to the daemon."""
    FREEZE_DAEMON = auto()
    """SIGSTOP to the daemon."""
    THAW_DAEMON = auto()
    """SIGCONT to the daemon that was frozen, if it still lives."""
    RESTART_DAEMON = auto()
    """Kill the daemon and start another at once."""
    POWER_OFF = auto()
    """Kill every process of the node; none can be started until it has power again."""
    POWER_ON = auto()
    """Processes can be started in the node again, and its daemon is."""


@dataclass(frozen=True, slots=True)
class SetNode:
    """Do this to a node."""

    action: NodeAction
    node: str


@dataclass(frozen=True, slots=True)
class SetLink:
    """Put one direction of a link into this condition."""

    link: LinkPlan
    side: str
    """From which the packets come: `a` or `b`."""
    condition: Condition


Operation: TypeAlias = SetNode | SetLink

_BEGIN: dict[FaultKind, NodeAction] = {
    FaultKind.KILL_DAEMON: NodeAction.KILL_DAEMON,
    FaultKind.FREEZE_DAEMON: NodeAction.FREEZE_DAEMON,
    FaultKind.RESTART_DAEMON: NodeAction.RESTART_DAEMON,
    FaultKind.KILL_NODE: NodeAction.POWER_OFF,
}
_END: dict[FaultKind, NodeAction] = {
    FaultKind.FREEZE_DAEMON: NodeAction.THAW_DAEMON,
    FaultKind.KILL_NODE: NodeAction.POWER_ON,
}


def operations_of(
    action: Action, in_force: Collection[FaultPlan], links: Sequence[LinkPlan]
) -> tuple[Operation, ...]:
    """What `action` asks for; `in_force` are the faults in force after it.

    What another fault in force still holds (a frozen daemon, a node without power) stays held.
    """
    fault = action.fault
    found: list[Operation] = []
    if isinstance(action, Begin):
        if fault.kind in _BEGIN:
            found.append(SetNode(_BEGIN[fault.kind], fault.target))
    elif fault.kind in _END and not _held(fault, in_force):
        found.append(SetNode(_END[fault.kind], fault.target))
    for link in links:
        for side, direction in zip(("a", "b"), directions(link), strict=True):
            if strikes(fault, link, direction):
                found.append(SetLink(link, side, condition_of(link, direction, in_force)))
    return tuple(found)


def _held(fault: FaultPlan, in_force: Collection[FaultPlan]) -> bool:
    return any(one.kind is fault.kind and one.target == fault.target for one in in_force)
