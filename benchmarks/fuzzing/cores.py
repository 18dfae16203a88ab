"""Every core of a node behind one authenticated stream, as a target of the fuzzer."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable

from benchmarks.fuzzing.messages import BLOCK, FLOWS, PAYLOAD

from sentinel_node.core.control import custody_messages as custody
from sentinel_node.core.control import messages as msg
from sentinel_node.core.control.endpoint import Endpoint
from sentinel_node.core.control.refusals import Reason, Refusal, RefusalCounter
from sentinel_node.core.control.sessions import Session
from sentinel_node.core.custody.delivery import DeliveryLedger
from sentinel_node.core.custody.running_hash import RunningHash
from sentinel_node.core.custody.source import SourceLedger
from sentinel_node.core.custody.store import CustodyStore
from sentinel_node.core.health.detectors import FixedDetector, Liveness
from sentinel_node.core.sync.flow_table import FlowTable
from sentinel_node.core.sync.link import LinkSender
from sentinel_node.core.sync.offers import WindowOffers
from sentinel_node.core.sync.paths import PathBook
from sentinel_node.core.sync.replica import LinkReplica
from sentinel_node.core.sync.shares import LinkShares
from sentinel_node.core.sync.validation import validate

SECRET = b"the secret of the fuzzed node"
OWN = msg.Hello("b", "a", 2, b"b" * 32, FLOWS)
PEER = msg.Hello("a", "b", 2, b"a" * 32, FLOWS)


class StatePickler(pickle.Pickler):
    """Pickles everything but the counters of refusals."""

    def persistent_id(self, obj: object) -> str | None:
        return "counter" if isinstance(obj, RefusalCounter) else None


class FuzzNode:
    """Every core of a node, behind the stream of one neighbour."""

    def __init__(self) -> None:
        self.table = FlowTable(4, origins_max=3)
        self.paths = PathBook(self.table)
        self.replica = LinkReplica(4)
        self.shares = LinkShares()
        self.sender = LinkSender(2, FLOWS)
        self.offered: list[msg.WindowOffer] = []
        self.offers = WindowOffers("b", self.table, self.paths, lambda peer, offer: None)
        for flow_id in (1, 2):
            self.offers.expect(flow_id, self.offered.append)
        self.liveness = Liveness()
        self.liveness.watch("a", FixedDetector(1000, 3, now_ns=0), now_ns=0)
        self.source = SourceLedger(1, next_hop="a", receiver="c", replayable=True)
        self.hash = RunningHash(block_bytes=BLOCK)
        self.source.on_written(len(PAYLOAD), self.hash.update(PAYLOAD))
        self.source.on_sent(len(PAYLOAD) // 2)
        self.store = CustodyStore(
            "b", capacity_bytes=512, flows_max=2, downstream="a", block_bytes=BLOCK
        )
        self.store.open(2, custody.ResumePoint(2, 1, 0, 0, bytes(32)))
        self.store.offer(2, 1, 0, 400)
        self.store.on_sent(2, 300)
        self.delivery = DeliveryLedger(3, "b", block_bytes=BLOCK)
        self.endpoint = Endpoint(SECRET, OWN, self._routes())
        self.endpoint.receive(Endpoint(SECRET, PEER, {}).hello(), now_ns=0)
        self.peer = Session(SECRET, own=PEER, peer=OWN)

    def _routes(self) -> dict[type, Callable[[str, object, int], object]]:
        updates = (msg.Forecast, msg.Correction, msg.Removal, msg.BucketSnapshot)
        routes: dict[type, Callable[[str, object, int], object]] = {
            msg.Digest: lambda peer, m, now: self.replica.on_digest(m),  # type: ignore[arg-type]
            msg.Pull: lambda peer, m, now: self.sender.on_pull(m),  # type: ignore[arg-type]
            msg.PathMetadata: self._path,
            msg.RateAdvice: self._advice,
            msg.WindowOffer: self.offers.on_offer,  # type: ignore[dict-item]
            msg.Heartbeat: self._heartbeat,
            msg.SyncCheck: self._check,
            custody.CustodyAck: self._custody_ack,
            custody.DeliveredAck: self._delivered_ack,
            custody.ResumePoint: self._resume_point,
            custody.ResumeQuery: self._resume_query,
        }
        return {**routes, **dict.fromkeys(updates, self._update)}

    def _update(self, peer: str, message: object, now_ns: int) -> object:
        taken = self.replica.on_update(message)  # type: ignore[arg-type]
        if isinstance(taken, Refusal):
            return taken
        return [self.table.apply(state, source=peer, now_ns=now_ns) for state in taken]

    def _path(self, peer: str, message: object, now_ns: int) -> object:
        assert isinstance(message, msg.PathMetadata)
        taken = self.paths.apply(message)
        if not isinstance(taken, Refusal):
            self.shares.begin(message)
        return taken

    def _advice(self, peer: str, message: object, now_ns: int) -> object:
        assert isinstance(message, msg.RateAdvice)
        if message.flow_id not in self.shares:
            return Refusal(Reason.UNKNOWN_FLOW, f"flow {message.flow_id} is not live")
        if not self.shares.on_advice(message.flow_id, message.stamp, message.rate_Bps):
            return Refusal(Reason.OUTDATED, "older advice")
        return None

    def _heartbeat(self, peer: str, message: object, now_ns: int) -> object:
        assert isinstance(message, msg.Heartbeat)
        epoch, sequence = message.stamp.epoch, message.stamp.sequence
        return self.liveness.on_heartbeat(peer, epoch=epoch, sequence=sequence, now_ns=now_ns)

    def _check(self, peer: str, message: object, now_ns: int) -> object:
        assert isinstance(message, msg.SyncCheck)
        entry = self.table.get(message.flow_id)
        return validate(
            message,
            view=entry.state if entry else None,
            digests={},
            delivered_bytes=self.delivery.next_offset,
            delay_allowance_bytes=0,
        )

    def _custody_ack(self, peer: str, message: object, now_ns: int) -> object:
        assert isinstance(message, custody.CustodyAck)
        if message.flow_id == 1:
            return self.source.on_custody(peer, message)
        return self.store.on_custody(peer, message)

    def _delivered_ack(self, peer: str, message: object, now_ns: int) -> object:
        assert isinstance(message, custody.DeliveredAck)
        if message.flow_id == 1:
            return self.source.on_delivered(peer, message)
        return self.store.on_delivered(peer, message)

    def _resume_point(self, peer: str, message: object, now_ns: int) -> object:
        assert isinstance(message, custody.ResumePoint)
        if message.flow_id != 1:
            return Refusal(Reason.UNKNOWN_FLOW, f"flow {message.flow_id} is not sent from here")
        return self.source.on_resume_point(peer, message)

    def _resume_query(self, peer: str, message: object, now_ns: int) -> object:
        assert isinstance(message, custody.ResumeQuery)
        if message.flow_id != 3:
            return Refusal(Reason.UNKNOWN_FLOW, f"flow {message.flow_id} does not end here")
        answer = self.delivery.on_resume(message)
        if isinstance(answer, custody.CustodyRefusal):
            return Refusal(Reason.STALE_EPOCH, f"attempt {message.transfer_epoch} is over")
        return answer

    def fingerprint(self) -> bytes:
        """All state but counters of refusals (and but for the replay window: see `window`)."""
        out = io.BytesIO()
        cores = (self.table, self.replica, self.shares, self.sender, self.liveness, self.source)
        ledgers = (self.store, self.delivery.next_offset, self.delivery.transfer_epoch)
        known = (self.paths._paths, self.offered)
        StatePickler(out, pickle.HIGHEST_PROTOCOL).dump((cores, known, ledgers))
        return out.getvalue()

    @property
    def window(self) -> int:
        """The largest sequence that was authentic; only authentic envelopes move it."""
        session = self.endpoint.session
        assert session is not None
        return session.highest_received
