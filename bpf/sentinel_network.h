/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Inference of the small network: integers in, integer out, the same in the kernel and outside.
 *
 * Inputs: the latest three intervals, the fast and the slow mean, what LMS predicts, and the recent
 * errors of the slow mean and of LMS. Errors tell a noisy flow from one that changes, which the
 * other inputs cannot; like them they grow with the flow's rate.
 *
 *     x'[i]     = x[i] >> k           the least k of 0, 6, 12 with which all x' < 2^20
 *     hidden[j] = max(0, sum_i w[j][i] x'[i])
 *     output    = max(0, (sum_j v[j] hidden[j] + 2^6 sum_i d[i] x'[i] + 2^17) 2^k >> 18)
 *
 * with w = u - 128, u the byte in hidden_weight. Inputs are bytes, not normalised to a rate:
 * without bias the function is homogeneous (see sentinel_predict_abi.h), but for the bits that
 * the shift drops: the larger inputs keep 14 of them, which is more than the weights have.
 *
 * Several sums share one multiplication. The words of hidden_weight hold the byte u of an even
 * unit and, 32 bits above it, that of the next odd one: u x' summed over eight inputs is below
 * 2^(8 + 20 + 3) = 2^31, so that the lower half does not flow into the upper one. The words of
 * direct_weight hold d + 2^15, whose sum is below 2^39, and from bit 40 on a 1: the sum of the
 * inputs, by which the weights' zeros come off at the end. 48 multiplications instead of 72.
 *
 * No overflow: hidden < 2^30, |v|, |d| <= 2^15, so the output's sum is below 2^(30 + 15 + 3) +
 * 2^(6 + 20 + 15 + 3) < 2^49, and 2^61 after the shift by k.
 */
#ifndef SENTINEL_NETWORK_H
#define SENTINEL_NETWORK_H

#include "sentinel_arithmetic.h"

#define SENTINEL_NETWORK_INPUT_BITS 20
#define SENTINEL_NETWORK_INPUT_STEP 6
#define SENTINEL_NETWORK_COUNT_SHIFT 40
#define SENTINEL_NETWORK_ROUND                                                                     \
	(1LL << (SENTINEL_NETWORK_HIDDEN_SHIFT + SENTINEL_NETWORK_OUTPUT_SHIFT - 1))

/* The interval `i` before the open one, from 0. */
static __always_inline __u32 sentinel_lag(const struct sentinel_predict *s, int i)
{
	return i ? s->history[i - 1] : s->expert_bytes[SENTINEL_EXPERT_LAST];
}

/* Input `i` of the network, 0 to 7. */
static __always_inline __u32 sentinel_network_input(const struct sentinel_predict *s, int i)
{
	static const int expert[] = { SENTINEL_EXPERT_FAST, SENTINEL_EXPERT_SLOW,
				      SENTINEL_EXPERT_LMS };
	static const int judged[] = { SENTINEL_EXPERT_SLOW, SENTINEL_EXPERT_LMS };

	if (i < 3)
		return sentinel_lag(s, i);
	return i < 6 ? s->expert_bytes[expert[i - 3]] : s->recent_error[judged[i - 6]];
}

/* k: by how much the inputs are shifted, 0, 6 or 12. */
static __always_inline __u32 sentinel_network_shift(const struct sentinel_predict *s)
{
	__u64 any = 0;
	__s64 steps;
	int i;

	SENTINEL_UNROLL
	for (i = 0; i < SENTINEL_NETWORK_INPUTS; i++) {
		any |= sentinel_network_input(s, i);
		SENTINEL_ONE_BY_ONE(any);
	}
	any >>= SENTINEL_NETWORK_INPUT_BITS;
	steps = sentinel_sign(-(__s64)any) +
		sentinel_sign(-(__s64)(any >> SENTINEL_NETWORK_INPUT_STEP));
	return (__u32)(-steps * SENTINEL_NETWORK_INPUT_STEP);
}

/* max(0, sum - zero) times the unit's weight in the output. */
static __always_inline __s64 sentinel_hidden(__u64 sum, __u64 zero, __s64 output_weight)
{
	__s64 value = (__s64)(sum - zero);

	return output_weight * (value & ~sentinel_sign(value));
}

/* The output times 2^18 / 2^k, of sums of pairs of units and of the direct way. */
static __always_inline __s64 sentinel_network_output(const struct sentinel_model *model,
						     const __u64 pair[SENTINEL_NETWORK_PAIRS],
						     __u64 direct)
{
	__u64 inputs = direct >> SENTINEL_NETWORK_COUNT_SHIFT;
	__u64 zero = inputs * SENTINEL_NETWORK_WEIGHT_ZERO;
	__s64 output;
	int j;

	direct &= (1ULL << SENTINEL_NETWORK_COUNT_SHIFT) - 1;
	output = (__s64)((direct - inputs * SENTINEL_NETWORK_DIRECT_ZERO)
			 << SENTINEL_NETWORK_HIDDEN_SHIFT);
	output += SENTINEL_NETWORK_ROUND;
	SENTINEL_UNROLL
	for (j = 0; j < SENTINEL_NETWORK_PAIRS; j++) {
		output += sentinel_hidden(pair[j] & 0xffffffffULL, zero,
					  model->output_weight[2 * j]);
		output += sentinel_hidden(pair[j] >> 32, zero, model->output_weight[2 * j + 1]);
		SENTINEL_ONE_BY_ONE(output);
	}
	return output;
}

/* The prediction in bytes. */
static __always_inline __u32 sentinel_network(const struct sentinel_model *model,
					      const struct sentinel_predict *s)
{
	__u32 shift = sentinel_network_shift(s);
	__u64 pair[SENTINEL_NETWORK_PAIRS] = {};
	__u64 direct = 0;
	__s64 output;
	int i, j;

	SENTINEL_UNROLL
	for (i = 0; i < SENTINEL_NETWORK_INPUTS; i++) {
		__u64 x = sentinel_network_input(s, i) >> shift;

		SENTINEL_UNROLL
		for (j = 0; j < SENTINEL_NETWORK_PAIRS; j++) {
			pair[j] += model->hidden_weight[i][j] * x;
			SENTINEL_ONE_BY_ONE(pair[j]);
		}
		direct += model->direct_weight[i] * x;
		SENTINEL_ONE_BY_ONE(direct);
	}
	output = sentinel_network_output(model, pair, direct);
	output = (__s64)((__u64)output << shift);
	return sentinel_saturate_bytes(
		output >> (SENTINEL_NETWORK_HIDDEN_SHIFT + SENTINEL_NETWORK_OUTPUT_SHIFT));
}

#endif
