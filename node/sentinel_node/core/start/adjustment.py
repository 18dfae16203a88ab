"""One thing that a node made ready ahead of a flow, or changed under way, as it is reported."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from sentinel_node.core.control.messages import FlowPhase, FlowState, PathMetadata
from sentinel_node.core.start.buffer_plan import BufferPlan, HostLimits, StartMode
from sentinel_node.core.start.outgoing import Outgoing, link_plan

WINDOW = "window, predicted anew"
SEND_BUFFER = "send buffer, predicted anew"


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


class Anew(NamedTuple):
    """What follows at one node when another rate is predicted under way; in this order."""

    window: BufferPlan | None
    """Of the connection that data comes by (`WINDOW`); None: it stays as it is."""
    sending: BufferPlan | None
    """Of the connection to the next node (`SEND_BUFFER`), and its gate's limit; None: none."""
    offset_bytes: int
    """Payload that was sent before this prediction was made."""

    @classmethod
    def of(
        cls,
        state: FlowState,
        path: PathMetadata,
        here: int,
        host: HostLimits,
        mode: StartMode,
        outgoing: Outgoing | None,
        *,
        window_fixed: bool,
    ) -> Anew:
        """At hop `here` of the path (0: the origin). `window_fixed`: by the experiment."""
        window = sending = None
        if here and not window_fixed:
            window = link_plan(state, path, here, host, mode, None)
        if outgoing is not None:
            sending = link_plan(state, path, here + 1, host, mode, outgoing.saved)
        return cls(window, sending, state.total_bytes if state.phase is FlowPhase.ACTIVE else 0)
