"""What the neighbours are still to be told of flows: states, what builds on them, and advice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

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
URGENT_PER_FLOW = 2
"""A path and a check."""

_Word: TypeAlias = PathMetadata | SyncCheck
_Subject: TypeAlias = tuple[type[_Word], int]


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
        self._urgent: dict[str, dict[_Subject, _Word]] = {peer: {} for peer in around.peers}
        self._finals: dict[str, dict[int, SyncCheck]] = {peer: {} for peer in around.peers}

    def state(self, peer: str, state: FlowState, path: PathMetadata | None) -> None:
        """State first, then the path of it."""
        sender = self._senders.get(peer)
        if sender is None:
            return
        if len(sender) >= self._flows_max:
            for flow_id, old in sender.states.items():
                if old.phase is FlowPhase.FINISHED:
                    sender.remove(flow_id)
                    self._finals[peer].pop(flow_id, None)
        if sender.put(state) is not None:
            return  # full of live flows: counted there
        if path is not None:
            self._say(peer, path)
        self._around.wake(peer)

    def retire(self, flow_id: int) -> None:
        """The neighbours shall let go of the flow, too."""
        for peer, sender in self._senders.items():
            if flow_id in sender:
                sender.remove(flow_id)
                self._finals[peer].pop(flow_id, None)
                self._around.wake(peer)

    def check(self, peer: str, check: SyncCheck) -> None:
        """After the states that wait, so that it is compared with what it speaks of."""
        if peer in self._urgent:
            if check.final and check.flow_id in self._senders[peer]:
                self._finals[peer][check.flow_id] = check
            self._say(peer, check)
            self._around.wake(peer)

    def _say(self, peer: str, word: _Word) -> None:
        """After what waits; in place of an older one of the same flow."""
        waiting = self._urgent[peer]
        subject = (type(word), word.flow_id)
        waiting.pop(subject, None)
        waiting[subject] = word
        if len(waiting) > URGENT_PER_FLOW * self._flows_max:
            del waiting[next(iter(waiting))]

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
        return waiting.pop(next(iter(waiting))) if waiting else self._adviser.take(peer)

    def waiting(self, peer: str) -> int:
        """Messages that `next_message` would give for `peer` now, advice aside."""
        return self._senders[peer].pending + len(self._urgent[peer])

    def on_pull(self, peer: str, pull: Pull) -> Refusal | None:
        """A neighbour asks for what its digest shows that it lacks."""
        refusal = self._senders[peer].on_pull(pull)
        if refusal is None:
            self._repeat_paths(peer)
            self._around.wake(peer)
        return refusal

    def _repeat_paths(self, peer: str) -> None:
        """A neighbour that lost states has lost their paths too."""
        for flow_id in self._senders[peer].states:
            path = self._book.get(flow_id)
            if path is not None:
                self._say(peer, path)

    def on_up(self, peer: str) -> None:
        """A session with `peer` stands (again)."""
        self._senders[peer].on_up()
        if len(self._senders[peer]):
            # What waited or was on its way is lost: the digest shows what is missing.
            self._around.send(peer, self._senders[peer].digest())
            # No digest covers these: the newest of each is told again, and refused if known.
            self._repeat_paths(peer)
            for check in self._finals[peer].values():
                self._say(peer, check)
            self._around.wake(peer)
        if self._adviser.repeat(peer):
            self._around.wake(peer)
