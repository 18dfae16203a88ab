"""Where a flow in custody goes next, and what the connection there needs of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from sentinel_node.core.control.custody_messages import ResumePoint
from sentinel_node.core.framing import FlowHeader, FlowTrailer
from sentinel_node.daemon.connection import TrackedConnection
from sentinel_node.daemon.sockets import TcpProfile


@dataclass(frozen=True, slots=True)
class Onward:
    """Where a flow goes next, in the data plane and on the control plane."""

    peer: str
    address: str
    port: int
    source_address: str = ""
    profile: TcpProfile = field(default_factory=TcpProfile)


class Feed(Protocol):
    """The flow at this node, as its downlink sees it."""

    @property
    def name(self) -> int:
        """On the control plane."""
        ...

    def header(self, transfer_epoch: int, start: int, *, fresh: bool) -> FlowHeader | None:
        """None: not known yet (an intermediate that upstream has not connected to)."""
        ...

    def introduce(self) -> int | None:
        """The next node has to be told of the flow: what to send from; None: nothing yet."""
        ...

    def unsent(self) -> tuple[int, int]:
        """[start, end) of what is to be sent now."""
        ...

    def view(self, start: int, end: int) -> memoryview:
        """Bytes from `start`, as many as lie together; empty: they are not here any more."""
        ...

    def on_sent(self, count_bytes: int) -> None:
        """The connection took so much."""
        ...

    def trailer(self) -> FlowTrailer | None:
        """Once the end of the flow is known."""
        ...

    def on_attempt(self, transfer_epoch: int) -> None:
        """A new attempt begins."""
        ...

    def on_open(self, connection: TrackedConnection, start: int) -> None:
        """A connection carries the flow from `start` on."""
        ...

    def resume(self, point: ResumePoint) -> int | None:
        """Downstream wants these bytes next; the offset to send from.

        None: the point may have been overtaken by an acknowledgement; another attempt has to
        ask. Raises NodeError if the bytes are gone.
        """
        ...
