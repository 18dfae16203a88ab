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
 * exactly, since the first term is a multiple of 2^12. The last product needs 79 bits; long
 * division (quotient and remainder by 9765625) keeps it below 2^58 without losing a bit.
 *
 * Error: q loses less than one of its units, the result less than one byte: exact - 1.00001 <
 * optimal_buffer <= exact. tests/unit/bpf/test_bdp.py proves it against fractions.
 *
 * Range: r saturates at 2^40 - 1 (1.1 Tbit/s), t at 2^32 - 1 (4.29 s), p is at most 2^17. Then
 * h t 2^8 < 2^60, q < 2^60, q / 9765625 < 2^36.8, times 6 p (2^19.6) < 2^56.4.
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
#define SENTINEL_BDP_UNITS_PER_BYTE 1953125ULL
#define SENTINEL_BDP_UNITS_PER_SIXTH 9765625ULL

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

static __always_inline __u64 sentinel_optimal_buffer(__u64 units, __u64 pattern_factor_q16)
{
	__u64 sixths, whole, rest;

	if (pattern_factor_q16 > SENTINEL_BDP_FACTOR_MAX)
		pattern_factor_q16 = SENTINEL_BDP_FACTOR_MAX;
	sixths = 6 * pattern_factor_q16;
	whole = units / SENTINEL_BDP_UNITS_PER_SIXTH;
	rest = units - whole * SENTINEL_BDP_UNITS_PER_SIXTH;
	return (whole * sixths + rest * sixths / SENTINEL_BDP_UNITS_PER_SIXTH) >> 16;
}

/* After the rate or the RTT has changed. */
static __always_inline void sentinel_publish_bdp(struct sentinel_flow_half *half,
						 __u32 pattern_factor_q16)
{
	__u64 units = sentinel_bdp_units(half->throughput_bps, half->srtt_ns_x8 >> 3);

	half->bdp_bytes = units / SENTINEL_BDP_UNITS_PER_BYTE;
	half->optimal_buffer_size = sentinel_optimal_buffer(units, pattern_factor_q16);
}

#endif
