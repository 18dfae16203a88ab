/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Bandwidth-delay product and optimal buffer of one flow half, in bytes.
 *
 *     bdp            = throughput_bps / 8 * srtt_ns / 1e9
 *     optimal_buffer = bdp * pattern_factor * 1.2          (safety_margin)
 *
 * In integers, with r = throughput_bps, t = srtt_ns, p = pattern_factor * 65536, and
 * 8e9 = 2^12 * 1953125:
 *
 *     q              = floor(r * t / 2^12)                 1/1953125 bytes
 *     bdp            = q / 1953125
 *     optimal_buffer = q * 6 p / (9765625 * 2^16)          since 1.2 / 1953125 = 6 / 9765625
 *
 * r * t needs 72 bits. With r = h * 2^20 + l it is h t 2^20 + l t, and q = h t 2^8 + (l t >> 12)
 * exactly, since the first term is a multiple of 2^12. The last product needs 79 bits; so q is split
 * into w = floor(q / 9765625), one division, and the rest as a fraction f of 2^43, by the
 * reciprocal c = floor(2^63 / 9765625):
 *
 *     f              = (rest * c >> 20) + 16               rest * c < 2^63
 *     bdp            = 5 w + (5 f >> 43)
 *     optimal_buffer = (w * 6 p + (f * 6 p >> 43)) >> 16   w * 6 p < 2^56.4, f * 6 p < 2^62.6
 *
 * f is above rest / 9765625 by less than 2^-38.9, so that a whole number of bytes stays one; bdp is
 * exactly floor(q / 1953125), because such quotients are 2^-20.9 apart or equal.
 *
 * Error: q loses less than one of its units; the buffer is less than a byte below the truth, and
 * not above it by more than 2^-35: tests/unit/bpf/test_bdp.py proves it against fractions.
 *
 * Range: r saturates at 2^40 - 1 (1.1 Tbit/s), t at 2^32 - 1 (4.29 s), p is at most 2^17. Then
 * h t 2^8 < 2^60, q < 2^60, w < 2^36.8.
 *
 * Why srtt and not the minimum: throughput x mean delay is what is in flight (Little 1961), and
 * the contract of design.md multiplies what it publishes.
 */
#ifndef SENTINEL_BDP_H
#define SENTINEL_BDP_H

#include "sentinel_abi.h"

#define SENTINEL_BDP_RATE_MAX 0xffffffffffULL
#define SENTINEL_BDP_RTT_MAX 0xffffffffULL
#define SENTINEL_BDP_FACTOR_MAX 0x20000ULL
#define SENTINEL_PATTERN_FACTOR_ONE 65536U
#define SENTINEL_BDP_LOW_MASK 0xfffffULL
#define SENTINEL_BDP_UNITS_PER_FIVE 9765625ULL /* in five bytes */
#define SENTINEL_BDP_RECIPROCAL 944473296573ULL
#define SENTINEL_BDP_FRACTION_SHIFT 43

/* r * t / 2^12: the BDP in 1/1953125 bytes. */
static __always_inline __u64 sentinel_bdp_units(__u64 throughput_bps, __u64 srtt_ns)
{
	if (throughput_bps > SENTINEL_BDP_RATE_MAX)
		throughput_bps = SENTINEL_BDP_RATE_MAX;
	if (srtt_ns > SENTINEL_BDP_RTT_MAX)
		srtt_ns = SENTINEL_BDP_RTT_MAX;
	return (((throughput_bps >> 20) * srtt_ns) << 8) +
	       (((throughput_bps & SENTINEL_BDP_LOW_MASK) * srtt_ns) >> 12);
}

/* The quotient of units and units in five bytes: `whole`, and the fraction that is returned. */
static __always_inline __u64 sentinel_bdp_split(__u64 units, __u64 *whole)
{
	*whole = units / SENTINEL_BDP_UNITS_PER_FIVE;
	units -= *whole * SENTINEL_BDP_UNITS_PER_FIVE;
	return ((units * SENTINEL_BDP_RECIPROCAL) >> 20) + 16;
}

static __always_inline __u64 sentinel_optimal_buffer(__u64 whole, __u64 fraction,
						     __u64 pattern_factor_q16)
{
	__u64 sixths;

	if (pattern_factor_q16 > SENTINEL_BDP_FACTOR_MAX)
		pattern_factor_q16 = SENTINEL_BDP_FACTOR_MAX;
	sixths = 6 * pattern_factor_q16;
	return (whole * sixths + ((fraction * sixths) >> SENTINEL_BDP_FRACTION_SHIFT)) >> 16;
}

/* After the rate or the RTT has changed. */
static __always_inline void sentinel_publish_bdp(struct sentinel_flow_half *half,
						 __u32 pattern_factor_q16)
{
	__u64 whole;
	__u64 fraction = sentinel_bdp_split(
		sentinel_bdp_units(half->throughput_bps, half->srtt_ns_x8 >> 3), &whole);

	half->bdp_bytes = 5 * whole + ((5 * fraction) >> SENTINEL_BDP_FRACTION_SHIFT);
	half->optimal_buffer_size = sentinel_optimal_buffer(whole, fraction, pattern_factor_q16);
}

#endif
