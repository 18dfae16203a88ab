"""Bandwidth-delay product and optimal buffer: sentinel_bdp.h."""

from __future__ import annotations

from sentinel_bpf.reference.state import MASK64, HalfState

RATE_MAX_BPS = 2**40 - 1
RTT_MAX_NS = 2**32 - 1
FACTOR_MAX_Q16 = 2**17
PATTERN_FACTOR_ONE = 65536
UNITS_PER_BYTE = 1953125
UNITS_PER_FIVE = 9765625
RECIPROCAL = 2**63 // UNITS_PER_FIVE
FRACTION_SHIFT = 43


def bdp_units(throughput_bps: int, srtt_ns: int) -> int:
    """sentinel_bdp_units(): the BDP in 1/1953125 bytes."""
    rate, rtt = min(throughput_bps, RATE_MAX_BPS), min(srtt_ns, RTT_MAX_NS)
    high = (((rate >> 20) * rtt) << 8) & MASK64
    low = (((rate & 0xFFFFF) * rtt) & MASK64) >> 12
    return (high + low) & MASK64


def split(units: int) -> tuple[int, int]:
    """sentinel_bdp_split(): units / 9765625, whole and as a fraction of 2**43."""
    whole, rest = divmod(units, UNITS_PER_FIVE)
    return whole, (((rest * RECIPROCAL) & MASK64) >> 20) + 16


def bdp_bytes(units: int) -> int:
    """The BDP, rounded down."""
    whole, fraction = split(units)
    return 5 * whole + ((5 * fraction) >> FRACTION_SHIFT)


def optimal_buffer(units: int, pattern_factor_q16: int) -> int:
    """sentinel_optimal_buffer(): in bytes."""
    whole, fraction = split(units)
    sixths = 6 * min(pattern_factor_q16, FACTOR_MAX_Q16)
    product = ((fraction * sixths) & MASK64) >> FRACTION_SHIFT
    return ((whole * sixths + product) & MASK64) >> 16


def publish_bdp(half: HalfState, pattern_factor_q16: int) -> None:
    """sentinel_publish_bdp()."""
    units = bdp_units(half.throughput_bps, half.srtt_ns_x8 >> 3)
    half.bdp_bytes = bdp_bytes(units)
    half.optimal_buffer_size = optimal_buffer(units, pattern_factor_q16)
