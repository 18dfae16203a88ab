/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The experts: who predicts the bytes of the next interval.
 *
 * x is the interval that closes. Each expert made a prediction p for it one interval ago.
 *
 * - last value: p = x.
 * - fast and slow mean, exponentially weighted (Brown 1956): m += (x - m) / 4, (x - m) / 32.
 * - Holt's level and trend in error-correction form (Holt 1957), with the damped trend of
 *   Gardner and McKenzie (1985): e = x - p; level = p + e / 4; trend = 7/8 trend + e / 16;
 *   p = level + 7/8 trend. Only p and the trend are kept.
 * - Autoregression on the last four intervals, as deviations from the slow mean m, which gives
 *   them signs: p = m + sum_i w_i (x_i - m). The weights follow the sign-sign LMS rule (Lucky
 *   1966; ITU-T G.721 runs it in every telephone): w_i += mu sign(e) sign(x_i - m). It begins as
 *   last value (w = 1, 0, 0, 0).
 * - The network (sentinel_network.h). Trained for the absolute error, it predicts the median.
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

static __always_inline __s64 sentinel_damped(__s64 trend)
{
	return trend - (trend >> SENTINEL_HOLT_DAMP_SHIFT);
}

/* The new prediction, of which the old one was `predicted`. */
static __always_inline __u32 sentinel_holt(struct sentinel_predict *s, __s64 predicted, __u32 bytes)
{
	__s64 error = (__s64)bytes - predicted;
	__s64 level = predicted + sentinel_step(error, SENTINEL_HOLT_LEVEL_SHIFT);
	__s64 trend = sentinel_damped(s->holt_trend) +
		      sentinel_step(error, SENTINEL_HOLT_TREND_SHIFT);

	s->holt_trend = (__s32)trend;
	return sentinel_saturate_bytes(level + sentinel_damped(trend));
}

static __always_inline void sentinel_lms_predict(struct sentinel_predict *s)
{
	__s64 mean = s->expert_bytes[SENTINEL_EXPERT_SLOW];
	__s64 sum = 0;
	int i;

	SENTINEL_UNROLL
	for (i = 0; i < SENTINEL_PREDICT_LAGS; i++)
		sum += (__s64)s->lms_weight[i] * ((__s64)sentinel_lag(s, i) - mean);
	s->expert_bytes[SENTINEL_EXPERT_LMS] =
		sentinel_saturate_bytes(mean + (sum >> SENTINEL_LMS_SHIFT));
}

/* Before the lags and the mean move on: they are what the prediction was made of. */
static __always_inline void sentinel_lms_update(struct sentinel_predict *s, __u32 bytes)
{
	__s64 mean = s->expert_bytes[SENTINEL_EXPERT_SLOW];
	__s64 step = sentinel_direction((__s64)bytes - s->expert_bytes[SENTINEL_EXPERT_LMS]) *
		     SENTINEL_LMS_STEP;
	int i;

	SENTINEL_UNROLL
	for (i = 0; i < SENTINEL_PREDICT_LAGS; i++) {
		__s64 weight = s->lms_weight[i] +
			       step * sentinel_direction((__s64)sentinel_lag(s, i) - mean);

		if (weight <= SENTINEL_LMS_WEIGHT_MAX && weight >= -SENTINEL_LMS_WEIGHT_MAX)
			s->lms_weight[i] = (__s16)weight;
	}
}

/* The state of every expert after one more interval. After a sleep LMS had not predicted. */
static __always_inline void sentinel_learn(struct sentinel_predict *s, __u32 bytes)
{
	__u32 *expert = s->expert_bytes;

	if (!s->asleep)
		sentinel_lms_update(s, bytes);
	SENTINEL_BARRIER();
	expert[SENTINEL_EXPERT_HOLT] = sentinel_holt(s, expert[SENTINEL_EXPERT_HOLT], bytes);
	expert[SENTINEL_EXPERT_FAST] =
		sentinel_mean_u32(expert[SENTINEL_EXPERT_FAST], bytes, SENTINEL_FAST_SHIFT);
	expert[SENTINEL_EXPERT_SLOW] =
		sentinel_mean_u32(expert[SENTINEL_EXPERT_SLOW], bytes, SENTINEL_SLOW_SHIFT);
	s->history[2] = s->history[1];
	s->history[1] = s->history[0];
	s->history[0] = expert[SENTINEL_EXPERT_LAST];
	expert[SENTINEL_EXPERT_LAST] = bytes;
}

/* The first interval of a flow: every expert expects more of the same. */
static __always_inline void sentinel_begin(struct sentinel_predict *s, __u32 bytes)
{
	int i;

	SENTINEL_UNROLL
	for (i = 0; i < SENTINEL_PREDICT_LAGS - 1; i++)
		s->history[i] = bytes;
	SENTINEL_UNROLL
	for (i = 0; i < SENTINEL_EXPERTS; i++)
		s->expert_bytes[i] = bytes;
	s->lms_weight[0] = 1 << SENTINEL_LMS_SHIFT;
}

static __always_inline int sentinel_has_network(const struct sentinel_model *model)
{
	return model && model->version;
}

static __always_inline void sentinel_network_predict(struct sentinel_predict *s,
						     const struct sentinel_model *model)
{
	if (!sentinel_has_network(model)) {
		s->expert_bytes[SENTINEL_EXPERT_NETWORK] = s->expert_bytes[SENTINEL_EXPERT_LAST];
		return;
	}
	s->expert_bytes[SENTINEL_EXPERT_NETWORK] = sentinel_network(model, s);
}

#endif
