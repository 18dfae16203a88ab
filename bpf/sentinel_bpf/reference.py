"""The arithmetic of sentinel_flow.h in Python integers, bit for bit.

For tests, and for whoever needs the FSU's view of a flow without a kernel. Every operation of the
C code is on unsigned 64-bit integers; results are masked where C could wrap.
"""

from __future__ import annotations

from dataclasses import dataclass

MASK64 = 2**64 - 1
INTERVAL_SHIFT = 20
INTERVAL_BYTES_MAX = 0x7FFFFFFF
BITS_NS_PER_BYTE_S = 8_000_000_000
AVERAGE_INTERVALS = 8


@dataclass(slots=True)
class HalfState:
    """struct sentinel_flow_half; names and units as there."""

    bytes_total: int = 0
    packets_total: int = 0
    last_timestamp: int = 0
    avg_packet_size: int = 0
    throughput_bps: int = 0
    interval_start_ns: int = 0
    interval_bytes: int = 0
    throughput_bps_x8: int = 0
    rtt_us: int = 0
    optimal_buffer_size: int = 0

    def observe(self, packet_bytes: int, now_ns: int) -> None:
        """One more packet: sentinel_count()."""
        packets = (self.packets_total + 1) & MASK64
        total = (self.bytes_total + packet_bytes) & MASK64
        if packets == 1:
            self.interval_start_ns = now_ns
        else:
            self._throughput(packet_bytes, now_ns)
        self.bytes_total = total
        self.packets_total = packets
        self.last_timestamp = now_ns
        self.avg_packet_size = total // packets

    def _throughput(self, packet_bytes: int, now_ns: int) -> None:
        elapsed_ns = (now_ns - self.interval_start_ns) & MASK64
        total = min((self.interval_bytes + packet_bytes) & MASK64, INTERVAL_BYTES_MAX)
        if elapsed_ns >> INTERVAL_SHIFT == 0:
            self.interval_bytes = total
            return
        rate_bps = ((total * BITS_NS_PER_BYTE_S) & MASK64) // elapsed_ns
        self.throughput_bps_x8 = average_x8(self.throughput_bps_x8, rate_bps, elapsed_ns)
        self.throughput_bps = self.throughput_bps_x8 >> 3
        self.interval_start_ns = now_ns
        self.interval_bytes = 0


def average_x8(previous_x8: int, rate_bps: int, elapsed_ns: int) -> int:
    """sentinel_average(): the new average, times eight."""
    intervals = elapsed_ns >> INTERVAL_SHIFT
    if not previous_x8 or intervals >= AVERAGE_INTERVALS:
        return (rate_bps * 8) & MASK64
    decay = ((previous_x8 * intervals) & MASK64) >> 3
    return (previous_x8 - decay + rate_bps * intervals) & MASK64
