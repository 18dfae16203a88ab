"""Frames made by hand, for test runs and benchmarks: only what the FSU's parser looks at is right.

Checksums are left zero: XDP sees packets before anybody checks them.
"""

from __future__ import annotations

import socket
import struct

ETH_IPV4 = 0x0800
ETH_ARP = 0x0806
ETH_VLAN = 0x8100
ETH_IPV6 = 0x86DD
ETH_QINQ = 0x88A8
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58

_MACS = bytes.fromhex("020000000002020000000001")


def ethernet(payload: bytes, ethertype: int, *tags: tuple[int, int]) -> bytes:
    """A frame; `tags` are (ethertype of the tag, tag control information), outermost first."""
    header = _MACS
    for tag_type, control in tags:
        header += struct.pack(">HH", tag_type, control)
    return header + struct.pack(">H", ethertype) + payload


def tcp(
    source: int = 40000,
    target: int = 5201,
    payload: bytes = b"",
    *,
    options: bytes = b"",
    sequence: int = 1,
    acknowledgement: int = 1,
    data_offset: int | None = None,
    flags: int = 0x10,
) -> bytes:
    """A TCP segment; `options` in multiples of 4 bytes, `data_offset` in words, right if None."""
    words = 5 + len(options) // 4 if data_offset is None else data_offset
    header = struct.pack(
        ">HHIIBBHHH", source, target, sequence, acknowledgement, words << 4, flags, 65535, 0, 0
    )
    return header + options + payload


def timestamps(value: int, echo: int) -> bytes:
    """The TCP timestamps option as nearly all segments carry it: behind two NOPs."""
    return struct.pack(">BBBBII", 1, 1, 8, 10, value, echo)


def udp(
    source: int = 40000, target: int = 53, payload: bytes = b"", *, length: int | None = None
) -> bytes:
    """A UDP datagram; `length` as in its header, right if None."""
    size = 8 + len(payload) if length is None else length
    return struct.pack(">HHHH", source, target, size, 0) + payload


def ipv4(
    payload: bytes,
    protocol: int = TCP,
    *,
    source: str = "10.0.0.1",
    target: str = "10.0.0.2",
    options: bytes = b"",
    fragment: int = 0,
    total_length: int | None = None,
    header_words: int | None = None,
    version: int = 4,
) -> bytes:
    """An IPv4 packet; lengths are right if None. `fragment`: flags and offset, host order."""
    words = 5 + len(options) // 4 if header_words is None else header_words
    size = 20 + len(options) + len(payload) if total_length is None else total_length
    header = struct.pack(
        ">BBHHHBBH4s4s",
        version << 4 | words,
        0,
        size,
        1,
        fragment,
        64,
        protocol,
        0,
        socket.inet_aton(source),
        socket.inet_aton(target),
    )
    return header + options + payload


def ipv6(
    payload: bytes,
    next_header: int = TCP,
    *,
    source: str = "fd00::1",
    target: str = "fd00::2",
    payload_length: int | None = None,
    version: int = 6,
) -> bytes:
    """An IPv6 packet; extension headers are part of `payload`."""
    size = len(payload) if payload_length is None else payload_length
    return (
        struct.pack(">IHBB", version << 28, size, next_header, 64)
        + socket.inet_pton(socket.AF_INET6, source)
        + socket.inet_pton(socket.AF_INET6, target)
        + payload
    )


def extension(next_header: int, *, units: int = 0) -> bytes:
    """A hop-by-hop, routing or destination header of 8 x (units + 1) bytes."""
    return bytes((next_header, units)) + bytes(6 + 8 * units)


def fragment_header(next_header: int, *, offset: int = 0, more: bool = False) -> bytes:
    """An IPv6 fragment header; `offset` in units of 8 bytes."""
    return struct.pack(">BBHI", next_header, 0, offset << 3 | more, 7)
