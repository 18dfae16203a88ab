"""Reads the counters of a wire's qdiscs over netlink, without starting a process each time."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any, Protocol

from pyroute2 import IPRoute

from sentinel_sim.wire.names import WireNames
from sentinel_sim.wire.rate import RateCounters
from sentinel_sim.wire.wire import SIDES

HANDLE_ROOT = 0x10000
HANDLE_CONTROL = 0x100000
HANDLE_DATA = 0x200000
"""1:, 10: and 20: as rate.py makes them (tc handles are hexadecimal)."""


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


class WireQdiscReader:
    """Reads one wire's rate stages; made and used in a thread that is inside its namespace.

    pyroute2 opens its sockets in whichever thread uses it. Its own `netns=` would fork a helper
    and end it with SIGTERM, which the fork's copy of asyncio's wakeup descriptor passes on to
    this process as if it had been told to stop.
    """

    def __init__(self, names: WireNames) -> None:
        self._route: Any = IPRoute()
        self._index = {side: socket.if_nametoindex(names.mid(side)) for side in SIDES}

    def read(self) -> dict[str, RateCounters]:
        """Counters of both directions, by the side from which the packets come."""
        messages = list(self._route.get_qdiscs())
        return {side: rate_counters(messages, index) for side, index in self._index.items()}

    def close(self) -> None:
        """Close the socket."""
        self._route.close()
