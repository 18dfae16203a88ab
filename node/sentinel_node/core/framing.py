"""How one flow looks on its TCP connection, so that the receiver itself can judge it.

    header | payload ... | trailer | end of stream

The header names the flow; its token ties the connection to a run and depends on no payload
seed. The payload has a declared size or is open ended. The trailer repeats the token and carries
the flow's length and SHA-256.

A flow in custody may take several connections, one after another. Their headers say which attempt
they belong to and at which byte of the flow they go on; the trailer speaks of the whole flow, and
its digest is the running hash (`core.custody.running_hash`), which needs no state but 32 bytes to
be taken up again. Header and trailer end with a check of their own (the first 8
bytes of a SHA-256 over what precedes them), so that damage to the framing is told apart from
damage to the payload. All numbers are big endian.

`StreamParser` is a state machine without I/O: chunks in, payload pieces out, whatever way the
stream was cut. It copies nothing but what may still turn out to be the trailer of an open-ended
flow: bytes that begin as one does, at most TRAILER_BYTES. Others are given out at once, for a
sender that dies sends no more: what a custodian has confirmed would stay behind for ever.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from sentinel_node.core.sync.checkpoints import Checkpoints
from sentinel_node.errors import FramingError, HeaderError, TrailerError, TruncatedError

VERSION = 2
TOKEN_BYTES = 16
CHECK_BYTES = 8
HEADER_MAGIC = b"SNTLFLOW"
TRAILER_MAGIC = b"SNTL-END"
FLAG_SIZE_DECLARED = 1
FLAG_UNHASHED = 2
FLAG_CUSTODY = 4
FLAG_FRESH = 8
_KNOWN_FLAGS = FLAG_SIZE_DECLARED | FLAG_UNHASHED | FLAG_CUSTODY | FLAG_FRESH
_OFFSET_MAX = (1 << 63) - 1

_HEADER = struct.Struct(f">8sHHIQ{TOKEN_BYTES}sQQQ")
_TRAILER = struct.Struct(f">8s{TOKEN_BYTES}sQ32s")
HEADER_BYTES = _HEADER.size + CHECK_BYTES
TRAILER_BYTES = _TRAILER.size + CHECK_BYTES
FRAMING_BYTES = HEADER_BYTES + TRAILER_BYTES


def flow_token(run: str, flow_id: int) -> bytes:
    """What both ends derive from the run's name and the flow id, to know their own flows."""
    text = f"sentinel-flow-token\0{run}\0{flow_id}".encode()
    return hashlib.sha256(text).digest()[:TOKEN_BYTES]


def _check(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()[:CHECK_BYTES]


@dataclass(frozen=True, slots=True)
class FlowHeader:
    """First bytes of a connection. `size_bytes`, of the whole flow, is None if open ended.

    Raises HeaderError for an offset that no flow has.
    """

    flow_id: int
    token: bytes
    size_bytes: int | None
    hashed: bool = True
    """False: the trailer's digest means nothing (capacity benchmarks)."""
    custody: bool = False
    """The flow goes on after a lost connection; the trailer's digest is the running hash."""
    transfer_epoch: int = 1
    """Number of the attempt; both ends of the connection agree on it."""
    start_offset: int = 0
    """The flow's byte that follows this header."""
    fresh: bool = False
    """Nobody downstream has heard of the flow: it can begin without asking where it goes on."""

    def __post_init__(self) -> None:
        end = _OFFSET_MAX if self.size_bytes is None else self.size_bytes
        if not 0 <= self.start_offset <= end <= _OFFSET_MAX or self.transfer_epoch < 1:
            raise HeaderError(
                f"flow header: attempt {self.transfer_epoch} from byte {self.start_offset} of "
                f"{'an open-ended flow' if self.size_bytes is None else self.size_bytes}"
            )
        if self.fresh and self.start_offset:
            raise HeaderError(f"flow header: a fresh flow begins at 0, not {self.start_offset}")
        if not self.custody and (self.start_offset or self.transfer_epoch != 1 or self.fresh):
            raise HeaderError(
                f"flow header: a flow without custody has one attempt and begins at 0, not "
                f"attempt {self.transfer_epoch} at {self.start_offset}"
            )

    def encode(self) -> bytes:
        """HEADER_BYTES bytes."""
        flags = 0 if self.size_bytes is None else FLAG_SIZE_DECLARED
        flags |= 0 if self.hashed else FLAG_UNHASHED
        flags |= FLAG_CUSTODY if self.custody else 0
        flags |= FLAG_FRESH if self.fresh else 0
        body = _HEADER.pack(
            HEADER_MAGIC,
            VERSION,
            HEADER_BYTES,
            flags,
            self.flow_id,
            self.token,
            self.size_bytes or 0,
            self.transfer_epoch,
            self.start_offset,
        )
        return body + _check(body)

    @classmethod
    def decode(cls, data: bytes) -> FlowHeader:
        """Read a header back. Raises HeaderError and says what is wrong with it."""
        if len(data) != HEADER_BYTES:
            raise HeaderError(f"flow header: needs {HEADER_BYTES} bytes, got {len(data)}")
        body, check = data[: _HEADER.size], data[_HEADER.size :]
        magic, version, length, flags, flow_id, token, size, epoch, start = _HEADER.unpack(body)
        if magic != HEADER_MAGIC:
            raise HeaderError(f"flow header: not a sentinel flow, it begins with {magic!r}")
        if check != _check(body):
            raise HeaderError("flow header: damaged, its check does not match")
        if version != VERSION or length != HEADER_BYTES or flags & ~_KNOWN_FLAGS:
            raise HeaderError(
                f"flow header: version {version}, length {length}, flags {flags:#x}; "
                f"this node speaks version {VERSION} only"
            )
        size_bytes = size if flags & FLAG_SIZE_DECLARED else None
        hashed, custody = not flags & FLAG_UNHASHED, bool(flags & FLAG_CUSTODY)
        fresh = bool(flags & FLAG_FRESH)
        return cls(flow_id, token, size_bytes, hashed, custody, epoch, start, fresh)


@dataclass(frozen=True, slots=True)
class FlowTrailer:
    """Last bytes of a flow: what the sender says it sent, over all connections."""

    token: bytes
    payload_bytes: int
    sha256: bytes

    def encode(self) -> bytes:
        """TRAILER_BYTES bytes."""
        body = _TRAILER.pack(TRAILER_MAGIC, self.token, self.payload_bytes, self.sha256)
        return body + _check(body)

    @classmethod
    def decode(cls, data: bytes) -> FlowTrailer:
        """Read a trailer back. Raises TrailerError and says what is wrong with it."""
        body, check = data[: _TRAILER.size], data[_TRAILER.size :]
        if len(data) != TRAILER_BYTES or not data.startswith(TRAILER_MAGIC):
            raise TrailerError("flow trailer: missing, the stream ends with other bytes")
        if check != _check(body):
            raise TrailerError("flow trailer: damaged, its check does not match")
        _, token, payload_bytes, sha256 = _TRAILER.unpack(body)
        return cls(token, payload_bytes, sha256)


def trailer_part_bytes(tail: bytes) -> int:
    """How many of the last bytes of an open-ended flow may be the beginning of its trailer, or all.

    `tail`: what came last; its last TRAILER_BYTES are enough.
    """
    tail = tail[-TRAILER_BYTES:]
    begin = tail.find(TRAILER_MAGIC)
    if begin >= 0:
        return len(tail) - begin
    longest = min(len(TRAILER_MAGIC) - 1, len(tail))
    parts = (count for count in range(longest, 0, -1) if TRAILER_MAGIC.startswith(tail[-count:]))
    return next(parts, 0)


Piece = memoryview | bytes


class StreamParser:
    """Cuts a stream into header, payload and trailer, however it arrives."""

    def __init__(self) -> None:
        self.header: FlowHeader | None = None
        self._head = bytearray()
        self._held = b""
        self._payload_bytes = 0

    @property
    def payload_bytes(self) -> int:
        """Payload bytes given out so far, of this connection."""
        return self._payload_bytes

    @property
    def next_offset(self) -> int:
        """The flow's byte that is given out next."""
        return self._payload_bytes + (self.header.start_offset if self.header else 0)

    def feed(self, chunk: memoryview) -> tuple[Piece, ...]:
        """Take the next bytes; give the payload among them, in order.

        The pieces are views of `chunk` (or a few bytes held back before): use them before the
        buffer is filled again. Raises HeaderError, or TrailerError for bytes after the trailer.
        """
        if self.header is None:
            chunk = self._feed_header(chunk)
        if self.header is None or not len(chunk):
            return ()
        if self.header.size_bytes is None:
            pieces = self._feed_open(chunk)
        else:
            pieces = self._feed_declared(chunk, self.header.size_bytes)
        self._payload_bytes += sum(map(len, pieces))
        return pieces

    def finish(self) -> FlowTrailer:
        """The stream has ended: check and give the trailer.

        Raises TruncatedError if bytes are missing, TrailerError if the trailer is not one or
        contradicts the header or the number of payload bytes.
        """
        if self.header is None:
            raise TruncatedError(
                f"stream ended after {len(self._head)} bytes, in the header of {HEADER_BYTES}"
            )
        if self.header.size_bytes is None and not self._held and self._payload_bytes:
            raise TrailerError("flow trailer: missing, the stream ends with other bytes")
        if len(self._held) < TRAILER_BYTES:
            raise TruncatedError(
                f"stream ended after {self.next_offset} payload bytes"
                f"{_of(self.header.size_bytes)}, before its trailer was complete"
            )
        trailer = FlowTrailer.decode(self._held)
        if trailer.token != self.header.token:
            raise TrailerError("flow trailer: its token is not the header's")
        if trailer.payload_bytes != self.next_offset:
            raise TrailerError(
                f"flow trailer: announces {trailer.payload_bytes} payload bytes, "
                f"{self.next_offset} arrived"
            )
        return trailer

    def _feed_header(self, chunk: memoryview) -> memoryview:
        missing = HEADER_BYTES - len(self._head)
        self._head += chunk[:missing]
        # Refuse a foreign stream at its first bytes: it may never send HEADER_BYTES of them.
        seen = bytes(self._head[: len(HEADER_MAGIC)])
        if not HEADER_MAGIC.startswith(seen):
            raise HeaderError(f"flow header: not a sentinel flow, it begins with {seen!r}")
        if len(self._head) == HEADER_BYTES:
            self.header = FlowHeader.decode(bytes(self._head))
        return chunk[missing:]

    def _feed_declared(self, chunk: memoryview, size_bytes: int) -> tuple[Piece, ...]:
        payload = chunk[: size_bytes - self.next_offset]
        rest = chunk[len(payload) :]
        if len(rest):
            self._held += bytes(rest[: TRAILER_BYTES + 1])
            if len(self._held) > TRAILER_BYTES:
                raise TrailerError(
                    f"flow trailer: more bytes follow it; {size_bytes} payload bytes were declared"
                )
        return (payload,) if len(payload) else ()

    def _feed_open(self, chunk: memoryview) -> tuple[Piece, ...]:
        tail = bytes(chunk[-TRAILER_BYTES:])
        if len(tail) < TRAILER_BYTES:
            tail = self._held[len(tail) - TRAILER_BYTES :] + tail
        part = trailer_part_bytes(tail)
        keep = tail[len(tail) - part :]
        if part <= len(chunk):
            pieces: tuple[Piece, ...] = (self._held, chunk[: len(chunk) - part])
        else:
            pieces = (self._held[: len(self._held) + len(chunk) - part],)
        self._held = keep
        return tuple(piece for piece in pieces if len(piece))


def _of(size_bytes: int | None) -> str:
    return "" if size_bytes is None else f" of {size_bytes} declared"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a receiver can say about a flow that ended.

    `complete`: header and trailer were intact and the length agrees. `sha256_ok`: complete, and
    the digest of what arrived is the one in the trailer; never for an unhashed flow. `error` is
    empty if nothing is wrong.
    """

    payload_bytes: int
    sha256: bytes
    complete: bool
    sha256_ok: bool
    error: str


class StreamVerifier:
    """A `StreamParser` that hashes the payload and judges the flow at its end."""

    def __init__(self, run: str, checkpoints: Checkpoints | None = None) -> None:
        """`checkpoints`: where the running hashes of the payload are kept."""
        self._run = run
        self._parser = StreamParser()
        self._checkpoints = checkpoints if checkpoints is not None else Checkpoints()
        self._hash = hashlib.sha256()
        self._hashed_bytes = 0
        self._token_checked = False

    @property
    def header(self) -> FlowHeader | None:
        """The flow's header once it was read."""
        return self._parser.header

    @property
    def payload_bytes(self) -> int:
        """Payload bytes seen (and hashed) so far."""
        return self._parser.payload_bytes

    def feed(self, chunk: memoryview) -> int:
        """Take the next bytes of the stream; give the number of payload bytes among them.

        Raises FramingError as soon as the stream cannot be an intact flow of this run.
        """
        before = self._parser.payload_bytes
        pieces = self._parser.feed(chunk)
        if self._parser.header is not None and self._parser.header.hashed:
            for piece in pieces:
                self._update(memoryview(piece))
        if not self._token_checked:
            self._check_token()
        return self._parser.payload_bytes - before

    def _update(self, piece: memoryview) -> None:
        while len(piece):
            part = piece[: self._checkpoints.until_next(self._hashed_bytes)]
            self._hash.update(part)
            self._hashed_bytes += len(part)
            self._checkpoints.note(self._hashed_bytes, self._hash)
            piece = piece[len(part) :]

    def finish(self) -> Verdict:
        """The stream has ended (or was given up): the judgement."""
        digest = self._hash.digest()
        try:
            trailer = self._parser.finish()
        except FramingError as error:
            return Verdict(self.payload_bytes, digest, False, False, str(error))
        if self._parser.header is not None and not self._parser.header.hashed:
            return Verdict(self.payload_bytes, b"", True, False, "")
        if trailer.sha256 != digest:
            error_text = (
                f"payload damaged: SHA-256 {digest.hex()} arrived, {trailer.sha256.hex()} was sent"
            )
            return Verdict(self.payload_bytes, digest, True, False, error_text)
        return Verdict(self.payload_bytes, digest, True, True, "")

    def _check_token(self) -> None:
        header = self._parser.header
        if header is None:
            return
        self._token_checked = True
        if header.custody:
            raise HeaderError(
                f"flow header: flow {header.flow_id} is in custody, and this node was not told to "
                "take part in it; listen with custody"
            )
        if header.token != flow_token(self._run, header.flow_id):
            raise HeaderError(
                f"flow header: flow {header.flow_id} does not belong to run {self._run!r}; "
                "it comes from another run"
            )
