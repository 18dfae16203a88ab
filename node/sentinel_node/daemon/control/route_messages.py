"""The two rtnetlink messages that start windows take, as bytes (rtnetlink(7), linux/rtnetlink.h).

A flow waits while its start window is set. pyroute2 takes 2.7 ms of CPU to find one route and to
replace it, and 12 ms when the host is busy; these bytes take 0.04 ms. Nothing else is spoken here.

The answer to the question is kept as the kernel gave it, and goes back with other metrics: what
this module does not know (MTU, congestion control, next hop of any kind) stays as it was.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

RTM_NEWROUTE, RTM_GETROUTE = 24, 26
NLMSG_ERROR = 2
_REQUEST, _ACK, _REPLACE, _CREATE = 0x1, 0x4, 0x100, 0x400
_FIB_MATCH = 0x2000
"""RTM_F_FIB_MATCH (Linux 4.13): the route as it was added, not what came of it."""
_UNICAST = 1
_ALIGN = 4
_DST, _METRICS, _CACHEINFO = 1, 8, 12
INITCWND, INITRWND = 11, 14
"""RTAX_INITCWND and RTAX_INITRWND, in packets."""

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ROUTE = struct.Struct("=BBBBBBBBI")  # family, dst_len, src_len, tos, table, protocol, scope, type
_ATTRIBUTE = struct.Struct("=HH")
_ERROR = struct.Struct("=i")
_TYPE_MASK = 0x3FFF
_NESTED = 0x8000


class MalformedAnswerError(ValueError):
    """What the kernel sent is no answer to these questions."""


@dataclass(frozen=True, slots=True)
class HostRoute:
    """The IPv4 unicast route to one address, as the kernel told it."""

    fixed: bytes
    """struct rtmsg."""
    attributes: tuple[tuple[int, bytes], ...]
    metrics: tuple[tuple[int, bytes], ...]


def question(address: str) -> bytes:
    """Which route leads to `address`?"""
    fixed = _ROUTE.pack(socket.AF_INET, 32, 0, 0, 0, 0, 0, 0, _FIB_MATCH)
    wanted = fixed + _attribute(_DST, socket.inet_aton(address))
    return _message(RTM_GETROUTE, _REQUEST, wanted)


def replacement(route: HostRoute, metrics: tuple[tuple[int, bytes], ...]) -> bytes:
    """The same route with other metrics."""
    attributes = b"".join(_attribute(kind, data) for kind, data in route.attributes)
    if metrics:
        nested = b"".join(_attribute(kind, data) for kind, data in metrics)
        attributes += _attribute(_METRICS | _NESTED, nested)
    flags = _REQUEST | _ACK | _CREATE | _REPLACE
    return _message(RTM_NEWROUTE, flags, route.fixed + attributes)


def with_windows(
    metrics: tuple[tuple[int, bytes], ...], windows: dict[int, int]
) -> tuple[tuple[int, bytes], ...]:
    """The metrics with these in packets; 0 takes one away."""
    kept = tuple(one for one in metrics if one[0] not in windows)
    return kept + tuple((kind, struct.pack("=I", n)) for kind, n in windows.items() if n)


def error_of(answer: bytes) -> int | None:
    """The errno of an error message, 0 for an acknowledgement, None for anything else."""
    kind, body = _open(answer)
    if kind != NLMSG_ERROR:
        return None
    if len(body) < _ERROR.size:
        raise MalformedAnswerError(f"an error message of {len(body)} bytes")
    code: int = -_ERROR.unpack_from(body)[0]
    return code


def host_route(answer: bytes) -> HostRoute | None:
    """The route that was asked for; None if it is none for one address alone."""
    kind, body = _open(answer)
    if kind != RTM_NEWROUTE or len(body) < _ROUTE.size:
        raise MalformedAnswerError(f"message {kind} of {len(body)} bytes, and no route")
    family, prefix, src_len, tos, table, protocol, scope, route_type, _ = _ROUTE.unpack_from(body)
    if (family, prefix, route_type) != (socket.AF_INET, 32, _UNICAST):
        return None
    # The flags say how the route is doing (offloaded, link down), and are not for the way back.
    fixed = _ROUTE.pack(family, prefix, src_len, tos, table, protocol, scope, route_type, 0)
    found = dict(_attributes(body[_ROUTE.size :]))
    metrics = tuple(_attributes(found.pop(_METRICS, b"")))
    found.pop(_CACHEINFO, None)
    return HostRoute(fixed, tuple(found.items()), metrics)


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body


def _attribute(kind: int, data: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(data)
    return _ATTRIBUTE.pack(length, kind) + data + bytes(-length % _ALIGN)


def _open(answer: bytes) -> tuple[int, bytes]:
    if len(answer) < _HEADER.size:
        raise MalformedAnswerError(f"an answer of {len(answer)} bytes")
    length, kind, *_ = _HEADER.unpack_from(answer)
    if not _HEADER.size <= length <= len(answer):
        raise MalformedAnswerError(f"{len(answer)} bytes that say they are {length}")
    return kind, answer[_HEADER.size : length]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        length = _ATTRIBUTE.unpack_from(data)[0] if len(data) >= _ATTRIBUTE.size else 0
        if not _ATTRIBUTE.size <= length <= len(data):
            raise MalformedAnswerError(f"an attribute of {length} bytes in {len(data)}")
        kind = _ATTRIBUTE.unpack_from(data)[1] & _TYPE_MASK
        yield kind, data[_ATTRIBUTE.size : length]
        data = data[length + -length % _ALIGN :]
