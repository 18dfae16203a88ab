"""Reads the counters of a wire's qdiscs over netlink, without starting a process each time."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from pyroute2.netlink.rtnl.marshal import MarshalRtnl

from sentinel_sim.errors import EmulationError
from sentinel_sim.wire.names import WireNames
from sentinel_sim.wire.rate import RateCounters
from sentinel_sim.wire.wire import SIDES

HANDLE_ROOT = 0x10000
HANDLE_CONTROL = 0x100000
HANDLE_DATA = 0x200000
"""1:, 10: and 20: as rate.py makes them (tc handles are hexadecimal)."""


NLMSG_ERROR = 2
NLMSG_DONE = 3
RTM_NEWQDISC = 36
RTM_GETQDISC = 38
NLM_F_REQUEST_DUMP = 0x301
NETLINK_HEADER = struct.Struct("=IHHII")
TRAFFIC_CONTROL_MESSAGE = struct.Struct("=B3xiIII")
"""linux/rtnetlink.h: struct tcmsg; all zero: the qdiscs of every interface."""
DUMP_REQUEST = NETLINK_HEADER.pack(
    NETLINK_HEADER.size + TRAFFIC_CONTROL_MESSAGE.size, RTM_GETQDISC, NLM_F_REQUEST_DUMP, 1, 0
) + TRAFFIC_CONTROL_MESSAGE.pack(0, 0, 0, 0, 0)
DATAGRAM_BYTES_MOST = 1 << 17
ANSWER_TIMEOUT_S = 10.0


class Message(Protocol):
    """A netlink message of pyroute2: fields as items, attributes by name."""

    def __getitem__(self, name: str) -> int: ...

    def get_attr(self, name: str) -> Any: ...  # noqa: ANN401 - whatever the attribute holds


def _stats(message: Message) -> tuple[dict[str, int], dict[str, int]]:
    nested = message.get_attr("TCA_STATS2")
    return nested.get_attr("TCA_STATS_BASIC"), nested.get_attr("TCA_STATS_QUEUE")


def rate_counters(messages: Iterable[Message], interface_index: int) -> RateCounters:
    """The rate stage on one interface, from a dump of the namespace's qdiscs."""
    by_handle = {
        message["handle"]: _stats(message)
        for message in messages
        if message["index"] == interface_index and message["handle"]
    }
    root_basic, root_queue = by_handle[HANDLE_ROOT]
    control_basic, control_queue = by_handle.get(HANDLE_CONTROL, ({"bytes": 0}, {"drops": 0}))
    _, data_queue = by_handle.get(HANDLE_DATA, (root_basic, root_queue))
    return RateCounters(
        bytes_sent=root_basic["bytes"],
        packets_sent=root_basic["packets"],
        dropped=data_queue["drops"] + control_queue["drops"],
        backlog_bytes=data_queue["backlog"],
        control_bytes=control_basic["bytes"],
    )


class WireReading(NamedTuple):
    """The rate stages of one wire at one moment."""

    counters: dict[str, RateCounters]
    """By the side from which the packets come."""
    asked_ns: int
    answered_ns: int
    """CLOCK_MONOTONIC; the counters are of a moment between the two."""


def message_types(datagram: bytes) -> list[int]:
    """The types of the netlink messages in one datagram (netlink(7))."""
    types = []
    offset = 0
    while offset + NETLINK_HEADER.size <= len(datagram):
        length, kind, _, _, _ = NETLINK_HEADER.unpack_from(datagram, offset)
        types.append(kind)
        offset += max((length + 3) & ~3, NETLINK_HEADER.size)
    return types


class WireQdiscReader:
    """Reads one wire's rate stages; made and used in a thread that is inside its namespace.

    The dump is asked for by hand and only taken apart by pyroute2, afterwards: decoding takes
    milliseconds, and the counters are worth as much as the time they are known to be from.
    (pyroute2's own `netns=` would moreover fork a helper and end it with SIGTERM, which the
    fork's copy of asyncio's wakeup descriptor passes on to this process as if it had been told
    to stop.)
    """

    def __init__(self, names: WireNames) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
        self._socket.settimeout(ANSWER_TIMEOUT_S)
        self._socket.bind((0, 0))
        self._marshal: Any = MarshalRtnl()
        self._index = {side: socket.if_nametoindex(names.mid(side)) for side in SIDES}

    def read(self) -> WireReading:
        """Counters of both directions. Raises EmulationError if the kernel refuses or is mute."""
        asked_ns = time.monotonic_ns()
        datagrams = self._dump()
        answered_ns = time.monotonic_ns()
        messages = [
            message
            for datagram in datagrams
            for message in self._marshal.parse(datagram)
            if message["header"]["type"] == RTM_NEWQDISC
        ]
        counters = {side: rate_counters(messages, index) for side, index in self._index.items()}
        return WireReading(counters, asked_ns, answered_ns)

    def _dump(self) -> list[bytes]:
        datagrams: list[bytes] = []
        try:
            self._socket.send(DUMP_REQUEST)
            while True:
                datagrams.append(self._socket.recv(DATAGRAM_BYTES_MOST))
                types = message_types(datagrams[-1])
                if NLMSG_ERROR in types:
                    raise EmulationError("the kernel refused to list a wire's qdiscs")
                if NLMSG_DONE in types:
                    return datagrams
        except OSError as error:
            raise EmulationError(f"a wire's qdiscs cannot be read: {error}") from error

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
