"""The sending end of a flow in custody: what is confirmed, what is delivered, and going on.

A flow counts as complete when the receiving application has all of it, with the right hash. A
connection that breaks is replaced, and the flow goes on where the next node wants it; without any
progress for the stall timeout it is given up, with all that is known in the error.
"""

from __future__ import annotations

import select
import time

from sentinel_node.core.control.custody_messages import (
    ResumePoint,
)
from sentinel_node.core.control.refusals import Refusal
from sentinel_node.core.custody.effects import (
    CannotResume,
    ResumeFrom,
)
from sentinel_node.core.custody.running_hash import Checkpoint, RunningHash
from sentinel_node.core.framing import FlowHeader, FlowTrailer, flow_token
from sentinel_node.daemon.connection import TrackedConnection
from sentinel_node.daemon.control.interface import control_flow_id
from sentinel_node.daemon.custody.downlink import Downlink
from sentinel_node.daemon.custody.flow_spec import CustodyFlowSpec, LostError
from sentinel_node.daemon.custody.hub import CustodyHub
from sentinel_node.daemon.custody.opening import Opening
from sentinel_node.daemon.custody.sender_books import SenderBooks
from sentinel_node.daemon.custody.sources import BLOCK_BYTES
from sentinel_node.daemon.custody.wake import FlowPoller
from sentinel_node.daemon.records import FlowRecord, Resumption
from sentinel_node.daemon.run import NodeRun
from sentinel_node.daemon.switching import Turn
from sentinel_node.errors import StalledError


class SenderFlow(SenderBooks):
    """One flow. The ledger is under a lock; source and connection belong to the flow's thread."""

    def __init__(
        self, run: NodeRun, hub: CustodyHub, spec: CustodyFlowSpec, record: FlowRecord
    ) -> None:
        super().__init__(control_flow_id(run.name, spec.flow_id), spec, record)
        self._run = run
        self._hub = hub
        self._hash = RunningHash()
        self._trailer: FlowTrailer | None = None
        self._token = flow_token(run.name, spec.flow_id)
        self._turn = Turn()
        self._poller = FlowPoller(run.stop, self._wake, self._turn)
        self._downlink = Downlink(
            run,
            hub.plane,
            self,
            spec.onward,
            self._poller,
            opening=Opening(lambda: spec.prepared, run.event),
            fresh=not spec.resume,
        )
        self._told_all_sent = False
        self._doubted: int | None = None
        self._starved = False
        self._sent_max = 0
        self._viewed_ns = self._moved_ns

    # -- the flow's thread -------------------------------------------------------------------

    def run_to_end(self) -> None:
        """Send until delivered. Raises NodeError."""
        with self._turn:
            self._send()

    def _send(self) -> None:
        self._moved_ns = time.monotonic_ns()
        self._record.start_ns = self._record.start_ns or self._moved_ns
        self._hub.add(self.name, self)
        try:
            while not self._record.complete:
                self._run.stop.raise_if_set()
                now_ns = time.monotonic_ns()
                self._give_up_if_stalled(now_ns)
                progress = self._produce()
                progress |= self._downlink.step(now_ns, self._watched_progress())
                self._hear_early()
                self._look_into_claim()
                self._free()
                self._tell_all_sent()
                if not progress:
                    self._poller.wait(self._masks(), self._deadline_ns())
            self._record.sha256_ok = True
        finally:
            self._hub.remove(self.name)
            self._downlink.close(reset=not self._record.complete)
            self._spec.source.close()
            self._wake.close()
            self._note_books()

    def _look_into_claim(self) -> None:
        """Read what an earlier life sent, to know whether the receiver has just that."""
        claim, self._claim = self._claim, None
        if claim is None:
            return
        peer, ack = claim
        with self._lock:
            is_of_this_attempt = ack.transfer_epoch == self._ledger.transfer_epoch
        if not is_of_this_attempt:
            return  # another began since; the receiver's word comes again under that one
        point = ResumePoint(
            self.name, ack.transfer_epoch, ack.offset, ack.checkpoint_offset, ack.checkpoint_digest
        )
        if self.resume(point) is not None:
            self.on_delivered(peer, ack)

    def _produce(self) -> bool:
        """Take the next bytes of the source, if all before them went out."""
        source, ledger = self._spec.source, self._ledger
        self._starved = False
        with self._lock:
            sent, written = ledger.unsent()
        if self._trailer is not None or written - sent >= BLOCK_BYTES:
            return False
        if source.replayable and (sent < written or not self._downlink.is_sending):
            return False
        data = source.more(written)
        if data is None:
            self._starved = True
            return False
        passed = self._hash.update(data)
        with self._lock:
            if len(data):
                ledger.on_written(len(data), passed)
            ends = not len(data) or self._hash.offset == source.size_bytes
            if ends:
                self._end_source()
            self._books.retained_bytes_max = max(
                self._books.retained_bytes_max, ledger.retained_bytes
            )
        return True

    def _end_source(self) -> None:
        final = self._hash.finish()
        self._ledger.on_source_end(final)
        self._record.sha256 = final.digest
        self._trailer = FlowTrailer(self._token, final.offset, final.digest)

    def _free(self) -> None:
        with self._lock:
            freed = self._ledger.unsent()[1] - self._ledger.retained_bytes
        position = self._downlink.position
        self._spec.source.free(freed if position is None else min(freed, position))

    def _tell_all_sent(self) -> None:
        trailer = self._trailer
        if not self._told_all_sent and trailer and self._sent_max == trailer.payload_bytes:
            self._told_all_sent = True
            self._spec.on_all_sent()

    def _give_up_if_stalled(self, now_ns: int) -> None:
        with self._lock:
            ledger = self._ledger
            written, delivered = ledger.unsent()[1], ledger.delivered_bytes
            confirmed = ledger.confirmed_bytes
        if self._starved and delivered == written:
            self._moved_ns = now_ns  # an idle source is no stall
        if now_ns - self._moved_ns < self._spec.stall_timeout_ns:
            return
        trouble = self._downlink.last_trouble or "the next node says nothing"
        raise StalledError(
            f"gave up after {self._spec.stall_timeout_ns / 1e9:g} s without progress: {written} "
            f"bytes taken from the source, {confirmed} confirmed, {delivered} delivered, "
            f"{self._downlink.attempts} attempts to {self._spec.onward.peer}; last: {trouble}"
        )

    def _masks(self) -> dict[int, int]:
        masks = self._downlink.masks()
        fd = self._spec.source.waits_for()
        if fd is not None and self._starved:
            masks[fd] = select.POLLIN
        return masks

    def _deadline_ns(self) -> int:
        stall_ns = self._moved_ns + self._spec.stall_timeout_ns
        if self._starved:
            stall_ns = time.monotonic_ns() + self._spec.stall_timeout_ns
        link_ns = self._downlink.deadline_ns()
        return stall_ns if link_ns is None else min(link_ns, stall_ns)

    # -- as the downlink's feed --------------------------------------------------------------

    def header(self, transfer_epoch: int, start: int, *, fresh: bool) -> FlowHeader | None:
        """This attempt's."""
        size = self._spec.source.size_bytes
        if self._trailer is not None:
            size = self._trailer.payload_bytes
        flow_id = self._spec.flow_id
        return FlowHeader(flow_id, self._token, size, True, True, transfer_epoch, start, fresh)

    def introduce(self) -> int | None:
        """From the first byte that may still be needed."""
        with self._lock:
            freed = self._ledger.unsent()[1] - self._ledger.retained_bytes
            epoch = self._ledger.transfer_epoch
        return self.resume(ResumePoint(self.name, epoch, freed, 0, bytes(32)))

    def unsent(self) -> tuple[int, int]:
        """[start, end) of what is to be sent now."""
        with self._lock:
            return self._ledger.unsent()

    def view(self, start: int, end: int) -> memoryview:
        """From the source. Its bytes count as written from this moment on."""
        self._viewed_ns = time.monotonic_ns()
        view = self._spec.source.view(start, end)
        self._in_flight.sending(start, start + len(view))
        return view

    def on_sent(self, count_bytes: int) -> None:
        """The connection took so much."""
        with self._lock:
            self._ledger.on_sent(count_bytes)
            sent, _ = self._ledger.unsent()
        if sent > self._sent_max:
            self._record.progress(self._viewed_ns, sent - self._sent_max)
            self._sent_max = sent
            self._record.last_byte_ns = self._moved_ns = time.monotonic_ns()

    def trailer(self) -> FlowTrailer | None:
        """Once the source has ended."""
        return self._trailer

    def on_attempt(self, transfer_epoch: int) -> None:
        """Acknowledgements of earlier attempts are refused from now on."""
        with self._lock:
            self._ledger.begin_resume(transfer_epoch)

    def on_open(self, connection: TrackedConnection, start: int) -> None:
        """For the report: TCP's own confirmation counts from `start`."""
        self._record.connection = connection.name
        self._books.connections.append((connection.name, start))

    def resume(self, point: ResumePoint) -> int | None:
        """Raises LostError if bytes that are wanted are gone."""
        with self._lock:
            ledger = self._ledger
            _, written = ledger.unsent()
            freed = written - ledger.retained_bytes
            effects = ledger.on_resume_point(self._spec.onward.peer, point)
        if isinstance(effects, Refusal):
            raise LostError(effects.detail)
        for effect in effects:
            if isinstance(effect, CannotResume) and self._doubted != freed:
                self._doubted = freed
                return None
            if isinstance(effect, CannotResume):
                raise LostError(f"bytes [{effect.start}, {effect.end}) are lost: {effect.why}")
            if isinstance(effect, ResumeFrom):
                self._books.replayed_bytes += effect.replayed_bytes
                self._run.resumed(
                    Resumption(
                        self._spec.flow_id,
                        time.monotonic_ns(),
                        self._spec.onward.peer,
                        effect.offset,
                        effect.replayed_bytes,
                    )
                )
        if point.next_offset > written:
            # An earlier life of this daemon sent those.
            self._sent_max = self._record.payload_bytes = point.next_offset
        if point.next_offset < freed or point.next_offset > written:
            self._reread()
        self._heard = point.next_offset
        return point.next_offset

    def _reread(self) -> None:
        """The hashes of what was freed, or never read by this process, are needed again."""
        with self._lock:
            _, written = self._ledger.unsent()
        fresh, checkpoints = RunningHash(), list[Checkpoint]()
        while fresh.offset < written:
            self._run.stop.raise_if_set()
            end = min(written, fresh.offset + BLOCK_BYTES)
            checkpoints += fresh.update(self._spec.source.view(fresh.offset, end))
        if self._hash.offset < written:
            self._hash = fresh
        with self._lock:
            self._ledger.on_reread(checkpoints)
            if self._trailer is None and written == self._spec.source.size_bytes:
                self._end_source()
