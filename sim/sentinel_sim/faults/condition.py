"""What the faults in force make of a link and of a node's daemon, taken together (pure).

Faults overlap: a link may be slow, lossy and cut at once, by several of them. So the injector
never undoes a fault; it sets the link to what those still in force ask for.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import IntEnum

from sentinel_sim.plan.model import FaultKind, FaultPlan, LinkPlan


class Cut(IntEnum):
    """What does not pass. A larger value includes the smaller ones."""

    NOTHING = 0
    CONTROL = 1
    ALL = 2


@dataclass(frozen=True, slots=True)
class Condition:
    """One direction of one link."""

    cut: Cut
    loss: float
    """Probability per wire packet: the link's own and that of all faults, independent."""
    corrupt: float
    """Share of the packets with control messages in which a bit is turned."""
    rate_bps: int
    """The slowest of those asked for; the link's own without such a fault."""
    replay: float = 0.0
    """Share of the control messages after which an older one is sent again."""


def nominal(link: LinkPlan) -> Condition:
    """As the topology has it."""
    return Condition(Cut.NOTHING, link.loss, 0.0, link.rate_bps)


def strikes(fault: FaultPlan, link: LinkPlan, direction: str) -> bool:
    """Does the fault concern this direction (`a->b`) of this link?"""
    if fault.kind is FaultKind.KILL_NODE:
        return fault.target in (link.a, link.b)
    if not fault.strikes_link or fault.target != link.name:
        return False
    return fault.direction is None or fault.direction == direction


def condition_of(link: LinkPlan, direction: str, in_force: Collection[FaultPlan]) -> Condition:
    """The direction with all these faults in force."""
    found = [fault for fault in in_force if strikes(fault, link, direction)]
    if not found:
        return nominal(link)
    rates = [fault.rate_bps for fault in found if fault.rate_bps is not None]
    return Condition(
        cut=max((_cut(fault) for fault in found), default=Cut.NOTHING),
        loss=_either((link.loss, *(fault.loss for fault in found))),
        corrupt=_either([fault.corrupt for fault in found]),
        rate_bps=min(rates, default=link.rate_bps),
        replay=_either([fault.replay for fault in found]),
    )


def _either(shares: Iterable[float]) -> float:
    """Of independent causes; exact where only one is above zero."""
    some = [share for share in shares if share > 0.0]
    return some[0] if len(some) == 1 else 1.0 - math.prod(1.0 - share for share in some)


def _cut(fault: FaultPlan) -> Cut:
    if fault.kind is FaultKind.KILL_NODE:
        return Cut.ALL
    if fault.kind is not FaultKind.PARTITION:
        return Cut.NOTHING
    return Cut.CONTROL if fault.control_only else Cut.ALL


def directions(link: LinkPlan) -> tuple[str, str]:
    """`a->b` and `b->a`: first what comes from side a."""
    return f"{link.a}->{link.b}", f"{link.b}->{link.a}"
