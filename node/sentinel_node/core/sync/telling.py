"""What the neighbours are still to be told of flows: states, what builds on them, and advice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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

DIGEST_INTERVAL_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """This node among its neighbours, and how its driver reaches them."""

    node: str
    epoch: int
    peers: tuple[str, ...]
    send: Callable[[str, Message], object]
    """(peer, message): have it sent; it may be dropped if no session stands."""
    wake: Callable[[str], None]
    """(peer): `next_message` has something for it. May call that at once."""


class Telling:
    """One queue for each neighbour, from which the driver takes when the stream can take more."""

    def __init__(
        self, around: Neighbourhood, book: PathBook, adviser: Adviser, flows_max: int
    ) -> None:
        self._around = around
        self._book = book
        self._adviser = adviser
        self._flows_max = flows_max
        self._senders = {peer: LinkSender(around.epoch, flows_max) for peer in around.peers}
        self._urgent: dict[str, list[Message]] = {peer: [] for peer in around.peers}

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
        self._around.wake(peer)

    def check(self, peer: str, check: SyncCheck) -> None:
        """After the states that wait, so that it is compared with what it speaks of."""
        if peer in self._urgent:
            self._urgent[peer].append(check)
            self._around.wake(peer)

    def advice(self, peer: str) -> None:
        """The adviser has something for `peer`."""
        self._around.wake(peer)

    def send_digests(self) -> None:
        """What the neighbours should have; every `DIGEST_INTERVAL_NS`."""
        for peer, sender in self._senders.items():
            if len(sender) and not sender.pending:
                self._around.send(peer, sender.digest())

    def next_message(self, peer: str) -> Message | None:
        """One message for `peer`, states before what builds on them; None: nothing waits."""
        for message in self._senders[peer].take(1):
            return message
        waiting = self._urgent[peer]
        return waiting.pop(0) if waiting else self._adviser.take(peer)

    def on_pull(self, peer: str, pull: Pull) -> Refusal | None:
        """A neighbour asks for what its digest shows that it lacks."""
        refusal = self._senders[peer].on_pull(pull)
        if refusal is None:
            self._repeat_paths(peer)
            self._around.wake(peer)
        return refusal

    def _repeat_paths(self, peer: str) -> None:
        """A neighbour that lost states has lost their paths too."""
        known = [self._book.get(flow_id) for flow_id in self._senders[peer].states]
        waiting = {id(message) for message in self._urgent[peer]}
        self._urgent[peer] += [p for p in known if p is not None and id(p) not in waiting]

    def on_up(self, peer: str) -> None:
        """A session with `peer` stands (again)."""
        if len(self._senders[peer]):
            # What waited or was on its way is lost: the digest shows what is missing.
            self._around.send(peer, self._senders[peer].digest())
        if self._adviser.repeat(peer):
            self._around.wake(peer)
