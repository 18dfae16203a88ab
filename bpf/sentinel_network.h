/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Inference of the small network: integers in, integer out, the same in the kernel and outside.
 *
 *     hidden[j] = max(0, sum_i w[j][i] x[i]) >> 6
 *     output    = max(0, (sum_j v[j] hidden[j] + sum_i d[i] x[i] + 2^11) >> 12)
 *
 * with w = hidden_weight - 128. Inputs are bytes, not normalised: without bias the function is
 * homogeneous (see sentinel_predict_abi.h), and 64 bits hold every intermediate value.
 * Inputs < 2^32, |w| <= 2^7, so |hidden| < 2^(7 + 32 + 3 - 6) = 2^36; |v|, |d| <= 2^15, so the
 * output sum is below 2^(36 + 15 + 3) + 2^(32 + 15 + 3) < 2^55.
 *
 * (u - 128) x is summed as sum(u x) - 128 sum(x): BPF loads unsigned bytes in one instruction, but
 * needs three for signed ones. 72 multiplications in all.
 */
#ifndef SENTINEL_NETWORK_H
#define SENTINEL_NETWORK_H

#include "sentinel_predict_abi.h"

#define SENTINEL_NETWORK_ROUND (1LL << (SENTINEL_NETWORK_OUTPUT_SHIFT - 1))

/* One product after the other: bcc's compiler would make vectors of them, and spill those. */
#define SENTINEL_ONE_BY_ONE(value) __asm__ volatile("" : "+r"(value))

static __always_inline __u32 sentinel_saturate_bytes(__s64 value)
{
	if (value < 0)
		return 0;
	return value > (__s64)SENTINEL_PREDICT_BYTES_MAX ? SENTINEL_PREDICT_BYTES_MAX : (__u32)value;
}

/* One unit of the hidden layer, times its weight in the output. */
static __always_inline __s64 sentinel_hidden(const struct sentinel_model *model, int unit,
					     const __u32 input[SENTINEL_NETWORK_INPUTS], __u64 zero)
{
	__u64 sum = 0;
	__s64 value;
	int i;

	SENTINEL_UNROLL
	for (i = 0; i < SENTINEL_NETWORK_INPUTS; i++) {
		sum += (__u64)model->hidden_weight[unit][i] * input[i];
		SENTINEL_ONE_BY_ONE(sum);
	}
	value = (__s64)(sum - zero);
	if (value < 0)
		return 0;
	return (__s64)model->output_weight[unit] * (value >> SENTINEL_NETWORK_HIDDEN_SHIFT);
}

/* The prediction in bytes. */
static __always_inline __u32 sentinel_network(const struct sentinel_model *model,
					      const __u32 input[SENTINEL_NETWORK_INPUTS])
{
	__s64 output = SENTINEL_NETWORK_ROUND;
	__u64 zero = 0;
	int i;

	SENTINEL_UNROLL
	for (i = 0; i < SENTINEL_NETWORK_INPUTS; i++) {
		zero += (__u64)input[i] * SENTINEL_NETWORK_WEIGHT_ZERO;
		output += (__s64)model->direct_weight[i] * (__s64)input[i];
		SENTINEL_ONE_BY_ONE(output);
	}
	SENTINEL_UNROLL
	for (i = 0; i < SENTINEL_NETWORK_HIDDEN; i++) {
		SENTINEL_BARRIER();
		output += sentinel_hidden(model, i, input, zero);
	}
	return sentinel_saturate_bytes(output >> SENTINEL_NETWORK_OUTPUT_SHIFT);
}

#endif
