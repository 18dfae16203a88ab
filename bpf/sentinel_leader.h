/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who of the experts is believed: the leader.
 *
 * Each expert's absolute error is averaged with exponential discount, 1/64 an interval. The
 * expert with the least discounted error leads: follow the leader with discounted losses, the
 * limit of the discounted Hedge (Freund and Schapire 1997) at a high learning rate, which needs
 * no exponential function. A challenger leads once it is better by 1/16: without a margin,
 * experts that are equally good take turns, and each turn costs. The network, which has seen
 * other flows, leads from the start and needs no margin: of a short, bursty flow a few large
 * errors decide who was the best, by chance.
 *
 * While the bank as a whole has done worse than last value by more than 1/32, recent errors have
 * misled: then the network leads if over the whole flow it was better than last value by 1/64, else
 * last value. This bounds what the choice can lose on flows that change faster than errors can
 * be averaged.
 *
 * Why absolute error: MASE (Hyndman and Koehler 2006) is the mean absolute error over that of last
 * value. What minimises it is the median of what may come, which is zero for rare bursts.
 */
#ifndef SENTINEL_LEADER_H
#define SENTINEL_LEADER_H

#include "sentinel_experts.h"

#define SENTINEL_ERROR_SHIFT 6
#define SENTINEL_MARGIN_SHIFT 4
#define SENTINEL_GUARD_SHIFT 5
#define SENTINEL_TRUST_SHIFT 6
#define SENTINEL_FAVOUR_SHIFT 4
#define SENTINEL_SUM_MAX 0x7fffffffU
/* An error and, below it, the index of an expert: the least of such words names the best. */
#define SENTINEL_INDEX_BITS 3
#define SENTINEL_INDEX_MASK ((1 << SENTINEL_INDEX_BITS) - 1)

/* Sums share one unit, which doubles when one of them would not fit: their ratios remain. */
static __always_inline void sentinel_halve_sums(struct sentinel_predict *s)
{
	int i;

	s->leader_error_sum >>= 1;
	SENTINEL_UNROLL
	for (i = 0; i < SENTINEL_EXPERTS; i++)
		s->error_sum[i] >>= 1;
	s->error_shift += s->error_shift < 31;
}

/* enum sentinel_burst: how many of the bounds 9/8, 12/8 and 16/8 of the mean are exceeded. */
static __always_inline __u8 sentinel_burst_of(__u32 bytes, __u32 mean)
{
	__s64 eighths = (__s64)bytes * 8;
	__s64 wide = mean;

	return (__u8)-(sentinel_sign(9 * wide - eighths) + sentinel_sign(12 * wide - eighths) +
		       sentinel_sign(16 * wide - eighths));
}

/* Compare what was predicted with the `bytes` that came. Of a flow asleep all predicted 0. */
static __always_inline void sentinel_score(struct sentinel_predict *s, __u32 bytes)
{
	__s64 above = (__s64)s->burst_class -
		      sentinel_burst_of(bytes, s->expert_bytes[SENTINEL_EXPERT_SLOW]);
	__u32 awake = (__u32)s->asleep - 1;
	__u32 shift = s->error_shift & 31;
	__u32 any;
	int i;

	s->burst_exceeded -= (__u32)sentinel_sign(above);
	s->burst_hits += 1 + (__u32)(sentinel_sign(above) + sentinel_sign(-above));
	s->leader_error_sum += sentinel_distance(s->predicted_bytes, bytes) >> shift;
	any = s->leader_error_sum;
	SENTINEL_UNROLL
	for (i = 0; i < SENTINEL_EXPERTS; i++) {
		__u32 error = sentinel_distance(s->expert_bytes[i] & awake, bytes);

		s->recent_error[i] =
			sentinel_mean_u32(s->recent_error[i], error, SENTINEL_ERROR_SHIFT);
		s->error_sum[i] += error >> shift;
		any |= s->error_sum[i];
		SENTINEL_BARRIER();
	}
	if (any > SENTINEL_SUM_MAX)
		sentinel_halve_sums(s);
}

/* The network's recent error, less what it is favoured by. */
static __always_inline __s64 sentinel_favoured(const struct sentinel_predict *s,
					       const struct sentinel_model *model)
{
	__s64 error = s->recent_error[SENTINEL_EXPERT_NETWORK];

	return sentinel_has_network(model) ? error - (error >> SENTINEL_FAVOUR_SHIFT) : error;
}

/* The expert with the least recent error, if it beats the leader by the margin; else the leader. */
static __always_inline __s64 sentinel_recent_best(const struct sentinel_predict *s,
						  const struct sentinel_model *model, __s64 leader)
{
	__s64 current = s->recent_error[leader & SENTINEL_INDEX_MASK];
	__s64 least = (__s64)s->recent_error[0] << SENTINEL_INDEX_BITS;
	__s64 challenge = sentinel_favoured(s, model);
	int i;

	SENTINEL_UNROLL
	for (i = 1; i < SENTINEL_EXPERT_NETWORK; i++)
		least = sentinel_least(((__s64)s->recent_error[i] << SENTINEL_INDEX_BITS) + i, least);
	least = sentinel_least((challenge << SENTINEL_INDEX_BITS) + i, least);
	challenge = least >> SENTINEL_INDEX_BITS;
	challenge += challenge >> SENTINEL_MARGIN_SHIFT;
	return leader + (((least & SENTINEL_INDEX_MASK) - leader) &
			 sentinel_sign(challenge - current));
}

/* Who leads while the bank is behind last value. */
static __always_inline __s64 sentinel_trusted(const struct sentinel_predict *s)
{
	__s64 network = s->error_sum[SENTINEL_EXPERT_NETWORK];
	__s64 last = s->error_sum[SENTINEL_EXPERT_LAST];

	return sentinel_sign(network + (network >> SENTINEL_TRUST_SHIFT) - last) &
	       SENTINEL_EXPERT_NETWORK;
}

/* The leader for the next interval, and what it predicts. */
static __always_inline void sentinel_choose(struct sentinel_predict *s,
					    const struct sentinel_model *model)
{
	__s64 last = s->error_sum[SENTINEL_EXPERT_LAST];
	__s64 leader = sentinel_recent_best(s, model, s->leader);
	__s64 behind = sentinel_sign(last + (last >> SENTINEL_GUARD_SHIFT) -
				     (__s64)s->leader_error_sum);
	__u32 index, bytes, error;

	leader += (sentinel_trusted(s) - leader) & behind;
	index = SENTINEL_OPAQUE((__u32)leader) & SENTINEL_INDEX_MASK;
	s->leader = (__u8)index;
	bytes = s->expert_bytes[index];
	error = s->recent_error[index];
	s->predicted_bytes = bytes;
	s->burst_class = sentinel_burst_of(sentinel_saturate_bytes((__s64)bytes + error),
					   s->expert_bytes[SENTINEL_EXPERT_SLOW]);
}

#endif
