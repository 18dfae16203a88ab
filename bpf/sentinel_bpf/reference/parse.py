"""From a frame to its flow: sentinel_packet.h and sentinel_tcp.h."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from sentinel_bpf.abi import Counter

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
OPTIONS_MAX = 10
EXTENSIONS_MAX = 6
VLAN_TAGS_MAX = 2

_TCP, _UDP, _FRAGMENT, _AH = 6, 17, 44, 51
_WITH_PORTS = frozenset({6, 17, 33, 132, 136})
_EXTENSIONS = frozenset({0, 43, 44, 51, 60, 135, 139, 140})
_TAGS = frozenset({0x8100, 0x88A8})
_ALIGNED_TIMESTAMPS = bytes((1, 1, 8, 10))
_tcp_header = struct.Struct(">HHIIBB").unpack_from
_two_words = struct.Struct(">II").unpack_from
_short = struct.Struct(">H").unpack_from


@dataclass(slots=True)
class Tcp:
    """struct sentinel_tcp."""

    sequence: int
    acknowledgement: int
    occupies: int
    """Sequence numbers: payload, SYN, FIN."""
    flags: int
    timestamps: tuple[int, int] | None
    """(TSval, TSecr)."""
    header_bytes: int


@dataclass(slots=True)
class Parsed:
    """Where a frame belongs."""

    outcome: Counter
    """FLOW4 or FLOW6."""
    key: bytes
    """As in the map."""
    backward: bool
    tcp: Tcp | None
    header_bytes: int
    """Before the payload of TCP or UDP, from the frame's first byte on."""


def parse(frame: bytes) -> Parsed | Counter:
    """sentinel_parse(): the flow, or why there is none."""
    at, ids = 14, 0
    (ethertype,) = _short(frame, 12)
    for _ in range(VLAN_TAGS_MAX):
        if ethertype not in _TAGS:
            break
        if at + 4 > len(frame):
            return Counter.PARSE_FAIL
        tag, ethertype = struct.unpack_from(">HH", frame, at)
        ids, at = ids << 12 | tag & 0xFFF, at + 4
    if ethertype == 0x0800:
        return _ipv4(frame, at, ids << 8)
    if ethertype == 0x86DD:
        return _ipv6(frame, at, ids << 8)
    return Counter.PARSE_FAIL if ethertype in _TAGS else Counter.NOT_IP


def _ipv4(frame: bytes, at: int, tags: int) -> Parsed | Counter:
    if at + 20 > len(frame) or frame[at] >> 4 != 4:
        return Counter.PARSE_FAIL
    header = (frame[at] & 15) * 4
    (total,) = _short(frame, at + 2)
    if header < 20 or total < header or total > len(frame) - at:
        return Counter.PARSE_FAIL
    if _short(frame, at + 6)[0] & 0x3FFF:
        return Counter.FRAGMENTS
    ends = frame[at + 12 : at + 16], frame[at + 16 : at + 20]
    return _flow(Counter.FLOW4, frame, at + header, (frame[at + 9], total - header), ends, tags)


def _ipv6(frame: bytes, at: int, tags: int) -> Parsed | Counter:
    if at + 40 > len(frame) or frame[at] >> 4 != 6:
        return Counter.PARSE_FAIL
    ends = frame[at + 8 : at + 24], frame[at + 24 : at + 40]
    (left,), protocol = _short(frame, at + 4), frame[at + 6]
    at += 40
    if left > len(frame) - at:
        return Counter.PARSE_FAIL
    for _ in range(EXTENSIONS_MAX):
        if protocol not in _EXTENSIONS:
            break
        size = _extension_bytes(frame, at, protocol) if left >= 8 else 0
        if not 0 < size <= left:
            return Counter.PARSE_FAIL
        if protocol == _FRAGMENT and (frame[at + 2] or frame[at + 3] & 0xF9):
            return Counter.FRAGMENTS
        protocol, left, at = frame[at], left - size, at + size
    if protocol in _EXTENSIONS:
        return Counter.PARSE_FAIL
    return _flow(Counter.FLOW6, frame, at, (protocol, left), ends, tags)


def _extension_bytes(frame: bytes, at: int, protocol: int) -> int:
    if at + 8 > len(frame):
        return 0
    if protocol == _FRAGMENT:
        return 8
    return (frame[at + 1] + 2) * 4 if protocol == _AH else (frame[at + 1] + 1) * 8


def _flow(
    outcome: Counter,
    frame: bytes,
    at: int,
    transport: tuple[int, int],
    ends: tuple[bytes, bytes],
    tags: int,
) -> Parsed | Counter:
    """The transport header, `transport` = (protocol, bytes), and with it the key."""
    protocol, length = transport
    ports, tcp, own_header = (bytes(2), bytes(2)), None, 8
    if protocol in _WITH_PORTS:
        if length < 8 or at + 8 > len(frame):
            return Counter.PARSE_FAIL
        if protocol == _TCP:
            tcp = read_tcp(frame, at, length)
            if tcp is None:
                return Counter.PARSE_FAIL
            own_header = tcp.header_bytes
        elif protocol == _UDP and not 8 <= _short(frame, at + 4)[0] <= length:
            return Counter.PARSE_FAIL
        ports = frame[at : at + 2], frame[at + 2 : at + 4]
    source, target = (ends[0], ports[0]), (ends[1], ports[1])
    backward = source > target
    low, high = (target, source) if backward else (source, target)
    key = b"".join((low[0], high[0], low[1], high[1], (tags | protocol).to_bytes(4, "little")))
    return Parsed(outcome, key, backward, tcp, at + own_header)


def read_tcp(frame: bytes, at: int, length: int) -> Tcp | None:
    """sentinel_read_tcp(): None if the segment is malformed."""
    if at + 20 > len(frame):
        return None
    _, _, sequence, acknowledgement, offset, flags = _tcp_header(frame, at)
    header = (offset >> 4) * 4
    if not 20 <= header <= length:
        return None
    occupies = length - header + (flags & FIN) + ((flags & SYN) >> 1)
    timestamps = None
    if header >= 32 and frame[at + 20 : at + 24] == _ALIGNED_TIMESTAMPS:
        timestamps = _two_words(frame, at + 24)
    elif header > 20:
        timestamps = search_timestamps(frame, at + 20, header - 20)
    return Tcp(sequence, acknowledgement, occupies, flags, timestamps, header)


def search_timestamps(frame: bytes, at: int, length: int) -> tuple[int, int] | None:
    """sentinel_search_timestamps(): options in any order."""
    offset = 0
    for _ in range(OPTIONS_MAX):
        if offset >= length or at + offset + 2 > len(frame):
            return None
        kind, size = frame[at + offset], frame[at + offset + 1]
        if kind == 0:
            return None
        if kind == 1:
            offset += 1
            continue
        if kind == 8:
            fits = size == 10 and offset + 10 <= length and at + offset + 10 <= len(frame)
            return _two_words(frame, at + offset + 2) if fits else None
        if size < 2:
            return None
        offset += size
    return None
