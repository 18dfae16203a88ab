"""The receiving end of flows in custody: every byte once, over as many connections as it takes.

State outlives its connection: the running hash goes on where it stood. It does not outlive the
daemon, unless the payload is written down (`folder`): then a flow goes on where its file ends.
Delivered is said by bytes or time, after read() (after fsync where it is written down), and is
what frees the bytes everywhere else.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sentinel_node.core.control.custody_messages import (
    CustodyAck,
    CustodyReason,
    CustodyRefusal,
    DeliveredAck,
    ResumePoint,
    ResumeQuery,
)
from sentinel_node.core.control.refusals import Reason, Refusal
from sentinel_node.core.custody.delivery import DeliveryLedger
from sentinel_node.core.custody.running_hash import Checkpoint
from sentinel_node.core.custody.throttle import AckThrottle
from sentinel_node.core.framing import FlowHeader, StreamParser
from sentinel_node.core.series import DEFAULT_INTERVAL_NS
from sentinel_node.daemon import sockets
from sentinel_node.daemon.connection import TrackedConnection
from sentinel_node.daemon.control.interface import PeerChange, PeerEvent, token_flow_id
from sentinel_node.daemon.custody.flow_file import FlowFile
from sentinel_node.daemon.custody.hub import CustodyHub
from sentinel_node.daemon.custody.uplink import read_header
from sentinel_node.daemon.custody.wake import FlowPoller, Wake
from sentinel_node.daemon.receiver import BUFFER_BYTES, Limiter
from sentinel_node.daemon.records import CustodyRecord, FlowRecord
from sentinel_node.daemon.run import NodeRun, accept_in_background
from sentinel_node.daemon.sockets import TcpProfile
from sentinel_node.errors import FramingError, NodeError, RequestError, Stopped

DEFAULT_RETURN_TIMEOUT_NS = 120_000_000_000


@dataclass(frozen=True, slots=True)
class CustodyListenSpec:
    """Where to receive, from whom, and whether it is written down."""

    address: str
    port: int
    upstream: str
    profile: TcpProfile = field(default_factory=TcpProfile)
    series_interval_ns: int = DEFAULT_INTERVAL_NS
    read_rate_limit_bps: int = 0
    return_timeout_ns: int = DEFAULT_RETURN_TIMEOUT_NS
    """How long a flow whose connection broke is waited for."""
    folder: Path | None = None

    def __post_init__(self) -> None:
        if not self.upstream:
            raise RequestError("custody: the upstream neighbour must be named")


def start_custody_listening(run: NodeRun, hub: CustodyHub, spec: CustodyListenSpec) -> int:
    """Bind, and receive flows until the run ends. Gives the port."""
    receiver = CustodyReceiver(run, hub, spec)
    listener = sockets.listen(spec.address, spec.port, spec.profile)
    port = int(listener.getsockname()[1])
    accept_in_background(run, listener, receiver.accept)
    run.on_close(hub.serve(spec.upstream, receiver.on_stranger))
    run.on_close(receiver.close)
    return port


def in_thread(run: NodeRun, work: Callable[[NodeRun], None]) -> None:
    """What would block the event loop; nothing, if the run is over."""
    with suppress(Stopped):
        run.spawn("answer", work)


class ReceiverFlow:
    """One flow over all its connections. Everything is under its lock; one reads at a time."""

    def __init__(self, receiver: CustodyReceiver, name: int) -> None:
        self.name = name
        self.lock = threading.Lock()
        self._receiver = receiver
        self._plane = receiver.hub.plane
        self.ledger = DeliveryLedger(name, self._plane.node)
        self.record = FlowRecord(0, receiver.spec.series_interval_ns)
        self.record.custody = CustodyRecord(receiver.spec.series_interval_ns)
        self.wake = Wake()
        self.acked = AckThrottle()
        self._said: DeliveredAck | None = None
        self._generation = 0
        self._file: FlowFile | None = None
        if receiver.spec.folder is not None:
            self._file = FlowFile(receiver.spec.folder, name)
            self._file.feed(self.ledger)
        receiver.run.begin_work()
        receiver.run.add_flow(self.record)

    # -- from the event loop's thread --------------------------------------------------------

    def on_query(self, peer: str, query: ResumeQuery) -> Refusal | None:
        """A new attempt begins. What is written down is synced first, in a thread."""
        if peer != self._receiver.spec.upstream:
            return self._not_for(peer)
        if self._file is None:
            self._answer(query)
            return None
        in_thread(self._receiver.run, lambda _run: self._answer(query))
        return None

    def _answer(self, query: ResumeQuery) -> None:
        with self.lock:
            known = self.ledger.transfer_epoch
            answer = self.ledger.on_resume(query)
            if isinstance(answer, ResumePoint):
                if query.transfer_epoch > known:
                    self._generation += 1  # whoever still reads for an older attempt stops
                    self.wake.set()
                self._say(time.monotonic_ns())
                if self.ledger.complete:
                    return
        self._plane.send(self._receiver.spec.upstream, answer)

    def on_peer(self, event: PeerEvent) -> None:
        """What was said may have been lost with the session: say it again."""
        said = self._said
        if event.peer == self._receiver.spec.upstream and event.change is PeerChange.UP and said:
            self._plane.send(self._receiver.spec.upstream, said)

    def on_custody(self, peer: str, ack: CustodyAck) -> Refusal | None:
        """Nobody is downstream of a receiver."""
        del ack
        return self._not_for(peer)

    def on_delivered(self, peer: str, ack: DeliveredAck) -> Refusal | None:
        """Nobody is downstream of a receiver."""
        del ack
        return self._not_for(peer)

    def on_refusal(self, peer: str, refusal: CustodyRefusal) -> Refusal | None:
        """Upstream says that it has no room; nothing to do here."""
        del peer, refusal
        return None

    def on_point(self, peer: str, point: ResumePoint) -> Refusal | None:
        """A receiver asks nobody."""
        del point
        return self._not_for(peer)

    def _not_for(self, peer: str) -> Refusal:
        return Refusal(Reason.WRONG_PEER, f"flow {self.name:016x}: not {peer}'s to say")

    # -- the threads of its connections ------------------------------------------------------

    def begin(self, connection: TrackedConnection, header: FlowHeader) -> int | CustodyRefusal:
        """A connection of this attempt: its generation, or why it is not taken."""
        with self.lock:
            if header.transfer_epoch < self.ledger.transfer_epoch:
                epoch = self.ledger.transfer_epoch
                return CustodyRefusal(self.name, epoch, 0, CustodyReason.STALE_EPOCH, 0)
            if header.start_offset > self.ledger.next_offset:
                epoch, reason = header.transfer_epoch, CustodyReason.GAP
                return CustodyRefusal(self.name, epoch, header.start_offset, reason, 0)
            if self.record.ended and not self.ledger.complete:
                epoch, reason = header.transfer_epoch, CustodyReason.FINISHED
                return CustodyRefusal(self.name, epoch, header.start_offset, reason, 0)
            self.ledger.on_resume(ResumeQuery(self.name, header.transfer_epoch))
            self._generation += 1
            self.wake.set()
            record = self.record
            record.flow_id = header.flow_id
            record.declared_bytes = record.declared_bytes or header.size_bytes or 0
            record.start_ns = record.start_ns or connection.opened_ns
            record.connection = connection.name
            books = record.custody
            if books is not None:
                books.attempts += 1
                books.connections.append((connection.name, header.start_offset))
            return self._generation

    def is_current(self, generation: int) -> bool:
        """No newer attempt has begun."""
        return generation == self._generation

    def take(self, generation: int, offset: int, piece: memoryview, now_ns: int) -> bool:
        """The next bytes of a connection; False: a newer attempt has begun."""
        with self.lock:
            if generation != self._generation:
                return False
            span = self.ledger.admit(self.ledger.transfer_epoch, offset, len(piece))
            if isinstance(span, CustodyRefusal):
                return False
            new = piece[span[0] - offset : span[1] - offset]
            if self._file is not None:
                self._file.write(new)
            self.ledger.on_delivered(new)
            self.record.progress(now_ns, len(new))
            if self.acked.is_due(self.ledger.next_offset, now_ns):
                self._say(now_ns)
            return True

    def say_if_due(self, now_ns: int) -> int | None:
        """While nothing comes; gives when to look again."""
        with self.lock:
            if self.acked.is_due(self.ledger.next_offset, now_ns):
                self._say(now_ns)
            return self.acked.due_at_ns(self.ledger.next_offset)

    def finish(self, final: Checkpoint) -> str:
        """The trailer was read: "" or what is wrong."""
        with self.lock:
            trouble = self.ledger.on_end(final)
            if not trouble:
                self._say(time.monotonic_ns())
            return trouble

    def end(self, error: str = "") -> None:
        """The flow is over, one way or the other. Idempotent."""
        with self.lock:
            if self.record.ended:
                return
            ack = self.ledger.ack()
            self.record.complete = self.record.sha256_ok = self.ledger.complete and not error
            self.record.sha256 = ack.checkpoint_digest if self.ledger.complete else b""
            self.record.error = error
            if self.record.custody is not None:
                self.record.custody.duplicate_bytes = self.ledger.duplicate_bytes
            self.record.end()
            if self._file is not None:
                self._file.close()
                self._file = None
        if error:
            self._receiver.run.event(f"flow {self.record.flow_id}: {error}")
        self._receiver.run.end_work()

    def _sync(self) -> None:
        if self._file is not None:
            self._file.sync()

    def _say(self, now_ns: int) -> None:
        self._sync()
        self._said = self.ledger.ack()
        self._plane.send(self._receiver.spec.upstream, self._said)
        self.acked.on_said(self.ledger.next_offset, now_ns)


class CustodyReceiver:
    """All flows that one run receives in custody at this node."""

    def __init__(self, run: NodeRun, hub: CustodyHub, spec: CustodyListenSpec) -> None:
        self.run = run
        self.hub = hub
        self.spec = spec
        self._flows: dict[int, ReceiverFlow] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """The run is over: no more messages."""
        for flow in self._flows.values():
            self.hub.remove(flow.name)
            flow.end("stopped by the controller before the flow ended")
            flow.wake.close()

    def on_stranger(self, peer: str, query: ResumeQuery) -> Refusal | None:
        """Upstream asks for a flow that nobody here has heard of since the daemon began."""
        if self.spec.folder is None:
            return self._flow(query.flow_id).on_query(peer, query)
        # It may have a file, which is read and hashed: not on the event loop.
        in_thread(self.run, lambda _run: self._look_up(peer, query))
        return None

    def _look_up(self, peer: str, query: ResumeQuery) -> None:
        try:
            self._flow(query.flow_id).on_query(peer, query)
        except OSError as error:
            self.run.event(f"flow {query.flow_id:016x}: {self.spec.folder}: {error.strerror}")

    def accept(self, run: NodeRun, sock: socket.socket, accepted_ns: int) -> None:
        """One connection, in a thread of its own."""
        connection = run.track(sock, "in", accepted_ns)
        failed = True
        try:
            run.watch(connection)
            header = read_header(run, connection)
            flow = self._flow(token_flow_id(header.token))
            failed = self._receive(connection, header, flow)
        except (NodeError, OSError) as error:
            if not isinstance(error, Stopped):
                run.event(f"custody: {error}")
        finally:
            run.untrack(connection, reset=failed)

    def _flow(self, name: int) -> ReceiverFlow:
        with self._lock:
            flow = self._flows.get(name)
            if flow is None:
                flow = self._flows[name] = ReceiverFlow(self, name)
                self.hub.add(name, flow)
            return flow

    def _receive(
        self, connection: TrackedConnection, header: FlowHeader, flow: ReceiverFlow
    ) -> bool:
        """True if the connection has to be reset."""
        generation = flow.begin(connection, header)
        if isinstance(generation, CustodyRefusal):
            self.hub.plane.send(self.spec.upstream, generation)
            return True
        poller = FlowPoller(self.run.stop, flow.wake)
        try:
            final = _Reader(self.run, connection, header, flow, generation, self.spec).read(poller)
        except (FramingError, OSError) as error:
            self.run.event(f"flow {header.flow_id}: {connection.name}: {error}; may come back")
            poller.forget(connection.sock.fileno())
            self.run.untrack(connection, reset=True)
            self._await_return(flow, generation, poller)
            return True
        if final is None:
            return True
        trouble = flow.finish(final)
        flow.end(trouble)
        return bool(trouble)

    def _await_return(self, flow: ReceiverFlow, generation: int, poller: FlowPoller) -> None:
        deadline_ns = time.monotonic_ns() + self.spec.return_timeout_ns
        while flow.is_current(generation):
            if time.monotonic_ns() >= deadline_ns:
                flow.end(
                    f"the connection broke at byte {flow.ledger.next_offset}, and upstream did not "
                    f"come back within {self.spec.return_timeout_ns / 1e9:g} s"
                )
                return
            poller.wait({}, deadline_ns)


class _Reader:
    """Reads one connection to its trailer."""

    def __init__(
        self,
        run: NodeRun,
        connection: TrackedConnection,
        header: FlowHeader,
        flow: ReceiverFlow,
        generation: int,
        spec: CustodyListenSpec,
    ) -> None:
        self._connection = connection
        self._flow = flow
        self._generation = generation
        self._stop = run.stop
        self._window = spec.profile.window_clamp_bytes
        self._limiter = Limiter(run, spec.read_rate_limit_bps) if spec.read_rate_limit_bps else None
        self._parser = StreamParser()
        self._parser.header = header
        self._memory = memoryview(bytearray(BUFFER_BYTES))

    def read(self, poller: FlowPoller) -> Checkpoint | None:
        """What the trailer says; None: a newer attempt has begun. Raises FramingError, OSError."""
        sock = self._connection.sock
        while self._flow.is_current(self._generation):
            self._stop.raise_if_set()
            room = self._memory
            if self._limiter is not None:
                room = room[: self._limiter.wait_for_room()]
            try:
                count = sock.recv_into(room)
            except BlockingIOError:
                due_ns = self._flow.say_if_due(time.monotonic_ns())
                poller.wait({sock.fileno(): select.POLLIN}, due_ns)
                continue
            if not count:
                trailer = self._parser.finish()
                return Checkpoint(trailer.payload_bytes, trailer.sha256)
            if not self._take(count):
                return None
        return None

    def _take(self, count: int) -> bool:
        now_ns = time.monotonic_ns()
        self._connection.bytes_moved += count
        if self._limiter is not None:
            self._limiter.take(count)
        if self._window:
            sockets.hold_window(self._connection.sock, self._window)
        offset = self._parser.next_offset
        for piece in self._parser.feed(self._memory[:count]):
            view = memoryview(piece)
            if not self._flow.take(self._generation, offset, view, now_ns):
                return False
            offset += len(view)
        return True
