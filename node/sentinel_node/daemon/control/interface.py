"""What the rest of the daemon sees of the control plane: the streams to the neighbours.

`send` is for every thread; handlers and peer events come on the event loop's thread, and must
not block there. Messages are latest value wins per kind and flow: one that waits while the stream
cannot take it is replaced by the next of its kind and flow, never queued behind it. What waits is
dropped when the session ends, so whoever must be sure says it again at `PeerChange.UP`.

Flows of different runs may have equal numbers; on the control plane a flow is named by
`control_flow_id(run, flow_id)`. A relay that does not know the run's name takes it from the
flow's header: `token_flow_id(header.token)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

from sentinel_node.core.control.codec import Message
from sentinel_node.core.control.refusals import Refusal
from sentinel_node.core.framing import flow_token

MessageT = TypeVar("MessageT", contravariant=True)

Unsubscribe = Callable[[], None]


def token_flow_id(token: bytes) -> int:
    """The flow's name on the control plane, from the token in its header."""
    return int.from_bytes(token[:8], "big")


def control_flow_id(run: str, flow_id: int) -> int:
    """The flow's name on the control plane: unique over the runs of one daemon."""
    return token_flow_id(flow_token(run, flow_id))


class PeerChange(StrEnum):
    """What happened to a neighbour."""

    UP = "up"
    """A session stands, and the peer proved to be there now: messages can be sent."""
    SUSPECTED = "suspected"
    """Its heartbeats are overdue; the session may still stand."""
    RESTORED = "restored"
    """A suspected peer of the same incarnation spoke again."""
    DOWN = "down"
    """The session ended (the stream broke, or was closed); it is dialled again."""

    @property
    def is_back(self) -> bool:
        """The neighbour is to be spoken to again."""
        return self in (PeerChange.UP, PeerChange.RESTORED)


@dataclass(frozen=True, slots=True)
class PeerEvent:
    """One change of a neighbour. `at_ns` is CLOCK_MONOTONIC."""

    peer: str
    change: PeerChange
    at_ns: int
    epoch: int
    """The peer's incarnation; 0: never heard."""
    restarted: bool = False
    """With UP: the epoch is a new one; everything the peer had in memory is gone."""
    silent_ns: int = 0
    """With SUSPECTED and RESTORED: for how long nothing was heard."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """A neighbour as it is now."""

    name: str
    connected: bool
    """A session stands and was confirmed: `send` will take messages."""
    suspected: bool
    epoch: int
    sessions: int
    """That were opened so far."""
    heartbeat_age_ns: int | None
    """Since the last heartbeat; None: none came yet."""
    refused: Mapping[str, int]
    """Refused messages by reason, over all sessions."""
    sent_messages: int
    sent_bytes: int
    """Of envelopes, without HTTP/2 and TCP."""
    received_messages: int
    received_bytes: int


Handler = Callable[[str, MessageT], Refusal | None]
"""(peer, message) -> None if it was taken, or why not; a refusal is counted."""

PeerHandler = Callable[[PeerEvent], None]


class ControlPlane(Protocol):
    """The control streams of this node."""

    @property
    def node(self) -> str:
        """This node's name, as its neighbours know it."""
        ...

    @property
    def epoch(self) -> int:
        """This daemon's incarnation; grows with every restart."""
        ...

    @property
    def peers(self) -> Mapping[str, PeerStatus]:
        """The configured neighbours, by name. From any thread."""
        ...

    def send(self, peer: str, message: Message) -> bool:
        """Hand over a message; False: no session with that neighbour now, nothing was kept.

        From any thread. True is no promise of arrival. Raises ValueError for a node that is no
        neighbour.
        """
        ...

    def handle(self, kind: type[MessageT], handler: Handler[MessageT]) -> Unsubscribe:
        """Have every authentic message of `kind` handed to `handler`, from any peer.

        One handler for each kind: raises ValueError if there is one already. From the event
        loop's thread, or before it runs.
        """
        ...

    def on_peer(self, handler: PeerHandler) -> Unsubscribe:
        """Be told of every change of a neighbour, in order."""
        ...
