"""Throw arbitrary control messages at a node: no crash, no change of state by a refused one.

    python benchmarks/fuzz_control.py [--inputs 1000000] [--seed 1] [--first 0] [--json]

A node with every core behind one authenticated stream gets, in random turn: random bytes;
envelopes of the peer, damaged; replays; bodies that are damaged and then properly sealed (a
broken or captured peer that has the keys); and valid messages with values that may be old, too
large, of unknown flows or of another epoch. After each refusal the whole state is compared with
the one before, but for the counters of refusals. Ends with 1 and the input, if one breaks that.

`--first N` begins at input N of the same stream of inputs, to split a run.
"""

from __future__ import annotations

import argparse
import io
import json
import pickle
import sys
import time
from collections import Counter
from collections.abc import Callable
from random import Random

from sentinel_node.core.control import custody_messages as custody
from sentinel_node.core.control import messages as msg
from sentinel_node.core.control.codec import Message, encode
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
from sentinel_node.core.sync.paths import PathBook
from sentinel_node.core.sync.replica import LinkReplica
from sentinel_node.core.sync.validation import validate

SECRET = b"the secret of the fuzzed node"
FLOWS = 6
OWN = msg.Hello("b", "a", 2, b"b" * 32, FLOWS)
PEER = msg.Hello("a", "b", 2, b"a" * 32, FLOWS)
PAYLOAD = bytes(range(256)) * 4
BLOCK = 64


class _StatePickler(pickle.Pickler):
    """Pickles everything but the counters of refusals."""

    def persistent_id(self, obj: object) -> str | None:
        return "counter" if isinstance(obj, RefusalCounter) else None


class FuzzNode:
    """Every core of a node, behind the stream of one neighbour."""

    def __init__(self) -> None:
        self.table = FlowTable(4, origins_max=3)
        self.paths = PathBook(self.table)
        self.replica = LinkReplica(4)
        self.sender = LinkSender(2, FLOWS)
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
            msg.PathMetadata: lambda peer, m, now: self.paths.apply(m),  # type: ignore[arg-type]
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
        cores = (self.table, self.replica, self.sender, self.liveness, self.source)
        ledgers = (self.store, self.delivery.next_offset, self.delivery.transfer_epoch)
        _StatePickler(out, pickle.HIGHEST_PROTOCOL).dump((cores, self.paths._paths, ledgers))
        return out.getvalue()

    @property
    def window(self) -> int:
        """The largest sequence that was authentic; only authentic envelopes move it."""
        session = self.endpoint.session
        assert session is not None
        return session.highest_received


class Inputs:
    """Inputs that depend on seed and number only, and on the session they are sealed with."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._kept: list[bytes] = []

    def make(self, number: int, peer: Session) -> tuple[str, bool, bytes]:
        """(kind, whether its tag is right, the envelope)."""
        rng = Random(self._seed * 1_000_003 + number)
        draw = rng.random()
        if draw < 0.1:
            return "noise", False, rng.randbytes(rng.randrange(120))
        if draw < 0.2 and self._kept:
            return "replay", False, rng.choice(self._kept)
        message = random_message(rng)
        if draw < 0.4:
            return "damaged", False, damage(rng, peer.seal(message))
        if draw < 0.55:
            return "sealed-nonsense", True, peer.seal_body(damage(rng, encode(message)))
        sealed = peer.seal(message)
        if len(self._kept) < 500 or rng.random() < 0.01:
            self._kept = [*self._kept[-499:], sealed]
        return type(message).__name__, True, sealed


def damage(rng: Random, data: bytes) -> bytes:
    """Flip, cut, repeat, insert: one to three times, until something has changed."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(out) + 1)
        kind = rng.randrange(5)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(out):
            out[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 2:
            del out[at:]
        elif kind == 3:
            out[at:at] = out[rng.randrange(len(out) + 1) :][: rng.randrange(1, 20)]
        else:
            out[at:at] = rng.randbytes(rng.randrange(1, 9))
    return bytes(out) if out != data else damage(rng, data)


def _number(rng: Random) -> int:
    return rng.choice((rng.randrange(10), rng.randrange(1100), rng.randrange(1 << 62)))


def _version(rng: Random) -> msg.Version:
    epoch = rng.choice((1, 2, 2, 2, 2, 2, 3 if rng.random() < 0.02 else 2))
    return msg.Version(epoch, rng.randrange(1, 3000))


def _state(rng: Random, flow_id: int | None = None) -> msg.FlowState:
    total = _number(rng)
    return msg.FlowState(
        flow_id=rng.randrange(FLOWS) if flow_id is None else flow_id,
        origin=rng.choice("aaaz"),
        version=_version(rng),
        phase=rng.choice(list(msg.FlowPhase)),
        at_ns=_number(rng),
        total_bytes=total,
        rate_Bps=rng.randrange(1 << 40),
        size_bytes=rng.choice((None, total + 5)),
    )


def _snapshot(rng: Random) -> msg.BucketSnapshot:
    flow_id = rng.randrange(FLOWS)
    states = (_state(rng, flow_id),) if rng.random() < 0.7 else ()
    return msg.BucketSnapshot(_version(rng), msg.bucket_of(flow_id), states)


def _digest_at(rng: Random, offset: int) -> bytes:
    running = RunningHash(block_bytes=BLOCK)
    running.update(PAYLOAD[:offset])
    return running.finish().digest if rng.random() < 0.7 else rng.randbytes(32)


def _delivered(rng: Random) -> custody.DeliveredAck:
    flow_id, at = rng.choice((1, 1, 2, 3)), rng.randrange(0, len(PAYLOAD) + 1, BLOCK)
    offset = at + rng.randrange(BLOCK)
    complete = rng.random() < 0.05
    receiver, epoch = rng.choice("cccd"), rng.randrange(1, 3)
    digest = _digest_at(rng, at)
    return custody.DeliveredAck(
        flow_id, epoch, receiver, at if complete else offset, at, digest, complete
    )


def _custody_ack(rng: Random) -> custody.CustodyAck:
    offset = rng.randrange(1200)
    return custody.CustodyAck(
        rng.randrange(4), rng.randrange(1, 3), rng.choice("aaac"), offset, rng.randrange(offset + 1)
    )


def _resume_point(rng: Random) -> custody.ResumePoint:
    at = rng.randrange(0, 600, BLOCK)
    offset = at + rng.randrange(BLOCK)
    return custody.ResumePoint(rng.randrange(3), rng.randrange(1, 3), offset, at, rng.randbytes(32))


def _path(rng: Random) -> msg.PathMetadata:
    hops = tuple(msg.PathHop("n", _number(rng), 1) for _ in range(rng.randint(1, 3)))
    return msg.PathMetadata(rng.randrange(FLOWS), _version(rng), hops)


def _correction(rng: Random) -> msg.Correction:
    return msg.Correction(
        _version(rng), rng.randrange(FLOWS), _version(rng), _number(rng), _number(rng), 5
    )


def _check(rng: Random) -> msg.SyncCheck:
    total = _number(rng)
    offset = rng.randrange(total + 1)
    return msg.SyncCheck(rng.randrange(FLOWS), 2, 5, total, offset, rng.randbytes(32), True)


def _hashes(rng: Random) -> tuple[int, ...]:
    return tuple(rng.choice((0, rng.getrandbits(64))) for _ in range(msg.BUCKETS))


MAKERS: tuple[Callable[[Random], Message], ...] = (
    lambda rng: msg.Forecast(_version(rng), _state(rng)),
    _correction,
    lambda rng: msg.Removal(_version(rng), rng.randrange(FLOWS)),
    lambda rng: msg.Digest(_version(rng), rng.randrange(9), _hashes(rng)),
    lambda rng: msg.Pull(rng.choice((1, 2, 3)), (rng.randrange(msg.BUCKETS),)),
    _snapshot,
    lambda rng: msg.Heartbeat(_version(rng), _number(rng), 1 + _number(rng)),
    _custody_ack,
    _delivered,
    lambda rng: custody.CustodyRefusal(
        rng.randrange(4), 1, 5, rng.choice(list(custody.CustodyReason)), 9
    ),
    lambda rng: custody.ResumeQuery(rng.randrange(5), rng.randrange(1, 9)),
    _resume_point,
    _path,
    _check,
    lambda rng: msg.Hello("a", "b", 2, rng.randbytes(32), 5),
)


def random_message(rng: Random) -> Message:
    """A message of any kind whose values are in range, but may be wrong in every other way."""
    return rng.choice(MAKERS)(rng)


class Failure(Exception):
    """An input that broke the rule."""

    def __init__(self, number: int, kind: str, data: bytes, what: str) -> None:
        super().__init__(f"input {number} ({kind}): {what}")
        self.number = number
        self.kind = kind
        self.data = data
        self.what = what


def run(inputs: int, seed: int, first: int = 0) -> tuple[Counter[str], Counter[str]]:
    """Feed so many inputs: (accepted by kind, refused by reason). Raises Failure.

    A fresh node every 2,000 inputs, so that states do not all end up finished or of epoch 3.
    """
    accepted: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for start in range(first, first + inputs, 2000):
        node, made = FuzzNode(), Inputs(seed)
        before = node.fingerprint()
        for number in range(start, min(start + 2000, first + inputs)):
            kind, authentic, data = made.make(number, node.peer)
            window = node.window
            try:
                result = node.endpoint.receive(data, now_ns=number)
            except Exception as error:
                raise Failure(number, kind, data, f"crash: {error!r}") from error
            if not isinstance(result, Refusal):
                accepted[kind] += 1
                before = node.fingerprint()
                continue
            refused[result.reason] += 1
            if node.fingerprint() != before:
                raise Failure(number, kind, data, f"state changed by a refusal: {result}")
            if not authentic and node.window != window:
                raise Failure(number, kind, data, "replay window moved by what has no right tag")
    return accepted, refused


def main(argv: list[str]) -> int:
    """Run, and print what was accepted and refused."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    began = time.perf_counter()
    try:
        accepted, refused = run(options.inputs, options.seed, options.first)
    except Failure as failure:
        sys.stderr.write(
            f"input {failure.number} ({failure.kind}) of seed {options.seed}: {failure.what}\n"
            f"{failure.data.hex()}\n"
        )
        return 1
    seconds = time.perf_counter() - began
    figures = {
        "inputs": options.inputs,
        "seed": options.seed,
        "first": options.first,
        "seconds": round(seconds, 1),
        "accepted": dict(accepted.most_common()),
        "refused": dict(refused.most_common()),
    }
    sys.stdout.write(json.dumps(figures, indent=None if options.json else 2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
