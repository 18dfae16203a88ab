"""BDP and optimal buffer against exact rational arithmetic, over the whole range."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sentinel_bpf.reference.bdp import (
    FACTOR_MAX_Q16,
    RATE_MAX_BPS,
    RECIPROCAL,
    RTT_MAX_NS,
    UNITS_PER_BYTE,
    UNITS_PER_FIVE,
    bdp_bytes,
    bdp_units,
    optimal_buffer,
    split,
)

SAFETY_MARGIN = Fraction(12, 10)
WORST_LOSS = Fraction(12, 9765625)
"""Bytes lost by rounding the units down, at the largest factor."""
EXCESS = Fraction(1, 2**35)


def exact_bdp(rate_bps: int, rtt_ns: int) -> Fraction:
    return Fraction(rate_bps, 8) * Fraction(rtt_ns, 10**9)


def logarithmic(limit: int) -> st.SearchStrategy[int]:
    """Every order of magnitude alike, and the limits."""
    bits = st.integers(0, limit.bit_length())
    return bits.flatmap(lambda b: st.integers(0, min(limit, 2**b))) | st.just(limit)


@given(logarithmic(RATE_MAX_BPS), logarithmic(RTT_MAX_NS), st.integers(65536, FACTOR_MAX_Q16))
@example(RATE_MAX_BPS, RTT_MAX_NS, FACTOR_MAX_Q16)
@example(100 * 10**9, 10**9, 98304)
@example(1000, 1000, 65536)
@example(0, 0, 65536)
def test_the_buffer_is_exact_to_one_byte(rate_bps: int, rtt_ns: int, factor_q16: int) -> None:
    units = bdp_units(rate_bps, rtt_ns)
    exact = exact_bdp(rate_bps, rtt_ns)
    assert 0 <= exact - Fraction(units, UNITS_PER_BYTE) < Fraction(1, UNITS_PER_BYTE)
    wanted = exact * Fraction(factor_q16, 65536) * SAFETY_MARGIN
    assert -EXCESS < wanted - optimal_buffer(units, factor_q16) < 1 + WORST_LOSS
    assert bdp_bytes(units) == units // UNITS_PER_BYTE


@given(logarithmic(RATE_MAX_BPS), logarithmic(RTT_MAX_NS))
@example(RATE_MAX_BPS, RTT_MAX_NS)
def test_no_intermediate_value_needs_more_than_64_bits(rate_bps: int, rtt_ns: int) -> None:
    units = bdp_units(rate_bps, rtt_ns)
    assert ((rate_bps >> 20) * rtt_ns) << 8 < 2**64
    assert (rate_bps & 0xFFFFF) * rtt_ns < 2**64
    assert units < 2**64
    whole, fraction = split(units)
    assert (UNITS_PER_FIVE - 1) * RECIPROCAL < 2**64
    assert fraction * 6 * FACTOR_MAX_Q16 < 2**64
    assert (whole + 1) * 6 * FACTOR_MAX_Q16 < 2**64


@given(st.integers(0, 2**60), st.integers(0, UNITS_PER_FIVE - 1), st.integers(65536, 2**17))
def test_a_whole_number_of_bytes_stays_one(units: int, rest: int, factor_q16: int) -> None:
    for value in (units, units - units % UNITS_PER_BYTE, rest, 0):
        assert bdp_bytes(value) == value // UNITS_PER_BYTE
        exact = Fraction(value * 6 * factor_q16, UNITS_PER_FIVE << 16)
        assert -EXCESS < exact - optimal_buffer(value, factor_q16) < 1
        if exact.denominator == 1:
            assert optimal_buffer(value, factor_q16) == exact


@pytest.mark.parametrize(
    ("rate_bps", "rtt_ns", "buffer_bytes"),
    [
        (10**9, 200 * 10**6, 30_000_000),
        (100 * 10**9, 10**9, 15_000_000_000),
        (1000, 10**9, 150),
    ],
)
def test_known_values(rate_bps: int, rtt_ns: int, buffer_bytes: int) -> None:
    assert optimal_buffer(bdp_units(rate_bps, rtt_ns), 65536) == buffer_bytes


def test_beyond_the_range_it_saturates() -> None:
    assert bdp_units(2**60, 2**60) == bdp_units(RATE_MAX_BPS, RTT_MAX_NS)
