"""Sweep flows that have been silent for long out of the maps.

The maps are LRU and never full, but an entry that nobody will use again is in the way of whoever
reads them. The program itself begins a half anew when its flow is reborn (sentinel_guard.h), so
sweeping is about tidiness and cost, not about right or wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

from sentinel_bpf import abi, maps, syscalls

IDLE_NS = abi.FLOW_IDLE_NS
"""Two minutes (RFC 4787, REQ-5); a TCP connection that is silent for longer is entered anew."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """What one sweep did."""

    seen: int
    removed: int


def sweep_idle(fd: int, *, now_ns: int, idle_ns: int = IDLE_NS) -> Sweep:
    """Remove the flows of one map of which neither direction sent since `now_ns - idle_ns`.

    A flow that wakes up between being read and being removed loses its counters and is entered
    anew with its next packet. Raises BpfError.
    """
    idle = []
    seen = 0
    for key, value in maps.items(fd):
        seen += 1
        flow = abi.Flow.from_buffer_copy(value)
        latest_ns = max(flow.forward.last_timestamp, flow.backward.last_timestamp)
        if now_ns - latest_ns > idle_ns:
            idle.append(key)
    # Afterwards: removing while the map is being read would make the reading miss entries.
    removed = sum(syscalls.map_delete(fd, key) for key in dict.fromkeys(idle))
    return Sweep(seen, removed)
