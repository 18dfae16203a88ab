"""How a flow in custody looks on disk: records, each with a check of its own.

    magic | kind | offset | length | CRC-32 | body

The first record of every file is the flow's header; bytes follow in the order of their offsets,
and the trailer once it is known. A record that was being written when the node died is torn: its
length or its check does not fit, and reading ends before it. What was synced before stays whole.
The CRC finds torn writes; damage by intent, or to the payload, the receiver's running hash finds.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from sentinel_node.core.framing import FlowHeader, FlowTrailer
from sentinel_node.errors import FramingError

MAGIC = b"SNTJ"
_RECORD = struct.Struct(">4sBxxxQII")
RECORD_BYTES = _RECORD.size
BODY_MAX_BYTES = 64 * 1024 * 1024


class Kind(IntEnum):
    """Of a record."""

    HEADER = 1
    DATA = 2
    TRAILER = 3


def record(kind: Kind, offset: int, body: Sequence[bytes | memoryview]) -> bytes:
    """What precedes `body` on disk. `offset`: of the flow's byte that the body begins with."""
    length = sum(map(len, body))
    check = zlib.crc32(_RECORD.pack(MAGIC, kind, offset, length, 0))
    for piece in body:
        check = zlib.crc32(piece, check)
    return _RECORD.pack(MAGIC, kind, offset, length, check)


@dataclass(frozen=True, slots=True)
class Extent:
    """Bytes [offset, offset + length) of the flow stand at `place` of the file."""

    offset: int
    place: int
    length: int


@dataclass(frozen=True, slots=True)
class JournalImage:
    """What can be read of one file."""

    header: FlowHeader | None
    trailer: FlowTrailer | None
    extents: tuple[Extent, ...]
    torn: bool
    """The file goes on with what is no record."""


def read_journal(read: Callable[[int, int], bytes], size_bytes: int) -> JournalImage:
    """Read a file from its beginning, as far as it is whole. `read`: (place, count) -> bytes."""
    header: FlowHeader | None = None
    trailer: FlowTrailer | None = None
    extents: list[Extent] = []
    place = 0
    while place < size_bytes:
        found = _read_record(read, place, size_bytes)
        if found is None:
            return JournalImage(header, trailer, tuple(extents), True)
        kind, offset, body = found
        try:
            if kind is Kind.HEADER:
                header = FlowHeader.decode(body)
            elif kind is Kind.TRAILER:
                trailer = FlowTrailer.decode(body)
            else:
                extents.append(Extent(offset, place + RECORD_BYTES, len(body)))
        except FramingError:
            return JournalImage(header, trailer, tuple(extents), True)
        place += RECORD_BYTES + len(body)
    return JournalImage(header, trailer, tuple(extents), False)


def _read_record(
    read: Callable[[int, int], bytes], place: int, size_bytes: int
) -> tuple[Kind, int, bytes] | None:
    head = read(place, RECORD_BYTES)
    if len(head) < RECORD_BYTES:
        return None
    magic, kind, offset, length, check = _RECORD.unpack(head)
    if magic != MAGIC or kind not in tuple(Kind) or length > BODY_MAX_BYTES:
        return None
    if _RECORD.pack(magic, kind, offset, length, check) != head:
        return None  # the padding, which the check does not cover
    if place + RECORD_BYTES + length > size_bytes:
        return None
    body = read(place + RECORD_BYTES, length)
    whole = zlib.crc32(body, zlib.crc32(_RECORD.pack(magic, kind, offset, length, 0)))
    return (Kind(kind), offset, body) if whole == check else None
