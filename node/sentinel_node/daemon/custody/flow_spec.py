"""One flow to send in custody: what a sender is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sentinel_node.core.custody.effects import Release
from sentinel_node.core.series import DEFAULT_INTERVAL_NS
from sentinel_node.daemon.control.starting import Prepared
from sentinel_node.daemon.custody.onward import Onward
from sentinel_node.daemon.custody.sources import Source
from sentinel_node.errors import NodeError

DEFAULT_STALL_TIMEOUT_NS = 120_000_000_000


class LostError(NodeError):
    """Bytes of a flow are nowhere where the sender can get them."""


@dataclass(frozen=True, slots=True)
class CustodyFlowSpec:
    """One flow to send in custody."""

    flow_id: int
    source: Source
    onward: Onward
    receiver: str
    release: Release = Release.DELIVERED
    resume: bool = False
    """Others may have heard of the flow (a sender that was started anew): ask first."""
    series_interval_ns: int = DEFAULT_INTERVAL_NS
    stall_timeout_ns: int = DEFAULT_STALL_TIMEOUT_NS
    on_confirm: Callable[[int], None] = field(default=lambda _offset: None)
    """Told how far the outside may rely on it; from the event loop's thread, must not block."""
    prepared: Prepared | None = None
    """Of an announced flow: how its connections begin."""
    on_all_sent: Callable[[], None] = field(default=lambda: None)
    """Called once, when the last byte went out for the first time; from the flow's thread."""
