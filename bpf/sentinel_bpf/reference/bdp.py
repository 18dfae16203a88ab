"""Bandwidth-delay product and optimal buffer: sentinel_bdp.h."""

from __future__ import annotations

from sentinel_bpf.reference.state import MASK64, HalfState

RATE_MAX_BPS = 2**40 - 1
RTT_MAX_NS = 2**32 - 1
FACTOR_MAX_Q16 = 2**17
PATTERN_FACTOR_ONE = 65536
UNITS_PER_BYTE = 1953125
UNITS_PER_SIXTH = 9765625


def bdp_units(throughput_bps: int, srtt_ns: int) -> int:
    """sentinel_bdp_units(): the BDP in 1/1953125 bytes."""
    rate, rtt = min(throughput_bps, RATE_MAX_BPS), min(srtt_ns, RTT_MAX_NS)
    high = (((rate >> 20) * rtt) << 8) & MASK64
    low = (((rate & 0xFFFFF) * rtt) & MASK64) >> 12
    return (high + low) & MASK64


def optimal_buffer(units: int, pattern_factor_q16: int) -> int:
    """sentinel_optimal_buffer(): in bytes."""
    sixths = 6 * min(pattern_factor_q16, FACTOR_MAX_Q16)
    whole, rest = divmod(units, UNITS_PER_SIXTH)
    product = (whole * sixths) & MASK64
    return ((product + ((rest * sixths) & MASK64) // UNITS_PER_SIXTH) & MASK64) >> 16


def publish_bdp(half: HalfState, pattern_factor_q16: int) -> None:
    """sentinel_publish_bdp()."""
    units = bdp_units(half.throughput_bps, half.srtt_ns_x8 >> 3)
    half.bdp_bytes = units // UNITS_PER_BYTE
    half.optimal_buffer_size = optimal_buffer(units, pattern_factor_q16)
