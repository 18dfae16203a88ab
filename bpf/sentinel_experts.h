/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The expert bank: who predicts the bytes of the next interval, and who of them is believed.
 *
 * x is the interval that closes. Each expert made a prediction p for it one interval ago.
 *
 * - last value: p = x.
 * - fast and slow mean, exponentially weighted (Brown 1956): m += (x - m) / 4, (x - m) / 32.
 * - Holt's level and trend in error-correction form (Holt 1957), with the damped trend of
 *   Gardner and McKenzie (1985): e = x - p; level = p + e / 4; trend = 7/8 trend + e / 16;
 *   p = level + 7/8 trend.
 * - Autoregression on the last four intervals, as deviations from the slow mean m, which gives
 *   them signs: p = m + sum_i w_i (x_i - m). The weights follow the sign-sign LMS rule (Lucky
 *   1966; ITU-T G.721 runs it in every telephone): w_i += mu sign(e) sign(x_i - m). It begins as
 *   last value (w = 1, 0, 0, 0).
 * - The network (sentinel_network.h). Trained for the absolute error, it predicts the median.
 *
 * Each expert's absolute error is averaged with exponential discount, 1/64 an interval. The
 * expert with the least discounted error leads: follow the leader with discounted losses, the
 * limit of the discounted Hedge (Freund and Schapire 1997) at a high learning rate, which needs
 * no exponential function. A challenger leads once it is better by 1/16: without a margin,
 * experts that are equally good take turns, and each turn costs. While the bank as a whole has
 * done worse than last value by more than 1/32, recent errors have misled: then the network leads
 * if over the whole flow it was better than last value by 1/8, else last value. This bounds what
 * the choice can lose on flows that change faster than errors can be averaged.
 *
 * Why absolute error: MASE (Hyndman and Koehler 2006) is the mean absolute error over that of last
 * value. What minimises it is the median of what may come, which is zero for rare bursts.
 *
 * A flow that was silent for SENTINEL_PREDICT_AWAKE_EMPTY intervals is asleep: every expert
 * predicts 0 (and is right), nothing but the count of intervals changes. So any number of empty
 * intervals is closed in bounded time, with the same result as one by one.
 */
#ifndef SENTINEL_EXPERTS_H
#define SENTINEL_EXPERTS_H

#include "sentinel_network.h"

#define SENTINEL_FAST_SHIFT 2
#define SENTINEL_SLOW_SHIFT 5
#define SENTINEL_HOLT_LEVEL_SHIFT 2
#define SENTINEL_HOLT_TREND_SHIFT 4
#define SENTINEL_HOLT_DAMP_SHIFT 3
#define SENTINEL_LMS_SHIFT 12
#define SENTINEL_LMS_STEP 16
#define SENTINEL_LMS_WEIGHT_MAX 8192
#define SENTINEL_ERROR_SHIFT 6
#define SENTINEL_MARGIN_SHIFT 4
#define SENTINEL_GUARD_SHIFT 5
#define SENTINEL_TRUST_SHIFT 3
#define SENTINEL_SUM_MAX 0x7fffffffU

static __always_inline __u32 sentinel_distance(__u32 a, __u32 b)
{
	return a > b ? a - b : b - a;
}

/*
 * (difference / 2^shift), rounded away from zero, so that a mean reaches a constant exactly: the
 * usual rounding stops up to 2^shift - 1 short of it.
 */
static __always_inline __s64 sentinel_step(__s64 difference, __u32 shift)
{
	return (difference >> shift) + (difference > 0);
}

/* The exponentially weighted mean after one more value; weight 2^-shift. */
static __always_inline __u32 sentinel_mean_u32(__u32 mean, __u32 value, __u32 shift)
{
	return (__u32)((__s64)mean + sentinel_step((__s64)value - (__s64)mean, shift));
}

static __always_inline __s64 sentinel_damped(__s64 trend)
{
	return trend - (trend >> SENTINEL_HOLT_DAMP_SHIFT);
}

static __always_inline __u32 sentinel_holt_bytes(const struct sentinel_predict *s)
{
	return sentinel_saturate_bytes((__s64)s->holt_level + sentinel_damped(s->holt_trend));
}

static __always_inline void sentinel_holt_update(struct sentinel_predict *s, __u32 bytes)
{
	__s64 predicted = sentinel_holt_bytes(s);
	__s64 error = (__s64)bytes - predicted;

	s->holt_level = (__u32)(predicted + sentinel_step(error, SENTINEL_HOLT_LEVEL_SHIFT));
	s->holt_trend = (__s32)(sentinel_damped(s->holt_trend) +
				sentinel_step(error, SENTINEL_HOLT_TREND_SHIFT));
}

static __always_inline void sentinel_lms_predict(struct sentinel_predict *s)
{
	__s64 mean = s->slow_mean;
	__s64 sum = 0;
	int i;

	SENTINEL_UNROLL
	for (i = 0; i < SENTINEL_PREDICT_LAGS; i++)
		sum += (__s64)s->lms_weight[i] * ((__s64)s->history[i] - mean);
	s->lms_bytes = sentinel_saturate_bytes(mean + (sum >> SENTINEL_LMS_SHIFT));
}

/* Before history and slow_mean move on: they are what the prediction was made of. */
static __always_inline void sentinel_lms_update(struct sentinel_predict *s, __u32 bytes)
{
	int i;

	if (bytes == s->lms_bytes)
		return;
	SENTINEL_UNROLL
	for (i = 0; i < SENTINEL_PREDICT_LAGS; i++) {
		__s64 weight = s->lms_weight[i];

		if (s->history[i] == s->slow_mean)
			continue;
		if ((bytes > s->lms_bytes) == (s->history[i] > s->slow_mean))
			weight += SENTINEL_LMS_STEP;
		else
			weight -= SENTINEL_LMS_STEP;
		if (weight <= SENTINEL_LMS_WEIGHT_MAX && weight >= -SENTINEL_LMS_WEIGHT_MAX)
			s->lms_weight[i] = (__s16)weight;
	}
}

/* What expert `index` predicted for the interval that closes now. */
static __always_inline __u32 sentinel_expert_bytes(const struct sentinel_predict *s, int index)
{
	if (index == SENTINEL_EXPERT_LAST)
		return s->history[0];
	if (index == SENTINEL_EXPERT_FAST)
		return s->fast_mean;
	if (index == SENTINEL_EXPERT_SLOW)
		return s->slow_mean;
	if (index == SENTINEL_EXPERT_HOLT)
		return sentinel_holt_bytes(s);
	if (index == SENTINEL_EXPERT_LMS)
		return s->lms_bytes;
	return s->network_bytes;
}

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

static __always_inline __u8 sentinel_burst_of(__u32 bytes, __u32 mean)
{
	__u64 eighths = (__u64)bytes * 8;

	if (eighths <= (__u64)mean * 9)
		return SENTINEL_BURST_STEADY;
	if (eighths <= (__u64)mean * 12)
		return SENTINEL_BURST_VARYING;
	return eighths <= (__u64)mean * 16 ? SENTINEL_BURST_BURSTY : SENTINEL_BURST_PEAK;
}

/* Compare what was predicted with the `bytes` that came. */
static __always_inline void sentinel_score(struct sentinel_predict *s, __u32 bytes)
{
	__u8 burst = sentinel_burst_of(bytes, s->slow_mean);
	__u32 shift = s->error_shift & 31;
	__u32 any;
	int i;

	s->leader_error_sum += sentinel_distance(s->predicted_bytes, bytes) >> shift;
	any = s->leader_error_sum;
	SENTINEL_UNROLL
	for (i = 0; i < SENTINEL_EXPERTS; i++) {
		__u32 predicted = s->asleep ? 0 : sentinel_expert_bytes(s, i);
		__u32 error = sentinel_distance(predicted, bytes);

		s->recent_error[i] =
			sentinel_mean_u32(s->recent_error[i], error, SENTINEL_ERROR_SHIFT);
		s->error_sum[i] += error >> shift;
		any |= s->error_sum[i];
		SENTINEL_BARRIER();
	}
	if (any > SENTINEL_SUM_MAX)
		sentinel_halve_sums(s);
	s->burst_hits += burst == s->burst_class;
	s->burst_exceeded += burst > s->burst_class;
}

/* The state of every expert after one more interval. */
static __always_inline void sentinel_learn(struct sentinel_predict *s, __u32 bytes)
{
	int i;

	sentinel_lms_update(s, bytes);
	SENTINEL_BARRIER();
	sentinel_holt_update(s, bytes);
	SENTINEL_BARRIER();
	s->fast_mean = sentinel_mean_u32(s->fast_mean, bytes, SENTINEL_FAST_SHIFT);
	s->slow_mean = sentinel_mean_u32(s->slow_mean, bytes, SENTINEL_SLOW_SHIFT);
	SENTINEL_UNROLL
	for (i = SENTINEL_PREDICT_LAGS - 1; i > 0; i--)
		s->history[i] = s->history[i - 1];
	s->history[0] = bytes;
}

/* The first interval of a flow: every expert expects more of the same. */
static __always_inline void sentinel_begin(struct sentinel_predict *s, __u32 bytes)
{
	int i;

	SENTINEL_UNROLL
	for (i = 0; i < SENTINEL_PREDICT_LAGS; i++)
		s->history[i] = bytes;
	s->fast_mean = bytes;
	s->slow_mean = bytes;
	s->holt_level = bytes;
	s->lms_weight[0] = 1 << SENTINEL_LMS_SHIFT;
}

static __always_inline void sentinel_network_inputs(const struct sentinel_predict *s,
						    __u32 input[SENTINEL_NETWORK_INPUTS])
{
	int i;

	SENTINEL_UNROLL
	for (i = 0; i < SENTINEL_PREDICT_LAGS; i++)
		input[i] = s->history[i];
	input[SENTINEL_PREDICT_LAGS] = s->fast_mean;
	input[SENTINEL_PREDICT_LAGS + 1] = s->slow_mean;
	input[SENTINEL_PREDICT_LAGS + 2] = sentinel_holt_bytes(s);
	input[SENTINEL_PREDICT_LAGS + 3] = s->lms_bytes;
}

static __always_inline void sentinel_network_predict(struct sentinel_predict *s,
						     const struct sentinel_model *model)
{
	__u32 input[SENTINEL_NETWORK_INPUTS];

	if (!model || !model->version) {
		s->network_bytes = s->history[0];
		return;
	}
	sentinel_network_inputs(s, input);
	s->network_bytes = sentinel_network(model, input);
}

/* The expert with the least recent error, if it beats the leader by the margin; else the leader. */
static __always_inline __u8 sentinel_recent_best(const struct sentinel_predict *s)
{
	__u32 least = s->recent_error[0], current = least;
	__u8 best = 0;
	int i;

	SENTINEL_UNROLL
	for (i = 1; i < SENTINEL_EXPERTS; i++) {
		if (s->leader == i)
			current = s->recent_error[i];
		if (s->recent_error[i] < least) {
			least = s->recent_error[i];
			best = i;
		}
	}
	return least + (least >> SENTINEL_MARGIN_SHIFT) < current ? best : s->leader;
}

/* Who leads while the bank is behind last value. */
static __always_inline __u8 sentinel_trusted(const struct sentinel_predict *s)
{
	__u32 network = s->error_sum[SENTINEL_EXPERT_NETWORK];

	return network + (network >> SENTINEL_TRUST_SHIFT) < s->error_sum[SENTINEL_EXPERT_LAST] ?
		       SENTINEL_EXPERT_NETWORK :
		       SENTINEL_EXPERT_LAST;
}

/* The leader for the next interval, and what it predicts. */
static __always_inline void sentinel_choose(struct sentinel_predict *s)
{
	__u32 last = s->error_sum[SENTINEL_EXPERT_LAST];
	__u32 bytes = s->history[0], error = s->recent_error[0];
	int i;

	if (s->leader_error_sum > last + (last >> SENTINEL_GUARD_SHIFT))
		s->leader = sentinel_trusted(s);
	else
		s->leader = sentinel_recent_best(s);
	SENTINEL_BARRIER();
	SENTINEL_UNROLL
	for (i = 1; i < SENTINEL_EXPERTS; i++) {
		if (s->leader == i) {
			bytes = sentinel_expert_bytes(s, i);
			error = s->recent_error[i];
		}
	}
	s->predicted_bytes = bytes;
	s->burst_class =
		sentinel_burst_of(sentinel_saturate_bytes((__s64)bytes + error), s->slow_mean);
}

/* Close one interval of an awake flow, or the first non-empty one after a sleep. */
static __always_inline void sentinel_close(struct sentinel_predict *s,
					   const struct sentinel_model *model, __u32 bytes)
{
	if (s->intervals) {
		sentinel_score(s, bytes);
		SENTINEL_BARRIER();
		sentinel_learn(s, bytes);
	} else {
		sentinel_begin(s, bytes);
	}
	s->intervals += 1;
	s->asleep = 0;
	SENTINEL_BARRIER();
	sentinel_lms_predict(s);
	SENTINEL_BARRIER();
	sentinel_network_predict(s, model);
	SENTINEL_BARRIER();
	sentinel_choose(s);
}

/* `count` empty intervals of a flow that was silent for SENTINEL_PREDICT_AWAKE_EMPTY before. */
static __always_inline void sentinel_sleep(struct sentinel_predict *s, __u64 count)
{
	s->intervals += (__u32)count;
	s->asleep = 1;
	s->predicted_bytes = 0;
	s->burst_class = SENTINEL_BURST_STEADY;
}

/* Close `count` >= 1 intervals: one of `bytes` > 0, the others empty. */
static __always_inline void sentinel_close_all(struct sentinel_predict *s,
					       const struct sentinel_model *model, __u32 bytes,
					       __u64 count)
{
	__u32 i;

	SENTINEL_KEEP_LOOP
	for (i = 0; i <= SENTINEL_PREDICT_AWAKE_EMPTY; i++) {
		if (i >= count)
			return;
		SENTINEL_BARRIER();
		sentinel_close(s, model, i ? 0 : bytes);
	}
	sentinel_sleep(s, count - i);
}

#endif
