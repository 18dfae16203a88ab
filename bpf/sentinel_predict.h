/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The predictor of one direction of a flow: packets in, predictions out. Pure integer arithmetic,
 * used unchanged inside a BPF program and in user space (training, tests).
 *
 * It predicts the bytes of the next interval (sentinel_bank.h), the gap before the next packet
 * and its size, and a burst class, and scores itself on what comes. sentinel_predict_packet() is
 * called for every packet; the first packet after the end of an interval closes it.
 *
 * Gap and size. Experts for the gap are the last one, the exponentially weighted mean (1/8) and
 * a running median; for the size the last one and the running median. The median steps towards
 * each value by at most 1/16 of itself (frugal streaming: Ma, Muthukrishnan and Sandler 2013, with
 * a geometric step): it is indifferent to how far outliers lie, which is what absolute error
 * rewards. One packet in eight is scored, chosen by a hash of its time, so that no regular
 * pattern of packets hides from the score; the others cost less.
 *
 * Interval length. Too short, and most intervals hold no packet or one: prediction is then about
 * the phase of single packets, not about the flow. Too long, and a forecast comes after the round
 * trips in which it could be acted upon. Flows worth a buffer send tens to thousands of packets
 * per 33.6 ms (1 Mbit/s is 3 full packets), frames of video come every 17 to 40 ms, and the paths
 * of interest have round trips of 10 to 200 ms. Hence 2^25 ns; a power of two, so that a shift
 * divides. It is a parameter of the model, because weights belong to an interval length.
 *
 * Time that goes back (it should not) counts as the time of the packet before.
 */
#ifndef SENTINEL_PREDICT_H
#define SENTINEL_PREDICT_H

#include "sentinel_bank.h"

#define SENTINEL_U32_MAX 0xffffffffULL
#define SENTINEL_SIZE_MAX 0xffffU
#define SENTINEL_GAP_MEAN_SHIFT 3
#define SENTINEL_MEDIAN_SHIFT 4
#define SENTINEL_PACKET_ERROR_SHIFT 4
/* 2^64 / golden ratio: multiplicative hashing (Knuth, TAOCP 3, 6.4). */
#define SENTINEL_HASH 0x9e3779b97f4a7c15ULL
#define SENTINEL_SAMPLE_SHIFT 61

/* pattern_factor in 1/65536, by enum sentinel_burst. */
#define SENTINEL_FACTOR_STEADY 65536U
#define SENTINEL_FACTOR_VARYING 73728U
#define SENTINEL_FACTOR_BURSTY 81920U
#define SENTINEL_FACTOR_PEAK 98304U

/* The slot in use, for sentinel_predict_packet(); NULL in, NULL out. */
static __always_inline const struct sentinel_model *
sentinel_active_model(const struct sentinel_models *models)
{
	if (!models)
		return 0;
	return models->active ? &models->slot[1] : &models->slot[0];
}

static __always_inline __u32 sentinel_interval_shift(const struct sentinel_model *model)
{
	return model && model->version ? model->interval_shift & 31 :
					 SENTINEL_PREDICT_SHIFT_DEFAULT;
}

/* Both limits by masks: see sentinel_arithmetic.h. */
static __always_inline __u32 sentinel_median(__u32 median, __u32 value)
{
	__s64 limit = (median >> SENTINEL_MEDIAN_SHIFT) + 1;
	__s64 step = (__s64)value - (__s64)median;
	__s64 below;

	below = sentinel_sign(step - limit);
	step = limit + ((step - limit) & below);
	below = sentinel_sign(step + limit);
	step = step - ((step + limit) & below);
	return (__u32)(median + step);
}

static __always_inline __u32 sentinel_predicted_gap_ns(const struct sentinel_predict *s)
{
	const __u32 *error = s->gap_recent_ns;

	if (error[SENTINEL_PACKET_MEDIAN] < error[SENTINEL_PACKET_LAST] &&
	    error[SENTINEL_PACKET_MEDIAN] <= error[SENTINEL_PACKET_MEAN])
		return s->gap_median_ns;
	return error[SENTINEL_PACKET_MEAN] < error[SENTINEL_PACKET_LAST] ? s->gap_mean_ns :
									  s->gap_last_ns;
}

static __always_inline __u32 sentinel_predicted_size(const struct sentinel_predict *s)
{
	return s->size_recent[SENTINEL_PACKET_MEDIAN] < s->size_recent[SENTINEL_PACKET_LAST] ?
		       s->size_median :
		       s->size_last;
}

/* Add to a pair of sums with a common unit, which doubles when one of them would not fit. */
static __always_inline void sentinel_add_pair(__u32 sum[2], __u8 *shift, __u32 leader, __u32 last)
{
	__u32 by = *shift & 31;

	sum[0] += leader >> by;
	sum[1] += last >> by;
	if ((sum[0] | sum[1]) <= SENTINEL_SUM_MAX)
		return;
	sum[0] >>= 1;
	sum[1] >>= 1;
	*shift += *shift < 31;
}

static __always_inline void sentinel_score_packet(struct sentinel_predict *s, __u32 gap_ns,
						  __u32 size)
{
	__u32 last = sentinel_distance(s->gap_last_ns, gap_ns);
	__u32 size_last = sentinel_distance(s->size_last, size);
	__u32 *error = s->gap_recent_ns;

	/* An error of 2^32 - 1 would overflow the pair of sums: half the range is enough. */
	sentinel_add_pair(s->gap_error_sum, &s->gap_shift,
			  sentinel_distance(sentinel_predicted_gap_ns(s), gap_ns) >> 1, last >> 1);
	sentinel_add_pair(s->size_error_sum, &s->size_shift,
			  sentinel_distance(sentinel_predicted_size(s), size), size_last);
	error[SENTINEL_PACKET_LAST] = sentinel_mean_u32(error[SENTINEL_PACKET_LAST], last,
							SENTINEL_PACKET_ERROR_SHIFT);
	error[SENTINEL_PACKET_MEDIAN] = sentinel_mean_u32(
		error[SENTINEL_PACKET_MEDIAN], sentinel_distance(s->gap_median_ns, gap_ns),
		SENTINEL_PACKET_ERROR_SHIFT);
	error[SENTINEL_PACKET_MEAN] = sentinel_mean_u32(error[SENTINEL_PACKET_MEAN],
							sentinel_distance(s->gap_mean_ns, gap_ns),
							SENTINEL_PACKET_ERROR_SHIFT);
	s->size_recent[SENTINEL_PACKET_LAST] = (__u16)sentinel_mean_u32(
		s->size_recent[SENTINEL_PACKET_LAST], size_last, SENTINEL_PACKET_ERROR_SHIFT);
	s->size_recent[SENTINEL_PACKET_MEDIAN] = (__u16)sentinel_mean_u32(
		s->size_recent[SENTINEL_PACKET_MEDIAN], sentinel_distance(s->size_median, size),
		SENTINEL_PACKET_ERROR_SHIFT);
}

/* Gap and size of a packet that is not the first: score, then learn. */
static __always_inline void sentinel_observe_packet(struct sentinel_predict *s, __u64 gap_ns,
						    __u32 size, __u64 now_ns)
{
	__u32 gap = gap_ns > SENTINEL_U32_MAX ? SENTINEL_U32_MAX : (__u32)gap_ns;

	if (!s->gap_mean_ns) {
		s->gap_mean_ns = gap;
		s->gap_median_ns = gap;
	} else {
		if ((now_ns * SENTINEL_HASH) >> SENTINEL_SAMPLE_SHIFT == 0)
			sentinel_score_packet(s, gap, size);
		s->gap_mean_ns = sentinel_mean_u32(s->gap_mean_ns, gap, SENTINEL_GAP_MEAN_SHIFT);
		s->gap_median_ns = sentinel_median(s->gap_median_ns, gap);
	}
	s->gap_last_ns = gap;
	s->size_median = (__u16)sentinel_median(s->size_median, size);
	s->size_last = (__u16)size;
}

/*
 * One more packet of `size_bytes` >= 1 at `now_ns`. Without a model (NULL, or version 0) the
 * network is off and the interval has its default length.
 */
static __always_inline void sentinel_predict_packet(struct sentinel_predict *s,
						    const struct sentinel_model *model,
						    __u64 now_ns, __u32 size_bytes)
{
	__u32 size = size_bytes > SENTINEL_SIZE_MAX ? SENTINEL_SIZE_MAX : size_bytes;
	__u64 elapsed_ns, bytes;

	if (!size)
		return;
	if (!s->size_last) {
		s->interval_start_ns = now_ns;
		s->interval_bytes = sentinel_saturate_bytes(size_bytes);
		s->size_last = (__u16)size;
		s->size_median = (__u16)size;
		return;
	}
	elapsed_ns = now_ns - s->interval_start_ns;
	if ((__s64)elapsed_ns < (__s64)s->last_offset_ns)
		elapsed_ns = s->last_offset_ns;
	now_ns = s->interval_start_ns + elapsed_ns;
	sentinel_observe_packet(s, elapsed_ns - s->last_offset_ns, size, now_ns);
	bytes = s->interval_bytes;
	{
		__u32 shift = sentinel_interval_shift(model);
		__u64 count = elapsed_ns >> shift;

		if (count) {
			sentinel_close_all(s, model, (__u32)bytes, count);
			s->interval_start_ns += count << shift;
			elapsed_ns -= count << shift;
			bytes = 0;
		}
	}
	s->last_offset_ns = (__u32)elapsed_ns;
	s->interval_bytes = sentinel_saturate_bytes((__s64)(bytes + size_bytes));
}

/* pattern_factor of the optimal buffer: 65536 is 1.0, 98304 is 1.5. */
static __always_inline __u32 sentinel_pattern_factor_q16(const struct sentinel_predict *s)
{
	if (s->burst_class == SENTINEL_BURST_STEADY)
		return SENTINEL_FACTOR_STEADY;
	if (s->burst_class == SENTINEL_BURST_VARYING)
		return SENTINEL_FACTOR_VARYING;
	return s->burst_class == SENTINEL_BURST_BURSTY ? SENTINEL_FACTOR_BURSTY :
							 SENTINEL_FACTOR_PEAK;
}

#endif
