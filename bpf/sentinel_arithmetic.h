/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Integer arithmetic without branches, for what every interval or every expert computes.
 *
 * BPF has no conditional move: every ?: is a branch, and those on random data are mispredicted half
 * of the time, 5 ns each. A mask made of a sign decides instead, hidden from the compiler, which
 * would turn it back into a branch.
 */
#ifndef SENTINEL_ARITHMETIC_H
#define SENTINEL_ARITHMETIC_H

#include "sentinel_predict_abi.h"

/* One sum after the other: bcc's compiler would make vectors of them, and spill those. */
#define SENTINEL_ONE_BY_ONE(value) __asm__ volatile("" : "+r"(value))

/* -1 (all ones) if negative, else 0. */
static __always_inline __s64 sentinel_sign(__s64 value)
{
	return SENTINEL_OPAQUE(value) >> 63;
}

/* -1, 0 or 1. */
static __always_inline __s64 sentinel_direction(__s64 value)
{
	return sentinel_sign(value) - sentinel_sign(-value);
}

static __always_inline __s64 sentinel_least(__s64 a, __s64 b)
{
	return b + ((a - b) & sentinel_sign(a - b));
}

static __always_inline __u32 sentinel_distance(__u32 a, __u32 b)
{
	__s64 difference = (__s64)a - (__s64)b;
	__s64 sign = sentinel_sign(difference);

	return (__u32)((difference ^ sign) - sign);
}

/*
 * (difference / 2^shift), rounded away from zero, so that a mean reaches a constant exactly: the
 * usual rounding stops up to 2^shift - 1 short of it.
 */
static __always_inline __s64 sentinel_step(__s64 difference, __u32 shift)
{
	return (difference >> shift) - sentinel_sign(-difference);
}

/* The exponentially weighted mean after one more value; weight 2^-shift. */
static __always_inline __u32 sentinel_mean_u32(__u32 mean, __u32 value, __u32 shift)
{
	return (__u32)((__s64)mean + sentinel_step((__s64)value - (__s64)mean, shift));
}

/* Into the range of an interval's bytes. */
static __always_inline __u32 sentinel_saturate_bytes(__s64 value)
{
	value &= ~sentinel_sign(value);
	return (__u32)sentinel_least(value, (__s64)SENTINEL_PREDICT_BYTES_MAX);
}

#endif
