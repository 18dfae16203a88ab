"""The sender's side of the fsu arm: say what comes before it comes, and say how it ended."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sentinel_node.core.control.messages import FlowPhase, FlowState, PathHop, PathMetadata
from sentinel_node.core.control.refusals import Refusal
from sentinel_node.core.start.buffer_plan import StartMode
from sentinel_node.daemon.connection import TrackedConnection
from sentinel_node.daemon.control.flow_sync import Announced
from sentinel_node.daemon.control.interface import control_flow_id
from sentinel_node.daemon.control.routes import clear_start_window
from sentinel_node.daemon.control.starting import Outgoing, set_send_start
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
    """What the origin knows of its flow. `hops`: itself first, the receiver last."""

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


def announce(run: NodeRun, what: Announcement, order: Order, record: FlowRecord) -> Outgoing:
    """Tell the nodes downstream, and make this node's own start ready.

    Returns when the forecast was handed to the stream. Raises NotAnnouncedError.
    """
    sync = run.sync
    if sync is None:
        raise NotAnnouncedError(
            f"flow {order.flow_id} is to be announced, but this node has no control plane: "
            "call Connect before the run is opened"
        )
    now_ns = time.monotonic_ns()
    flow_id = control_flow_id(run.name, order.flow_id)

    def tell() -> tuple[Refusal | None, FlowState, PathMetadata]:
        version = sync.version()
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
        path = PathMetadata(flow_id, version, what.hops)
        flow = Announced(state, path, what.interval_ns)
        return sync.announce(flow, lambda: record.payload_bytes), state, path

    refusal, state, path = sync.from_thread(tell)
    if refusal is not None:
        raise NotAnnouncedError(f"flow {order.flow_id} was not announced: {refusal.detail}")
    outgoing = Outgoing.of(order.target_address, state, path, 1, what.mode)
    prepared = run.preparations.begin(flow_id)
    if set_send_start(order.target_address, outgoing.plan) and prepared is not None:
        target = order.target_address
        run.preparations.on_close(lambda: clear_start_window(target))
        run.preparations.adjusted(prepared, "start window", outgoing.plan)
    return outgoing


def tell_end(run: NodeRun, order: Order, record: FlowRecord) -> None:
    """All is written, or the flow failed: the exact last state. Only the first call counts."""
    sync, flow_id = run.sync, control_flow_id(run.name, order.flow_id)
    if sync is not None:
        digest = record.sha256 or bytes(32)
        sync.from_thread(lambda: sync.finish(flow_id, record.payload_bytes, digest))


def remember(
    record: FlowRecord, outgoing: Outgoing | None, connection: TrackedConnection | None
) -> None:
    """What a connection that ended well found is kept for the next one."""
    if record.complete and outgoing is not None:
        outgoing.observe_end(connection)
