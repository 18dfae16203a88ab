"""The FSU's work in user space: packets in, per-flow metrics, BDP and prediction out.

The whole program in Python integers (sentinel_bpf.reference.fsu), which equals the kernel's bit for
bit. A relay of sockets has no frame to parse, only the two ends that the socket tells it: it enters
behind the parser, and is charged that much less.
"""

from __future__ import annotations

import struct

from sentinel_bpf.abi import Counter
from sentinel_bpf.reference.fsu import FlowState, FsuReference
from sentinel_bpf.training import weights

_KEY4 = struct.Struct("<4s4s2s2sI")
_LOW_PORT = slice(8, 10)
UDP_HEADERS_BYTES = 42
"""Ethernet, IPv4 and UDP in front of a datagram that a socket hands out without them."""


def shipped_table() -> FlowTable:
    """A table that predicts with the shipped network, as the kernel lanes do."""
    return FlowTable(network=weights.load().network)


class FlowTable(FsuReference):
    """All flows seen; `observe` takes frames as a packet socket hands them out."""

    def observe_datagram(
        self, source: bytes, target: bytes, protocol: int, payload_bytes: int, now_ns: int
    ) -> None:
        """One IPv4 datagram as a socket hands it out; ends are address + port, network order.

        `protocol` is the IP protocol; `now_ns` is CLOCK_MONOTONIC.
        """
        # Bytes in network order compare as the numbers do.
        backward = source > target
        low, high = (target, source) if backward else (source, target)
        key = _KEY4.pack(low[:-2], high[:-2], low[-2:], high[-2:], protocol)
        flow = self.flows.get(key)
        if flow is None:
            if not self._admit(now_ns):
                self.counters[Counter.FLOOD_REFUSED] += 1
                return
            flow = self.flows[key] = FlowState()
        own, other = flow.directions[backward], flow.directions[not backward]
        self._observe(own, other.half, None, (payload_bytes + UDP_HEADERS_BYTES, 1), now_ns)
        self.counters[Counter.FLOW4] += 1

    def clear(self) -> None:
        """Forget all flows and counts."""
        self.flows.clear()
        self.counters.clear()

    @property
    def packets(self) -> int:
        """IPv4 packets that were counted in their flow, since `clear`."""
        return self.counters[Counter.FLOW4]

    def packets_by_port(self) -> dict[int, int]:
        """Packets of each IPv4 flow, both directions, by the port of its low end."""
        return {
            int.from_bytes(key[_LOW_PORT], "big"): sum(
                side.half.packets_total for side in flow.directions
            )
            for key, flow in self.flows.items()
            if len(key) == _KEY4.size
        }
