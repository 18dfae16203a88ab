"""One node's control plane in virtual time: sessions with its neighbours, heartbeats, flow sync.

The cores are those of the daemon (`sentinel_node.core`); this takes the place of its event loop.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sentinel_node.core.control.codec import Message
from sentinel_node.core.control.endpoint import Endpoint, Handled, Opened
from sentinel_node.core.control.messages import (
    BUCKET_FLOWS_MAX,
    NONCE_BYTES,
    Heartbeat,
    Hello,
    Version,
)
from sentinel_node.core.control.sessions import PROTOCOL
from sentinel_node.core.health.detectors import Liveness, jittered_interval_ns
from sentinel_node.core.sync.exchange import FlowExchange
from sentinel_node.core.sync.telling import DIGEST_INTERVAL_NS, Neighbourhood
from sentinel_node.daemon.control.outbox import Outbox
from sentinel_node.daemon.control.settings import DEFAULT_HEARTBEAT_NS, DetectorSettings
from sentinel_node.daemon.control.slope import make_slope
from sentinel_proto.v1 import node_control_pb2 as pb
from sentinel_sim.backends.simulated.control.agenda import Agenda
from sentinel_sim.errors import SimulationError
from sentinel_sim.plan.seeds import derive, stream

OUTBOX_LIMIT = 4 * BUCKET_FLOWS_MAX


class _Peer:
    """One neighbour, and the stream with it."""

    def __init__(self, endpoint: Endpoint, wake: Callable[[], None]) -> None:
        self.endpoint = endpoint
        self.outbox = Outbox(OUTBOX_LIMIT, wake)
        self.write: Callable[[bytes], None] | None = None
        self.opened = self.confirmed = False
        self.beats = 0
        self.report = pb.PeerReport(name=endpoint.peer)


class VirtualNode:
    """The control plane of `name` among `neighbours`. `secret` is shared by all nodes."""

    def __init__(
        self,
        name: str,
        neighbours: tuple[str, ...],
        agenda: Agenda,
        *,
        seed: int,
        secret: bytes,
        beating: bool = True,
    ) -> None:
        self._beating = beating
        self.name = name
        self._agenda = agenda
        self._random = stream(seed, "control", "node", name)
        # As long in a message as wall-clock nanoseconds, which daemons take.
        self._epoch = derive(seed, "epoch", name) | 1 << 60
        self._detector = DetectorSettings()
        self._liveness = Liveness()
        self._watched_ns: int | None = None
        around = Neighbourhood(name, self._epoch, neighbours, self._post, self._pump)
        self.sync = FlowExchange(around, BUCKET_FLOWS_MAX, make_slope)
        routes = {Heartbeat: self._on_heartbeat, **self.sync.routes}
        self._peers = {
            peer: _Peer(Endpoint(secret, self._hello(peer), routes), partial(self._pump, peer))
            for peer in neighbours
        }
        self._sampled_ns: int | None = None

    def connect(self, peer: str, write: Callable[[bytes], None]) -> None:
        """Begin the stream with a neighbour; `write` sends it an envelope."""
        self._peers[peer].write = write
        write(self._peers[peer].endpoint.hello())

    def begin(self) -> None:
        """Send digests from now on."""
        self._agenda.at(self._agenda.now_ns + DIGEST_INTERVAL_NS, self._digests)

    def receive(self, peer: str, data: bytes) -> None:
        """An envelope has come. Raises SimulationError if it is refused: nothing forges here."""
        known = self._peers[peer]
        result = known.endpoint.receive(data, now_ns=self._agenda.now_ns)
        known.report.received_messages += 1
        known.report.received_bytes += len(data)
        if isinstance(result, Opened):
            known.opened = True
            self._liveness.watch(
                peer,
                self._detector.make(DEFAULT_HEARTBEAT_NS, self._agenda.now_ns),
                now_ns=self._agenda.now_ns,
            )
            self._beat(peer)
        elif not isinstance(result, Handled):
            raise SimulationError(f"{self.name} refuses a message of {peer}: {result.detail}")
        elif not known.confirmed:
            known.confirmed = True
            self.sync.telling.on_up(peer)
            self._pump(peer)

    def sample_own(self) -> None:
        """Own flows may have been announced: see to it that they are sampled."""
        due_ns = self.sync.next_sample_ns
        if due_ns is not None and (self._sampled_ns is None or due_ns < self._sampled_ns):
            self._sampled_ns = due_ns
            self._agenda.at(due_ns, self._sample)

    def report(self) -> pb.ReadControlReply:
        """How the plane stands, as a daemon would say it."""
        for peer in self._peers.values():
            peer.report.connected = peer.confirmed
            peer.report.suspected = peer.report.name in self._liveness.suspected
            peer.report.sessions = int(peer.confirmed)
        return pb.ReadControlReply(
            open=True,
            all_connected=all(peer.confirmed for peer in self._peers.values()),
            peers=[peer.report for peer in self._peers.values()],
            epoch=self._epoch,
            suspicions=self._liveness.suspicions,
            mistakes=self._liveness.mistakes,
        )

    def _hello(self, peer: str) -> Hello:
        nonce = self._random.randbytes(NONCE_BYTES)
        return Hello(self.name, peer, self._epoch, nonce, BUCKET_FLOWS_MAX, PROTOCOL)

    def _post(self, peer: str, message: Message) -> bool:
        known = self._peers[peer]
        return known.confirmed and known.outbox.put(message)

    def _pump(self, peer: str) -> None:
        """Send all that waits: what is small against the link needs no flow control."""
        known = self._peers[peer]
        while known.opened and known.write is not None:
            message = known.outbox.take()
            if message is None and known.confirmed:
                message = self.sync.telling.next_message(peer)
            if message is None:
                return
            data = known.endpoint.send(message)
            known.report.sent_messages += 1
            known.report.sent_bytes += len(data)
            known.write(data)

    def _beat(self, peer: str) -> None:
        known, now_ns = self._peers[peer], self._agenda.now_ns
        known.beats += 1
        beat = Heartbeat(Version(self._epoch, known.beats), now_ns, DEFAULT_HEARTBEAT_NS)
        known.outbox.put(beat)
        if not self._beating:
            return
        wait_ns = jittered_interval_ns(
            DEFAULT_HEARTBEAT_NS, self._detector.multiplier, self._random.getrandbits(16)
        )
        self._agenda.at(now_ns + wait_ns, partial(self._beat, peer))

    def _on_heartbeat(self, peer: str, beat: Heartbeat, now_ns: int) -> None:
        self._liveness.on_heartbeat(
            peer, epoch=beat.stamp.epoch, sequence=beat.stamp.sequence, now_ns=now_ns
        )
        self._watch()

    def _watch(self) -> None:
        if not self._beating or self._watched_ns is not None:
            return
        due_ns = self._liveness.next_deadline_ns()
        if due_ns is not None:
            self._watched_ns = max(due_ns, self._agenda.now_ns)
            self._agenda.at(self._watched_ns, self._on_timer)

    def _on_timer(self) -> None:
        self._watched_ns = None
        self._liveness.on_timer(self._agenda.now_ns)
        self._watch()

    def _digests(self) -> None:
        self.sync.telling.send_digests()
        self._agenda.at(self._agenda.now_ns + DIGEST_INTERVAL_NS, self._digests)

    def _sample(self) -> None:
        self._sampled_ns = None
        self.sync.sample_due(self._agenda.now_ns)
        self.sample_own()
