"""One flow at its receiving end, over all its connections."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

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
from sentinel_node.core.custody.journal import JournalImage
from sentinel_node.core.custody.running_hash import Checkpoint
from sentinel_node.core.custody.throttle import AckThrottle
from sentinel_node.core.framing import FlowHeader, FlowTrailer
from sentinel_node.daemon.connection import TrackedConnection
from sentinel_node.daemon.control.interface import PeerChange, PeerEvent
from sentinel_node.daemon.custody.flow_file import FlowFile
from sentinel_node.daemon.custody.wake import Wake
from sentinel_node.daemon.records import CustodyRecord, FlowRecord
from sentinel_node.daemon.run import NodeRun
from sentinel_node.errors import Stopped

if TYPE_CHECKING:
    from sentinel_node.daemon.custody.receiver import CustodyReceiver


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
        self.record.custody = books = CustodyRecord(receiver.spec.series_interval_ns)
        self.wake = Wake()
        self.acked = AckThrottle(flows=lambda: receiver.run.active)
        self._said: DeliveredAck | None = None
        self._generation = 0
        self._file: FlowFile | None = None
        if receiver.spec.folder is not None:
            self._file = FlowFile(receiver.spec.folder, name)
            books.file = str(self._file.path)
            # What an earlier life of the daemon wrote down is delivered, too.
            self._file.feed(self.ledger)
            self.record.payload_bytes = self.ledger.next_offset
        receiver.run.begin_work()
        receiver.run.add_flow(self.record)
        if self._file is not None:
            self._end_as_before(self._file.read_end())

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

    def finish(self, header: FlowHeader, trailer: FlowTrailer) -> str:
        """The trailer was read: "" or what is wrong."""
        final = Checkpoint(trailer.payload_bytes, trailer.sha256)
        with self.lock:
            trouble = self.ledger.trouble_at_end(final)
            if trouble:
                return trouble
            if self._file is not None:
                try:
                    self._file.finish(header, trailer)
                except OSError as error:
                    return f"{self._receiver.spec.folder}: {error.strerror}"
            self.ledger.on_end(final)
            self._say(time.monotonic_ns())
            return ""

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

    def _end_as_before(self, image: JournalImage) -> None:
        """An earlier life of the daemon heard the flow's end; custodians forgot the flow then."""
        if image.header is None or image.trailer is None:
            return
        self.record.flow_id = image.header.flow_id
        self.record.declared_bytes = image.header.size_bytes or 0
        final = Checkpoint(image.trailer.payload_bytes, image.trailer.sha256)
        trouble = self.ledger.on_end(final)
        if trouble:
            self._receiver.run.event(f"{trouble}, as its file has it; it goes on there")
        else:
            self.end()

    def _sync(self) -> None:
        if self._file is not None:
            self._file.sync()

    def _say(self, now_ns: int) -> None:
        self._sync()
        self._said = self.ledger.ack()
        self._plane.send(self._receiver.spec.upstream, self._said)
        self.acked.on_said(self.ledger.next_offset, now_ns)
