"""The books of one flow at its sender: what neighbours say of it, on the event loop's thread."""

from __future__ import annotations

import logging
import threading
import time

from sentinel_node.core.control.custody_messages import (
    CustodyAck,
    CustodyRefusal,
    DeliveredAck,
    ResumePoint,
    ResumeQuery,
)
from sentinel_node.core.control.refusals import Reason, Refusal
from sentinel_node.core.custody.effects import Completed, Confirm, Effect
from sentinel_node.core.custody.running_hash import RunningHash
from sentinel_node.core.custody.source import SourceLedger
from sentinel_node.core.framing import FlowTrailer
from sentinel_node.daemon.control.interface import PeerEvent
from sentinel_node.daemon.custody.claims import is_claim
from sentinel_node.daemon.custody.downlink import Downlink
from sentinel_node.daemon.custody.flow_spec import CustodyFlowSpec
from sentinel_node.daemon.custody.in_flight import InFlight
from sentinel_node.daemon.custody.wake import Wake
from sentinel_node.daemon.records import CustodyRecord, FlowRecord

logger = logging.getLogger(__name__)


class SenderBooks:
    """Keeps the ledger's account of the flow, under its lock, and wakes the flow's thread."""

    _downlink: Downlink
    _hash: RunningHash
    _trailer: FlowTrailer | None

    def __init__(self, name: int, spec: CustodyFlowSpec, record: FlowRecord) -> None:
        self.name = name
        self._spec = spec
        self._record = record
        self._books = record.custody = CustodyRecord(spec.series_interval_ns)
        self._lock = threading.Lock()
        self._ledger = SourceLedger(
            name,
            next_hop=spec.onward.peer,
            receiver=spec.receiver,
            replayable=spec.source.replayable,
            release=spec.release,
        )
        self._wake = Wake()
        self._in_flight = InFlight()
        self._claim: tuple[str, DeliveredAck] | None = None
        self._moved_ns = time.monotonic_ns()
        self._heard = self._progress = 0
        self._warned = False

    def on_custody(self, peer: str, ack: CustodyAck) -> Refusal | None:
        """The next custodian answers for a prefix."""
        if self._in_flight.is_early(peer, ack):
            self._wake.set()
            return None
        with self._lock:
            result = self._ledger.on_custody(peer, ack)
        return self._heard_of(result, ack.offset)

    def on_delivered(self, peer: str, ack: DeliveredAck) -> Refusal | None:
        """The receiver has a prefix."""
        if self._in_flight.is_early(peer, ack):
            self._wake.set()
            return None
        with self._lock:
            result = self._ledger.on_delivered(peer, ack)
            delivered = self._ledger.delivered_bytes
        if not isinstance(result, Refusal):
            self._books.deliver(time.monotonic_ns(), delivered)
        elif is_claim(self._spec, self._hash.offset, result, ack):
            self._claim = peer, ack
            self._wake.set()
            return None
        return self._heard_of(result, ack.offset)

    def on_refusal(self, peer: str, refusal: CustodyRefusal) -> Refusal | None:
        """The next node did not take something."""
        if peer != self._spec.onward.peer:
            return self._wrong_peer(peer)
        self._downlink.on_refusal(refusal)
        self._wake.set()
        return None

    def on_point(self, peer: str, point: ResumePoint) -> Refusal | None:
        """The next node says where to go on."""
        if peer != self._spec.onward.peer:
            return self._wrong_peer(peer)
        self._downlink.on_point(point)
        self._wake.set()
        return None

    def on_query(self, peer: str, query: ResumeQuery) -> Refusal | None:
        """Nobody is upstream of a sender."""
        del query
        return self._wrong_peer(peer)

    def on_peer(self, event: PeerEvent) -> None:
        """A neighbour came, went, or fell silent."""
        if event.peer == self._spec.onward.peer:
            self._downlink.on_peer(event)
            if event.change.is_back:
                self._wake.set()

    def _wrong_peer(self, peer: str) -> Refusal:
        return Refusal(Reason.WRONG_PEER, f"flow {self.name:016x}: not {peer}'s to say")

    def _heard_of(self, result: tuple[Effect, ...] | Refusal, offset: int) -> Refusal | None:
        if isinstance(result, Refusal):
            self._warn(result)
            return result
        now_ns = time.monotonic_ns()
        if offset > self._heard or result:
            self._heard = max(offset, self._heard)
            self._progress += 1
            self._moved_ns = now_ns
            self._downlink.progressed()
        for effect in result:
            if isinstance(effect, Confirm):
                self._books.confirm(now_ns, effect.offset, self._ledger.exposure_bytes_max)
                self._spec.on_confirm(effect.offset)
            self._record.complete |= isinstance(effect, Completed)
        if result:
            self._wake.set()
        return None

    def _warn(self, refusal: Refusal) -> None:
        """Once: acknowledgements that will never count, as where the receiver was misnamed."""
        if refusal.reason is Reason.WRONG_PEER and not self._warned:
            self._warned = True
            logger.warning("acknowledgements are refused: %s", refusal.detail)

    def _hear_early(self) -> None:
        self._in_flight.booked()
        for peer, ack in self._in_flight.take():
            if isinstance(ack, CustodyAck):
                self.on_custody(peer, ack)
            else:
                self.on_delivered(peer, ack)

    def _watched_progress(self) -> int | None:
        """How often the next node said something new; None: there is nothing to hear of."""
        with self._lock:
            undelivered = self._ledger.unsent()[0] > self._ledger.delivered_bytes
        return self._progress if undelivered or self._trailer is not None else None

    def _note_books(self) -> None:
        with self._lock:
            self._books.attempts = self._downlink.attempts
            self._books.refused = {
                reason.value: count for reason, count in self._ledger.refused.counts.items()
            }
