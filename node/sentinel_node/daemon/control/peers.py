"""What is known of each neighbour: its present stream, its incarnation, whether it is heard."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sentinel_node.core.control.messages import Heartbeat, Hello
from sentinel_node.core.control.replaying import Replayer
from sentinel_node.core.health.detectors import Liveness, Suspect, Trust
from sentinel_node.daemon.control.interface import PeerChange, PeerEvent, PeerHandler, PeerStatus
from sentinel_node.daemon.control.settings import ControlSettings, Neighbour
from sentinel_node.daemon.control.stream import Stream


@dataclass(frozen=True, slots=True)
class _Traffic:
    """Envelopes of one neighbour, as `PeerStatus` names them."""

    sent_messages: int = 0
    sent_bytes: int = 0
    received_messages: int = 0
    received_bytes: int = 0

    def plus(self, stream: Stream) -> _Traffic:
        """With those of one more stream."""
        return _Traffic(
            self.sent_messages + stream.sent_messages,
            self.sent_bytes + stream.sent_bytes,
            self.received_messages + stream.received_messages,
            self.received_bytes + stream.received_bytes,
        )


class Peer:
    """One neighbour. Counts are over all its streams."""

    def __init__(self, neighbour: Neighbour) -> None:
        self.neighbour = neighbour
        self.stream: Stream | None = None
        self.candidates: set[Stream] = set()
        """Streams that run, confirmed or not."""
        self.epoch = 0
        self.sessions = 0
        """How many there were so far."""
        self.heard_ns: int | None = None
        self.suspected = False
        self.interval_ns = 0
        """Of its heartbeats, by its own word."""
        self.refused: Counter[str] = Counter()
        self.beats = 0
        self.replayer = Replayer()
        self.trouble = ""
        """Why the last call came to nothing, while no session stands."""
        self._past = _Traffic()

    @property
    def is_heard(self) -> bool:
        """A session stands, and the neighbour speaks."""
        return self.stream is not None and not self.suspected

    @property
    def has_session(self) -> bool:
        """A session stands, whether the neighbour speaks or not."""
        return self.stream is not None

    def retire(self, stream: Stream) -> None:
        """The stream has ended; its counts stay."""
        self.candidates.discard(stream)
        self.refused.update({str(r): n for r, n in stream.endpoint.refused.counts.items()})
        self._past = self._past.plus(stream)

    def status(self, now_ns: int) -> PeerStatus:
        """As it is now."""
        refused = Counter(self.refused)
        traffic = self._past
        for stream in tuple(self.candidates):
            refused.update({str(r): n for r, n in stream.endpoint.refused.counts.items()})
            traffic = traffic.plus(stream)
        return PeerStatus(
            name=self.neighbour.name,
            connected=self.stream is not None,
            suspected=self.suspected,
            epoch=self.epoch,
            sessions=self.sessions,
            heartbeat_age_ns=None if self.heard_ns is None else now_ns - self.heard_ns,
            refused=dict(refused),
            **dataclasses.asdict(traffic),
        )


class Peers:
    """All neighbours, their liveness, and who wants to know of changes. On the event loop."""

    def __init__(self, settings: ControlSettings, clock: Callable[[], int]) -> None:
        self._settings = settings
        self._clock = clock
        self.by_name = {n.name: Peer(n) for n in settings.neighbours}
        self.liveness = Liveness()
        self._handlers: list[PeerHandler] = []

    def subscribe(self, handler: PeerHandler) -> Callable[[], None]:
        """Tell `handler` of every change."""
        self._handlers.append(handler)

        def unsubscribe() -> None:
            if handler in self._handlers:
                self._handlers.remove(handler)

        return unsubscribe

    def status(self) -> Mapping[str, PeerStatus]:
        """All of them as they are now."""
        now_ns = self._clock()
        return {name: peer.status(now_ns) for name, peer in self.by_name.items()}

    def adopt(self, stream: Stream, hello: Hello) -> bool:
        """A stream of the peer was confirmed: it is the one to use. False: an old incarnation."""
        peer = self.by_name[hello.node]
        if hello.epoch < peer.epoch:
            return False
        restarted = 0 < peer.epoch < hello.epoch
        former, peer.stream = peer.stream, stream
        peer.epoch = hello.epoch
        peer.sessions += 1
        if former is not None:
            former.end()
            self._tell(peer, PeerChange.DOWN, detail="a newer session took its place")
        if peer.suspected:
            peer.suspected = False  # it just proved to be there, and is watched anew
            self._watch(peer)
        self._tell(peer, PeerChange.UP, restarted=restarted)
        return True

    def lost(self, name: str, stream: Stream, detail: str) -> None:
        """A stream has ended."""
        peer = self.by_name[name]
        peer.retire(stream)
        if peer.stream is stream:
            peer.stream = None
            self._tell(peer, PeerChange.DOWN, detail=detail)
        elif peer.stream is None:
            peer.trouble = detail

    def on_heartbeat(self, name: str, message: Heartbeat, now_ns: int) -> None:
        """A heartbeat of a neighbour came."""
        peer = self.by_name[name]
        if not peer.interval_ns:
            peer.interval_ns = message.interval_ns
            self._watch(peer)
        peer.heard_ns = now_ns
        for effect in self.liveness.on_heartbeat(
            name, epoch=message.stamp.epoch, sequence=message.stamp.sequence, now_ns=now_ns
        ):
            if isinstance(effect, Trust):
                peer.suspected = False
                self._tell(peer, PeerChange.RESTORED, silent_ns=effect.silent_for_ns)

    def _watch(self, peer: Peer) -> None:
        now_ns = self._clock()
        detector = self._settings.detector.make(peer.interval_ns, now_ns)
        self.liveness.watch(peer.neighbour.name, detector, now_ns=now_ns)

    def on_timer(self, now_ns: int) -> None:
        """Time has passed."""
        for effect in self.liveness.on_timer(now_ns):
            assert isinstance(effect, Suspect)  # the only effect of a timer
            peer = self.by_name[effect.peer]
            peer.suspected = True
            self._tell(peer, PeerChange.SUSPECTED, silent_ns=effect.silent_for_ns)

    def _tell(
        self,
        peer: Peer,
        change: PeerChange,
        *,
        restarted: bool = False,
        silent_ns: int = 0,
        detail: str = "",
    ) -> None:
        event = PeerEvent(
            peer.neighbour.name, change, self._clock(), peer.epoch, restarted, silent_ns, detail
        )
        for handler in tuple(self._handlers):
            handler(event)
