"""Round-trip probes: ICMP echo over an emulated path, timed by the kernel on return.

A probe's start is read just before it is sent, and kept; its end is the kernel's receive stamp
(SO_TIMESTAMPNS), so that a busy controller does not lengthen what it measures.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import struct
import time
from dataclasses import dataclass, field

from sentinel_bpf.netns import run_in_netns
from sentinel_sim.wire.names import NAMESPACE_DIRECTORY

ICMP_ECHO_REQUEST = 8
ICMP_ECHO_REPLY = 0
SO_TIMESTAMPNS = 35
PAYLOAD_BYTES = 32
_identifiers = itertools.count(0x5E00)


def checksum(data: bytes) -> int:
    """Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo_request(identifier: int, sequence: int) -> bytes:
    """An ICMP echo request (RFC 792)."""
    body = struct.pack("!HH", identifier, sequence) + bytes(PAYLOAD_BYTES)
    unsummed = struct.pack("!BBH", ICMP_ECHO_REQUEST, 0, 0) + body
    return struct.pack("!BBH", ICMP_ECHO_REQUEST, 0, checksum(unsummed)) + body


def parse_reply(packet: bytes, identifier: int) -> int | None:
    """The sequence number of an echo reply to us; None for any other packet."""
    header_bytes = (packet[0] & 0x0F) * 4
    if len(packet) < header_bytes + 8:
        return None
    kind, _, _, its_identifier, sequence = struct.unpack_from("!BBHHH", packet, header_bytes)
    if kind != ICMP_ECHO_REPLY or its_identifier != identifier:
        return None
    return int(sequence)


def kernel_stamp_ns(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    """The kernel's receive time (CLOCK_REALTIME) among a message's control data."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = struct.unpack("qq", data[:16])
            return int(seconds) * 1_000_000_000 + int(nanoseconds)
    return None


@dataclass
class Prober:
    """Sends echo requests from one node to an address and collects round-trip times."""

    namespace: str
    source: str
    target: str
    _sent_ns: dict[int, int] = field(default_factory=dict)
    rtt_ns: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._identifier = next(_identifiers) & 0xFFFF
        self._socket = run_in_netns(NAMESPACE_DIRECTORY / self.namespace, self._open)

    def _open(self) -> socket.socket:
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        raw.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        raw.setblocking(False)
        raw.bind((self.source, 0))
        raw.connect((self.target, 0))
        return raw

    def _receive(self, answered: asyncio.Event, wanted: int) -> None:
        while True:
            try:
                packet, ancillary, _, _ = self._socket.recvmsg(2048, 128)
            except BlockingIOError:
                return
            sequence = parse_reply(packet, self._identifier)
            stamp_ns = kernel_stamp_ns(ancillary)
            if sequence is None or stamp_ns is None or sequence not in self._sent_ns:
                continue
            self.rtt_ns.append(stamp_ns - self._sent_ns.pop(sequence))
            if len(self.rtt_ns) >= wanted:
                answered.set()

    async def probe(self, count: int, interval_s: float, patience_s: float) -> list[int]:
        """Send `count` requests, one every `interval_s`; return the round-trip times in ns.

        Waits at most `patience_s` after the last request; lost probes are simply missing.
        """
        loop = asyncio.get_running_loop()
        answered = asyncio.Event()
        first = len(self.rtt_ns)
        loop.add_reader(self._socket, self._receive, answered, first + count)
        try:
            for sequence in range(count):
                self._sent_ns[sequence & 0xFFFF] = time.time_ns()
                self._socket.send(echo_request(self._identifier, sequence & 0xFFFF))
                if sequence + 1 < count:
                    await asyncio.sleep(interval_s)
            with contextlib.suppress(TimeoutError):
                # Not wait_for(): until Python 3.12 it can swallow a cancellation.
                async with asyncio.timeout(patience_s):
                    await answered.wait()
        finally:
            loop.remove_reader(self._socket)
            self._sent_ns.clear()
        return self.rtt_ns[first:]

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
