"""The sender's side of the fsu arm: say what comes before it comes, and say how it ended."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sentinel_node.core.control.messages import FlowState
from sentinel_node.core.control.refusals import Refusal
from sentinel_node.core.framing import HEADER_BYTES
from sentinel_node.core.start.buffer_plan import StartMode
from sentinel_node.core.start.outgoing import Outgoing
from sentinel_node.core.sync.announcement import Announcement
from sentinel_node.daemon.connection import TrackedConnection
from sentinel_node.daemon.control.following import Following
from sentinel_node.daemon.control.interface import control_flow_id
from sentinel_node.daemon.control.routes import clear_start_window
from sentinel_node.daemon.control.starting import (
    Prepared,
    observe_end,
    outgoing_to,
    set_send_start,
)
from sentinel_node.daemon.records import FlowRecord
from sentinel_node.errors import NodeError

if TYPE_CHECKING:
    from sentinel_node.daemon.run import NodeRun


class NotAnnouncedError(NodeError):
    """A flow was to be announced over a control plane that is not there, or refused it."""


class Order(Protocol):
    """What is used of a FlowOrder."""

    @property
    def flow_id(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def target_address(self) -> str: ...


class _Left:
    """Payload that has left this host, each byte counted once: what replicas are told.

    What waits in the socket has gone nowhere. Counted when it is written it would make bursts of
    a steady flow, as often as the writer gets its CPU, and a correction for each of them.
    """

    def __init__(self, record: FlowRecord, prepared: Prepared) -> None:
        self._record = record
        self._prepared = prepared
        self._most = 0

    def __call__(self) -> int:
        connection = self._prepared.connection
        if connection is not None:
            left = connection.left_bytes() - HEADER_BYTES
            # The trailer is no payload.
            self._most = max(self._most, min(left, self._record.payload_bytes))
        return self._most


@dataclass(frozen=True, slots=True)
class Start:
    """What was made ready at the origin of an announced flow."""

    prepared: Prepared
    outgoing: Outgoing
    following: Following
    connect_at_ns: int
    """Not before this: see `Outgoing.head_start_ns`."""

    def wait(self, run: NodeRun, sock: socket.socket) -> None:
        """Until the flow may connect, which it does then at once. Raises Stopped."""
        run.stop.wait_until(self.connect_at_ns)
        self.prepared.connecting(sock, time.monotonic_ns(), run.event)

    def connected(self, run: NodeRun, connection: TrackedConnection) -> None:
        """The first connection stands; predictions that came meanwhile are followed."""
        self.prepared.established(connection.sock)
        self.prepared.connection = connection
        self.prepared.done.set()
        self.following.follow(run)


def announce(run: NodeRun, what: Announcement, order: Order, record: FlowRecord) -> Start:
    """Tell the nodes downstream, and make this node's own start ready.

    Returns when the forecast was handed to the stream. Raises NotAnnouncedError.
    """
    sync = run.sync
    if sync is None:
        raise NotAnnouncedError(
            f"flow {order.flow_id} is to be announced, but this node has no control plane: "
            "call Connect before the run is opened"
        )
    prepared = run.preparations.begin(control_flow_id(run.name, order.flow_id))
    if prepared is None:
        raise NotAnnouncedError(f"flow {order.flow_id} was announced in this run already")

    def tell() -> tuple[FlowState | Refusal, Following]:
        flow = what.of_flow(
            prepared.flow_id,
            sync.version(),
            size_bytes=order.size_bytes or None,
            now_ns=time.monotonic_ns(),
        )
        following = Following(prepared, flow.path, 0, what.mode)
        left = _Left(record, prepared)
        told = sync.announce(
            flow,
            left,
            lambda state: following.hear(run, state),
            record.checkpoints.newest_within,
        )
        if what.mode is StartMode.MANAGED:
            sync.offers.expect(prepared.flow_id, prepared.offered)
        return told, following

    state, following = sync.from_thread(tell)
    told_ns = time.monotonic_ns()
    if isinstance(state, Refusal):
        raise NotAnnouncedError(f"flow {order.flow_id} was not announced: {state.detail}")
    outgoing = outgoing_to(order.target_address, state, following.path, 1, what.mode)
    prepared.outgoing = outgoing
    if set_send_start(order.target_address, outgoing.plan):
        target = order.target_address
        run.preparations.on_close(lambda: clear_start_window(target))
        run.preparations.adjusted(prepared, "start window", outgoing.plan)
    return Start(prepared, outgoing, following, told_ns + outgoing.head_start_ns)


def tell_end(run: NodeRun, order: Order, record: FlowRecord) -> None:
    """All is written, or the flow failed: the exact last state. Only the first call counts."""
    sync, flow_id = run.sync, control_flow_id(run.name, order.flow_id)
    if sync is not None:
        digest = record.sha256 or bytes(32)
        sync.from_thread(lambda: sync.finish(flow_id, record.payload_bytes, digest))


def remember(record: FlowRecord, start: Start | None, connection: TrackedConnection | None) -> None:
    """What a connection that ended well found is kept for the next one."""
    if record.complete and start is not None:
        observe_end(start.outgoing, connection)
