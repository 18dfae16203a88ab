"""The FSU's work in user space: frames in, per-flow metrics out, on the integer reference.

What bpf/flow_math.c does per packet, in Python: parse, find the flow's entry, update the half of
the packet's direction. The arithmetic is sentinel_bpf.reference, which equals the kernel's bit for
bit; the parser covers Ethernet, VLAN and QinQ, IPv4, and IPv6 without extension headers. Frames
beyond that are counted as `not_covered`: the benchmark sends none.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, fields

from sentinel_bpf import abi
from sentinel_bpf.reference import HalfState

_ETH_IPV4, _ETH_IPV6 = 0x0800, 0x86DD
_TAGS = frozenset({0x8100, 0x88A8})
_WITH_PORTS = frozenset({6, 17, 33, 132, 136})
_FRAGMENT = 0x3FFF
_KEY4 = struct.Struct("<4s4s2s2sI")
_KEY6 = struct.Struct("<16s16s2s2sI")
_ETHERNET_BYTES = 14
UDP_HEADERS_BYTES = 42
"""Ethernet, IPv4 and UDP in front of a datagram that a socket hands out without them."""


@dataclass(slots=True)
class Entry:
    """struct sentinel_flow."""

    forward: HalfState = field(default_factory=HalfState)
    backward: HalfState = field(default_factory=HalfState)

    def to_bytes(self) -> bytes:
        """As it would stand in flow_metrics_map."""
        return _half_bytes(self.forward) + _half_bytes(self.backward)


def _half_bytes(half: HalfState) -> bytes:
    return bytes(abi.FlowHalf(**{one.name: getattr(half, one.name) for one in fields(half)}))


class FlowTable:
    """All flows seen. Keys are those of flow_metrics_map and flow_metrics6, as bytes."""

    def __init__(self) -> None:
        self.entries: dict[bytes, Entry] = {}
        self.packets = 0
        self.not_covered = 0

    def clear(self) -> None:
        """Forget everything."""
        self.__init__()  # type: ignore[misc]

    def observe_frame(self, frame: bytes, now_ns: int) -> None:
        """One frame as a packet socket hands it out. `now_ns` is CLOCK_MONOTONIC."""
        self.packets += 1
        ethertype = frame[12] << 8 | frame[13]
        at, ids = _ETHERNET_BYTES, 0
        while ethertype in _TAGS:
            ids = ids << 12 | (frame[at] & 0xF) << 8 | frame[at + 1]
            ethertype = frame[at + 2] << 8 | frame[at + 3]
            at += 4
        if ethertype == _ETH_IPV4:
            self._ipv4(frame, at, ids, now_ns)
        elif ethertype == _ETH_IPV6:
            self._ipv6(frame, at, ids, now_ns)
        else:
            self.not_covered += 1

    def observe_datagram(
        self, source: bytes, target: bytes, tags_protocol: int, payload_bytes: int, now_ns: int
    ) -> None:
        """One datagram as a socket hands it out; ends are address + port in network order."""
        self.packets += 1
        self._count(_KEY4, source, target, tags_protocol, payload_bytes + UDP_HEADERS_BYTES, now_ns)

    def _ipv4(self, frame: bytes, at: int, ids: int, now_ns: int) -> None:
        if (frame[at + 6] << 8 | frame[at + 7]) & _FRAGMENT or frame[at] >> 4 != 4:
            self.not_covered += 1
            return
        protocol = frame[at + 9]
        l4 = at + (frame[at] & 0xF) * 4
        ports = protocol in _WITH_PORTS
        source = frame[at + 12 : at + 16] + (frame[l4 : l4 + 2] if ports else b"\0\0")
        target = frame[at + 16 : at + 20] + (frame[l4 + 2 : l4 + 4] if ports else b"\0\0")
        self._count(_KEY4, source, target, ids << 8 | protocol, len(frame), now_ns)

    def _ipv6(self, frame: bytes, at: int, ids: int, now_ns: int) -> None:
        protocol, l4 = frame[at + 6], at + 40
        if protocol not in _WITH_PORTS:
            self.not_covered += 1
            return
        source = frame[at + 8 : at + 24] + frame[l4 : l4 + 2]
        target = frame[at + 24 : at + 40] + frame[l4 + 2 : l4 + 4]
        self._count(_KEY6, source, target, ids << 8 | protocol, len(frame), now_ns)

    def _count(
        self,
        form: struct.Struct,
        source: bytes,
        target: bytes,
        tags_protocol: int,
        frame_bytes: int,
        now_ns: int,
    ) -> None:
        # Bytes in network order compare as the numbers do.
        backward = source > target
        low, high = (target, source) if backward else (source, target)
        key = form.pack(low[:-2], high[:-2], low[-2:], high[-2:], tags_protocol)
        entry = self.entries.get(key)
        if entry is None:
            entry = self.entries[key] = Entry()
        (entry.backward if backward else entry.forward).observe(frame_bytes, now_ns)

    def packets_by_port(self) -> dict[int, int]:
        """Packets of each IPv4 flow of the benchmark, both directions, by its client's port."""
        return {
            int.from_bytes(key[8:10], "big"): one.forward.packets_total + one.backward.packets_total
            for key, one in self.entries.items()
            if len(key) == _KEY4.size
        }
