"""Authentication of the control stream: keys per session, tags, no replays.

Both sides share a secret (configured, or exported from mutual TLS, RFC 5705). Each opens with a
hello that carries a fresh nonce; from the secret and both hellos HKDF (RFC 5869) derives one key
per direction, so a message cannot be replayed into another session, another pair of nodes or the
other direction. Every envelope has HMAC-SHA-256 (RFC 2104, cut to 128 bits as RFC 4868 does)
over its session, sequence and body, and the receiver keeps a sliding window of sequences
(RFC 4303, section 3.4.3), moved only by envelopes whose tag is right.

A hello is tagged with a key of its own and proves the secret, but not freshness: a recorded one
can be played again. So a hello never changes a session in use; it only begins a new one, and
that carries weight once an envelope under the new keys was opened, which needs the secret.

Randomness (the nonce) is handed in. Confidentiality is TLS's business, not this module's.
"""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from google.protobuf.message import DecodeError

from sentinel_node.core.control.codec import BODY_MAX_BYTES, Message, decode, encode
from sentinel_node.core.control.messages import U64_MAX, Hello, MessageError
from sentinel_node.core.control.refusals import Reason, Refusal
from sentinel_proto.v1 import control_pb2 as pb

PROTOCOL = 1
SECRET_MIN_BYTES = 16
TAG_BYTES = 16
REPLAY_WINDOW = 1024
ENVELOPE_MAX_BYTES = BODY_MAX_BYTES + 64
_DOMAIN = b"sentinel-control-1"


class ReplayWindow:
    """Which of the last REPLAY_WINDOW sequences were seen (RFC 4303, section 3.4.3)."""

    def __init__(self) -> None:
        self._highest = 0
        self._seen = 0

    @property
    def highest(self) -> int:
        """The largest sequence that was marked; 0: none."""
        return self._highest

    def check(self, sequence: int) -> Refusal | None:
        """Why this sequence may not be taken; None if it may. Changes nothing."""
        if sequence == 0:
            return Refusal(Reason.BAD_VALUE, "sequence 0 is never used")
        behind = self._highest - sequence
        if behind >= REPLAY_WINDOW:
            return Refusal(Reason.TOO_OLD, f"sequence {sequence} is {behind} behind the newest")
        if behind >= 0 and self._seen >> behind & 1:
            return Refusal(Reason.REPLAYED, f"sequence {sequence} was taken before")
        return None

    def mark(self, sequence: int) -> None:
        """Take the sequence; its envelope was authentic."""
        ahead = sequence - self._highest
        if ahead > 0:
            kept = self._seen << ahead if ahead < REPLAY_WINDOW else 0
            self._seen = (kept | 1) & ((1 << REPLAY_WINDOW) - 1)
            self._highest = sequence
        else:
            self._seen |= 1 << -ahead


def _keyed(key: bytes) -> hmac.HMAC:
    """What tags are made from, keyed once.

    Not `hmac.digest`: it gives the interpreter lock away for each message, and beside a thread
    that moves data an event loop waited for it longer than for all else that it does of its own.
    """
    return hmac.new(key, digestmod="sha256")


def _tag(keyed: hmac.HMAC, session: int, sequence: int, body: bytes) -> bytes:
    tag = keyed.copy()
    tag.update(_DOMAIN + session.to_bytes(8, "big") + sequence.to_bytes(8, "big") + body)
    return tag.digest()[:TAG_BYTES]


def _hkdf(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(secret)


def _hello_key(secret: bytes) -> hmac.HMAC:
    return _keyed(_hkdf(secret, b"", _DOMAIN + b" hello", 32))


def check_secret(secret: bytes) -> None:
    """Raise ValueError for a secret that is too short to be one."""
    if len(secret) < SECRET_MIN_BYTES:
        raise ValueError(
            f"a control secret needs at least {SECRET_MIN_BYTES} bytes, got {len(secret)}"
        )


def _pack(session: int, sequence: int, body: bytes, tag: bytes) -> bytes:
    envelope = pb.Envelope(session=session, sequence=sequence, body=body, tag=tag)
    return envelope.SerializeToString(deterministic=True)


def parse_envelope(data: bytes) -> pb.Envelope | Refusal:
    """An envelope as it came; nothing in it is believed yet.

    It must be encoded as this module does it: bytes that were added or repeated are not covered
    by the tag, and are refused although the rest may be authentic.
    """
    if len(data) > ENVELOPE_MAX_BYTES:
        return Refusal(Reason.TOO_LARGE, f"{len(data)} bytes; at most {ENVELOPE_MAX_BYTES}")
    try:
        envelope = pb.Envelope.FromString(data)
    except DecodeError as error:
        return Refusal(Reason.MALFORMED, f"not an envelope: {error}")
    if _pack(envelope.session, envelope.sequence, envelope.body, envelope.tag) != data:
        return Refusal(Reason.MALFORMED, "the envelope has bytes that its tag does not cover")
    return envelope


def seal_hello(secret: bytes, hello: Hello) -> bytes:
    """The first envelope of a stream."""
    check_secret(secret)
    body = encode(hello)
    return _pack(0, 0, body, _tag(_hello_key(secret), 0, 0, body))


def open_hello(secret: bytes, envelope: pb.Envelope, *, node: str, peer: str) -> Hello | Refusal:
    """The hello in an envelope, if it proves the secret and is meant for `node` from `peer`."""
    if envelope.session != 0 or envelope.sequence != 0:
        return Refusal(Reason.FOREIGN_SESSION, "a hello has session 0 and sequence 0")
    tag = _tag(_hello_key(secret), 0, 0, envelope.body)
    if not hmac.compare_digest(tag, envelope.tag):
        return Refusal(Reason.BAD_TAG, "the tag of a hello is wrong")
    try:
        hello = decode(envelope.body)
    except MessageError as error:
        return Refusal(Reason.BAD_VALUE, str(error))
    if not isinstance(hello, Hello):
        return Refusal(Reason.UNEXPECTED, f"{type(hello).__name__} outside of a session")
    if hello.protocol != PROTOCOL:
        return Refusal(Reason.BAD_VALUE, f"protocol {hello.protocol}; this node speaks {PROTOCOL}")
    if hello.node != peer or hello.peer != node:
        return Refusal(
            Reason.WRONG_PEER, f"hello from {hello.node} to {hello.peer} came to {node} from {peer}"
        )
    return hello


class Session:
    """The keys and counters that two hellos made; one per stream."""

    def __init__(self, secret: bytes, *, own: Hello, peer: Hello) -> None:
        check_secret(secret)
        # Sorted, so that both ends derive the same.
        first, second = sorted((encode(own), encode(peer)))
        transcript = hashlib.sha256(len(first).to_bytes(4, "big") + first + second).digest()
        self._send_key = self._key(secret, transcript, own.node, peer.node)
        self._receive_key = self._key(secret, transcript, peer.node, own.node)
        number = int.from_bytes(_hkdf(secret, transcript, _DOMAIN + b" session", 8), "big")
        self.number = number or 1
        self._sent = 0
        self._window = ReplayWindow()

    @staticmethod
    def _key(secret: bytes, transcript: bytes, source: str, target: str) -> hmac.HMAC:
        info = _DOMAIN + b" " + source.encode() + b"\0" + target.encode()
        return _keyed(_hkdf(secret, transcript, info, 32))

    @property
    def sent(self) -> int:
        """Envelopes sealed so far."""
        return self._sent

    @property
    def confirmed(self) -> bool:
        """An envelope under these keys was opened: the peer has the secret, now."""
        return self._window.highest > 0

    @property
    def highest_received(self) -> int:
        """The largest authentic sequence so far."""
        return self._window.highest

    def seal(self, message: Message) -> bytes:
        """The next envelope. Raises MessageError for a message too large to send."""
        return self.seal_body(encode(message))

    def seal_body(self, body: bytes) -> bytes:
        """The next envelope around bytes that are a message already."""
        if self._sent >= U64_MAX:
            raise MessageError("sequences of this session are used up; begin a new one")
        self._sent += 1
        tag = _tag(self._send_key, self.number, self._sent, body)
        return _pack(self.number, self._sent, body, tag)

    def open(self, envelope: pb.Envelope) -> Message | Refusal:
        """The message in an envelope of the peer; a refusal changes nothing."""
        if envelope.session != self.number:
            return Refusal(Reason.FOREIGN_SESSION, f"session {envelope.session:016x} is not known")
        refusal = self._window.check(envelope.sequence)
        if refusal is not None:
            return refusal
        tag = _tag(self._receive_key, self.number, envelope.sequence, envelope.body)
        if not hmac.compare_digest(tag, envelope.tag):
            return Refusal(Reason.BAD_TAG, f"the tag of sequence {envelope.sequence} is wrong")
        try:
            message = decode(envelope.body)
        except MessageError as error:
            return Refusal(Reason.BAD_VALUE, str(error))
        if isinstance(message, Hello):
            return Refusal(Reason.UNEXPECTED, "a hello inside of a session")
        self._window.mark(envelope.sequence)
        return message
