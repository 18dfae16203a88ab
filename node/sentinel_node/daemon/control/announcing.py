"""The sender's side of the fsu arm: say what comes before it comes, and say how it ended."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sentinel_node.core.control.messages import FlowPhase, FlowState, PathHop, PathMetadata
from sentinel_node.core.control.refusals import Refusal
from sentinel_node.core.framing import HEADER_BYTES
from sentinel_node.core.start.buffer_plan import StartMode
from sentinel_node.daemon.connection import TrackedConnection
from sentinel_node.daemon.control.flow_sync import Announced, FlowSync
from sentinel_node.daemon.control.following import Following
from sentinel_node.daemon.control.interface import control_flow_id
from sentinel_node.daemon.control.routes import clear_start_window
from sentinel_node.daemon.control.starting import Outgoing, Prepared, set_send_start
from sentinel_node.daemon.records import FlowRecord
from sentinel_node.errors import NodeError, RequestError

if TYPE_CHECKING:
    from sentinel_node.daemon.run import NodeRun

DEFAULT_INTERVAL_NS = 10_000_000
DEFAULT_SILENCE_NS = 1_000_000_000


class NotAnnouncedError(NodeError):
    """A flow was to be announced over a control plane that is not there, or refused it."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """What the origin knows of its flow. `hops`: itself first, the receiver last.

    `rate_Bps` is what it asks for, all other flows aside; `error_bound_bytes` belongs to it.
    """

    hops: tuple[PathHop, ...]
    rate_Bps: int
    rtt_ns: int
    error_bound_bytes: int
    interval_ns: int = DEFAULT_INTERVAL_NS
    max_silence_ns: int = DEFAULT_SILENCE_NS
    mode: StartMode = StartMode.CAREFUL

    def __post_init__(self) -> None:
        if len(self.hops) < 2:
            raise RequestError(f"an announced path has two nodes or more, got {self.hops}")
        if self.rate_Bps <= 0:
            raise RequestError(f"an announced rate_Bps must be positive, got {self.rate_Bps}")
        if not 0 < self.interval_ns <= self.max_silence_ns:
            raise RequestError(
                f"0 < interval_ns <= max_silence_ns does not hold: {self.interval_ns}, "
                f"{self.max_silence_ns}"
            )


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

    def connected(self, run: NodeRun, connection: TrackedConnection) -> None:
        """The first connection stands; predictions that came meanwhile are followed."""
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
        flow = _asked(sync, what, order, prepared.flow_id)
        following = Following(prepared, flow.path, 0, what.mode)
        left = _Left(record, prepared)
        return sync.announce(flow, left, lambda state: following.hear(run, state)), following

    state, following = sync.from_thread(tell)
    if isinstance(state, Refusal):
        raise NotAnnouncedError(f"flow {order.flow_id} was not announced: {state.detail}")
    outgoing = Outgoing.of(order.target_address, state, following.path, 1, what.mode)
    prepared.outgoing = outgoing
    if set_send_start(order.target_address, outgoing.plan):
        target = order.target_address
        run.preparations.on_close(lambda: clear_start_window(target))
        run.preparations.adjusted(prepared, "start window", outgoing.plan)
    return Start(prepared, outgoing, following)


def _asked(sync: FlowSync, what: Announcement, order: Order, flow_id: int) -> Announced:
    version, now_ns = sync.version(), time.monotonic_ns()
    state = FlowState(
        flow_id,
        what.hops[0].node,
        version,
        FlowPhase.PREDICTED,
        now_ns,
        0,
        what.rate_Bps,
        error_bound_bytes=what.error_bound_bytes,
        max_silence_ns=what.max_silence_ns,
        peak_rate_Bps=what.rate_Bps,
        rtt_ns=what.rtt_ns,
        start_ns=now_ns,
        size_bytes=order.size_bytes or None,
    )
    return Announced(state, PathMetadata(flow_id, version, what.hops), what.interval_ns)


def tell_end(run: NodeRun, order: Order, record: FlowRecord) -> None:
    """All is written, or the flow failed: the exact last state. Only the first call counts."""
    sync, flow_id = run.sync, control_flow_id(run.name, order.flow_id)
    if sync is not None:
        digest = record.sha256 or bytes(32)
        sync.from_thread(lambda: sync.finish(flow_id, record.payload_bytes, digest))


def remember(record: FlowRecord, start: Start | None, connection: TrackedConnection | None) -> None:
    """What a connection that ended well found is kept for the next one."""
    if record.complete and start is not None:
        start.outgoing.observe_end(connection)
