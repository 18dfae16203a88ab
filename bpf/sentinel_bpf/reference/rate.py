"""Throughput of a half: sentinel_rate.h."""

from __future__ import annotations

from sentinel_bpf.reference.state import MASK64, HalfState

TICK_SHIFT = 20
HALF_TICK_SHIFT = 19
QUARTER_TICK_NS = 1 << 18
INTERVAL_BYTES_MAX = 0x7FFFFFFF
BITS_NS_PER_BYTE_S = 8_000_000_000
AVERAGE_SHIFT = 4


def average_x16(previous_x16: int, rate_bps: int, elapsed_ns: int) -> int:
    """sentinel_average(): the new average in bits/s, times 16."""
    weight = (elapsed_ns + QUARTER_TICK_NS) >> HALF_TICK_SHIFT
    if not previous_x16 or weight >= 1 << AVERAGE_SHIFT:
        return (rate_bps << AVERAGE_SHIFT) & MASK64
    decay = ((previous_x16 * weight) & MASK64) >> AVERAGE_SHIFT
    return (previous_x16 - decay + rate_bps * weight) & MASK64


def is_new_tick(half: HalfState, now_ns: int) -> bool:
    """sentinel_is_new_tick()."""
    return (now_ns ^ half.last_timestamp) >> TICK_SHIFT != 0


def close_interval(half: HalfState, now_ns: int) -> bool:
    """sentinel_close_interval(): False if the interval is too short to be closed."""
    elapsed_ns = (now_ns - half.interval_start_ns) & MASK64
    if elapsed_ns < 1 << HALF_TICK_SHIFT or elapsed_ns >> 63:
        return False
    total = min((half.bytes_total - half.interval_start_bytes) & MASK64, INTERVAL_BYTES_MAX)
    rate_bps = total * BITS_NS_PER_BYTE_S // elapsed_ns
    half.throughput_window_bps = rate_bps
    half.throughput_bps_x16 = average_x16(half.throughput_bps_x16, rate_bps, elapsed_ns)
    half.throughput_bps = half.throughput_bps_x16 >> AVERAGE_SHIFT
    half.interval_start_ns = now_ns
    half.interval_start_bytes = half.bytes_total
    return True
