"""The books of one flow at a custodian: what neighbours say of it, on the event loop's thread."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sentinel_node.core.control.custody_messages import (
    CustodyAck,
    CustodyRefusal,
    DeliveredAck,
    ResumePoint,
    ResumeQuery,
)
from sentinel_node.core.control.refusals import Reason, Refusal
from sentinel_node.core.custody.effects import Completed
from sentinel_node.core.custody.throttle import AckThrottle
from sentinel_node.daemon.control.interface import PeerChange, PeerEvent
from sentinel_node.daemon.custody.downlink import Downlink
from sentinel_node.daemon.custody.in_flight import InFlight
from sentinel_node.daemon.custody.wake import Wake

if TYPE_CHECKING:
    from sentinel_node.daemon.custody.relay import CustodyRelay


class RelayBooks:
    """Keeps the store's account of the flow, under the relay's lock, and wakes its thread.

    Attempts are numbered per link: the store knows those of the link downstream, and upstream
    hears its own number in every word.
    """

    def __init__(self, relay: CustodyRelay, name: int) -> None:
        self.name = name
        self._relay = relay
        self._plane = relay.hub.plane
        self._store = relay.store
        self._wake = Wake()
        self._downlink: Downlink
        self._query: ResumeQuery | None = None
        self._upstream_epoch = 0
        self._store_epoch = 0
        self._acked = AckThrottle(flows=lambda: relay.run.active)
        self._delivered: DeliveredAck | None = None
        self._in_flight = InFlight()
        self._heard = self._progress = 0
        self._completed = False

    def on_custody(self, peer: str, ack: CustodyAck) -> Refusal | None:
        """The next custodian answers for a prefix."""
        if self._in_flight.is_early(peer, ack):
            self._wake.set()
            return None
        with self._relay.lock:
            effects = self._store.on_custody(peer, ack)
        if isinstance(effects, Refusal):
            return effects
        self._note_progress(ack.offset)
        if effects:
            self._wake.set()
        return None

    def on_delivered(self, peer: str, ack: DeliveredAck) -> Refusal | None:
        """The receiver has a prefix; upstream hears of it at once."""
        if ack.complete and ack.transfer_epoch == self._downlink.epoch != self._store_epoch:
            # The answer to where the flow goes on: nowhere, the receiver has all of it.
            if not self._store_epoch:
                return self._end_unopened(peer, ack)
            ack = replace(ack, transfer_epoch=self._store_epoch)
        if self._in_flight.is_early(peer, ack):
            self._wake.set()
            return None
        with self._relay.lock:
            effects = self._store.on_delivered(peer, ack)
        if isinstance(effects, Refusal):
            return effects
        self._note_progress(ack.offset)
        if self._delivered is None or ack.offset > self._delivered.offset:
            self._progress += 1
        self._delivered = ack
        self._pass_on_delivered()
        self._completed |= any(isinstance(effect, Completed) for effect in effects)
        self._wake.set()
        return None

    def _end_unopened(self, peer: str, ack: DeliveredAck) -> Refusal | None:
        """Upstream asked for a flow that this node, started anew, knows nothing of."""
        wrong = self._from_downstream(peer)
        if wrong is not None:
            return wrong
        self._delivered = ack
        self._pass_on_delivered()
        self._completed = True
        self._wake.set()
        return None

    def on_refusal(self, peer: str, refusal: CustodyRefusal) -> Refusal | None:
        """Downstream did not take something."""
        wrong = self._from_downstream(peer)
        if wrong is None:
            self._downlink.on_refusal(refusal)
            self._wake.set()
        return wrong

    def on_point(self, peer: str, point: ResumePoint) -> Refusal | None:
        """Downstream says where to go on."""
        wrong = self._from_downstream(peer)
        if wrong is None:
            self._downlink.on_point(point)
            self._wake.set()
        return wrong

    def on_query(self, peer: str, query: ResumeQuery) -> Refusal | None:
        """Upstream asks where to go on."""
        if peer != self._relay.spec.upstream:
            return self._wrong_peer(peer)
        self._query = query
        self._wake.set()
        return None

    def on_peer(self, event: PeerEvent) -> None:
        """A neighbour came, went, or fell silent."""
        spec = self._relay.spec
        if event.peer == spec.upstream and event.change is PeerChange.UP:
            self._say_again()
        self._downlink.on_peer(event)
        if event.change.is_back:
            self._wake.set()

    def _from_downstream(self, peer: str) -> Refusal | None:
        return None if peer == self._relay.spec.onward.peer else self._wrong_peer(peer)

    def _wrong_peer(self, peer: str) -> Refusal:
        return Refusal(Reason.WRONG_PEER, f"flow {self.name:016x}: not {peer}'s to say")

    def _note_progress(self, offset: int) -> None:
        if offset > self._heard:
            self._heard = offset
            self._progress += 1
            self._downlink.progressed()

    def _say_again(self) -> None:
        """What was said to upstream may be lost."""
        self._acked.force()
        self._pass_on_delivered()

    def _pass_on_delivered(self) -> None:
        if self._delivered is not None and self._upstream_epoch:
            ack = replace(self._delivered, transfer_epoch=self._upstream_epoch)
            self._plane.send(self._relay.spec.upstream, ack)

    def _hear_early(self) -> None:
        """Acknowledgements that were faster than the books; on the flow's thread."""
        self._in_flight.booked()
        for peer, ack in self._in_flight.take():
            if isinstance(ack, CustodyAck):
                self.on_custody(peer, ack)
            else:
                self.on_delivered(peer, ack)
