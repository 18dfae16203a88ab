"""Control messages of every kind, in range and wrong in every other way, from a seed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from sentinel_node.core.control import custody_messages as custody
from sentinel_node.core.control import messages as msg
from sentinel_node.core.control.codec import Message
from sentinel_node.core.custody.running_hash import RunningHash

FLOWS = 6
PAYLOAD = bytes(range(256)) * 4
BLOCK = 64


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
    nodes = rng.choice(("n", "ab", "abc", "abc", "bc", "ba", "aba"))
    hops = tuple(msg.PathHop(node, _number(rng), rng.randrange(1 << 40)) for node in nodes)
    return msg.PathMetadata(rng.randrange(FLOWS), _version(rng), hops)


def _advice(rng: Random) -> msg.RateAdvice:
    return msg.RateAdvice(_version(rng), rng.randrange(FLOWS), 1 + rng.randrange(1 << 40))


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
    _advice,
    lambda rng: msg.WindowOffer(rng.randrange(FLOWS), 1 + rng.randrange(1 << 30), _number(rng)),
    lambda rng: msg.Hello("a", "b", 2, rng.randbytes(32), 5),
)


def random_message(rng: Random) -> Message:
    """A message of any kind whose values are in range, but may be wrong in every other way."""
    return rng.choice(MAKERS)(rng)
