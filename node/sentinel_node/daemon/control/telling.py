"""What the neighbours are still to be told of flows: states, what builds on them, and advice."""

from __future__ import annotations

import asyncio

from sentinel_node.core.control.codec import Message
from sentinel_node.core.control.messages import (
    FlowPhase,
    FlowState,
    PathMetadata,
    Pull,
    SyncCheck,
)
from sentinel_node.core.control.refusals import Refusal
from sentinel_node.core.sync.advice import Adviser
from sentinel_node.core.sync.link import LinkSender
from sentinel_node.core.sync.paths import PathBook
from sentinel_node.daemon.control.interface import PeerChange, PeerEvent
from sentinel_node.daemon.control.plane import GrpcControlPlane

DIGEST_INTERVAL_S = 1.0


class Telling:
    """One queue for each neighbour, from which the plane takes when the stream can take more."""

    def __init__(
        self, plane: GrpcControlPlane, book: PathBook, adviser: Adviser, flows_max: int
    ) -> None:
        self._plane = plane
        self._book = book
        self._adviser = adviser
        self._flows_max = flows_max
        self._senders = {peer: LinkSender(plane.epoch, flows_max) for peer in plane.peers}
        self._urgent: dict[str, list[Message]] = {peer: [] for peer in plane.peers}
        plane.handle(Pull, self._on_pull)
        plane.on_peer(self._on_peer)
        plane.pull_from(self._next)

    def state(self, peer: str, state: FlowState, path: PathMetadata | None) -> None:
        """State first, then the path of it."""
        sender = self._senders.get(peer)
        if sender is None:
            return
        if len(sender) >= self._flows_max:
            for flow_id, old in sender.states.items():
                if old.phase is FlowPhase.FINISHED:
                    sender.remove(flow_id)
        if sender.put(state) is not None:
            return  # full of live flows: counted there
        if path is not None:
            self._urgent[peer].append(path)
        self._plane.wake(peer)

    def check(self, peer: str, check: SyncCheck) -> None:
        """After the states that wait, so that it is compared with what it speaks of."""
        if peer in self._urgent:
            self._urgent[peer].append(check)
            self._plane.wake(peer)

    def advice(self, peer: str) -> None:
        """The adviser has something for `peer`."""
        self._plane.wake(peer)

    async def send_digests(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(DIGEST_INTERVAL_S)
            for peer, sender in self._senders.items():
                if len(sender) and not sender.pending:
                    self._plane.send(peer, sender.digest())

    def _next(self, peer: str) -> Message | None:
        """The plane asks: one message for `peer`, states before what builds on them."""
        for message in self._senders[peer].take(1):
            return message
        waiting = self._urgent[peer]
        return waiting.pop(0) if waiting else self._adviser.take(peer)

    def _on_pull(self, peer: str, pull: Pull) -> Refusal | None:
        refusal = self._senders[peer].on_pull(pull)
        if refusal is None:
            self._repeat_paths(peer)
            self._plane.wake(peer)
        return refusal

    def _repeat_paths(self, peer: str) -> None:
        """A neighbour that lost states has lost their paths too."""
        known = [self._book.get(flow_id) for flow_id in self._senders[peer].states]
        waiting = {id(message) for message in self._urgent[peer]}
        self._urgent[peer] += [p for p in known if p is not None and id(p) not in waiting]

    def _on_peer(self, event: PeerEvent) -> None:
        if event.change is not PeerChange.UP:
            return
        if len(self._senders[event.peer]):
            # What waited or was on its way is lost: the digest shows what is missing.
            self._plane.send(event.peer, self._senders[event.peer].digest())
        if self._adviser.repeat(event.peer):
            self._plane.wake(event.peer)
