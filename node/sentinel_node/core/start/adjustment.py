"""One thing that a node made ready ahead of a flow, or changed under way, as it is reported."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sentinel_node.core.start.buffer_plan import BufferPlan


@dataclass(slots=True)
class Adjustment:
    """One thing that was made ready. Times are those of the node's clock; 0: not yet."""

    flow_id: int
    what: str
    plan: BufferPlan
    ready_ns: int = 0
    offset_bytes: int = 0
    """Payload before what was sent under this prediction; 0: all of the flow was."""
    reached_ns: int = 0
    """When the first byte after `offset_bytes` was here."""


def note_reached(
    waiting: Iterable[Adjustment], payload_bytes: int, now_ns: int
) -> list[Adjustment]:
    """So much of the flow is here: gives those whose data is still to come."""
    left = []
    for one in waiting:
        if one.offset_bytes < payload_bytes:
            one.reached_ns = now_ns
        else:
            left.append(one)
    return left
