"""Echoes over one link, sent all the time while a supervisor watches it.

As BFD's echo function (RFC 5880, section 6.4): the far end only sends back. Each time one goes out
that is marked for the control band, which no full queue can hold up, and one that is not: a link
is alive as long as either comes back, also when only its control channel is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import struct

from sentinel_bpf.netns import run_in_netns
from sentinel_sim.backends.emulated.prober import echo_request, parse_reply
from sentinel_sim.wire.names import NAMESPACE_DIRECTORY
from sentinel_sim.wire.rate import CONTROL_TOS

_identifiers = itertools.count(0xBF00)


class LinkEcho:
    """One end of a link asks the other; `close` ends it."""

    _CLASSES = (CONTROL_TOS, 0)

    def __init__(self, namespace: str, source: str, target: str) -> None:
        self._identifier = next(_identifiers) & 0xFFFF
        self._sequence = 0
        self._source, self._target = source, target
        self._socket = run_in_netns(NAMESPACE_DIRECTORY / namespace, self._open)

    def _open(self) -> socket.socket:
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        raw.setblocking(False)
        raw.bind((self._source, 0))
        raw.connect((self._target, 0))
        return raw

    def send(self) -> None:
        """One request of each class; what cannot be sent is lost, as on the link."""
        for tos in self._CLASSES:
            self._sequence = (self._sequence + 1) & 0xFFFF
            request = echo_request(self._identifier, self._sequence)
            mark = (socket.IPPROTO_IP, socket.IP_TOS, struct.pack("i", tos))
            with contextlib.suppress(OSError):
                self._socket.sendmsg([request], [mark])

    def fileno(self) -> int:
        """For the event loop: readable when a reply may be there."""
        return self._socket.fileno()

    def received(self) -> int:
        """How many replies have come since the last call."""
        count = 0
        while True:
            try:
                packet = self._socket.recv(2048)
            except BlockingIOError:
                return count
            count += parse_reply(packet, self._identifier) is not None

    def close(self) -> None:
        """Close the socket; take it from the event loop first."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
