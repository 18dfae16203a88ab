"""From a fault that begins or ends to what must be done to daemons and links (pure)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sentinel_sim.faults.condition import Condition, condition_of, directions, strikes
from sentinel_sim.faults.schedule import Action, Begin
from sentinel_sim.plan.model import FaultKind, FaultPlan, LinkPlan


@dataclass(frozen=True, slots=True)
class KillDaemon:
    """SIGKILL to the node's daemon."""

    node: str


@dataclass(frozen=True, slots=True)
class FreezeDaemon:
    """SIGSTOP to the node's daemon."""

    node: str


@dataclass(frozen=True, slots=True)
class ThawDaemon:
    """SIGCONT to the daemon that was frozen, if it still lives."""

    node: str


@dataclass(frozen=True, slots=True)
class RestartDaemon:
    """Kill the node's daemon and start another at once."""

    node: str


@dataclass(frozen=True, slots=True)
class PowerOff:
    """Kill every process of the node; none can be started until it has power again."""

    node: str


@dataclass(frozen=True, slots=True)
class PowerOn:
    """Processes can be started in the node again, and its daemon is."""

    node: str


@dataclass(frozen=True, slots=True)
class SetLink:
    """Put one direction of a link into this condition."""

    link: LinkPlan
    side: str
    """From which the packets come: `a` or `b`."""
    condition: Condition


Operation: TypeAlias = (
    KillDaemon | FreezeDaemon | ThawDaemon | RestartDaemon | PowerOff | PowerOn | SetLink
)

_BEGIN: dict[FaultKind, type[KillDaemon | FreezeDaemon | RestartDaemon | PowerOff]] = {
    FaultKind.KILL_DAEMON: KillDaemon,
    FaultKind.FREEZE_DAEMON: FreezeDaemon,
    FaultKind.RESTART_DAEMON: RestartDaemon,
    FaultKind.KILL_NODE: PowerOff,
}
_END: dict[FaultKind, type[ThawDaemon | PowerOn]] = {
    FaultKind.FREEZE_DAEMON: ThawDaemon,
    FaultKind.KILL_NODE: PowerOn,
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
            found.append(_BEGIN[fault.kind](fault.target))
    elif fault.kind in _END and not _held(fault, in_force):
        found.append(_END[fault.kind](fault.target))
    for link in links:
        for side, direction in zip(("a", "b"), directions(link), strict=True):
            if strikes(fault, link, direction):
                found.append(SetLink(link, side, condition_of(link, direction, in_force)))
    return tuple(found)


def _held(fault: FaultPlan, in_force: Collection[FaultPlan]) -> bool:
    return any(one.kind is fault.kind and one.target == fault.target for one in in_force)
