/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The expert bank over time: one interval after the other, and silence.
 *
 * A flow falls asleep at the end of an empty interval if at most one of the last four intervals had
 * bytes. Until it sends again 0 is predicted for every interval: by the leader, and by every
 * expert. That is what last value says as well, and the median of what comes next in a flow that
 * sends in less than every second interval. While it sleeps the intervals are counted and the lags
 * move on; the means, the trend and the weights stay.
 *
 * So any number of empty intervals is closed in bounded time, with the same result as one by one:
 * three at most are looked at, one in a flow that sends now and then. And neither LMS nor the
 * network is run for what is known to be 0. This is what a packet costs where each one ends
 * several intervals.
 */
#ifndef SENTINEL_BANK_H
#define SENTINEL_BANK_H

#include "sentinel_leader.h"

/* Whether a flow falls asleep with the empty interval that has just been learnt. */
static __always_inline int sentinel_is_silent(const struct sentinel_predict *s)
{
	__s64 sent = 0;
	int i;

	SENTINEL_UNROLL
	for (i = 0; i < SENTINEL_PREDICT_LAGS - 1; i++)
		sent -= sentinel_sign(-(__s64)s->history[i]);
	return sent <= 1;
}

/* `count` further empty intervals of a flow that is silent. */
static __always_inline void sentinel_sleep(struct sentinel_predict *s, __u64 count)
{
	__u32 *history = s->history;

	if (count) {
		history[2] = count == 1 ? history[1] : count == 2 ? history[0] : 0;
		history[1] = count == 1 ? history[0] : 0;
		history[0] = 0;
	}
	s->intervals += (__u32)count;
	s->asleep = 1;
	s->predicted_bytes = 0;
	s->burst_class = SENTINEL_BURST_STEADY;
}

/* One interval of an awake flow, or the first one with bytes after a sleep; 1: it sleeps now. */
static __always_inline int sentinel_close(struct sentinel_predict *s,
					  const struct sentinel_model *model, __u32 bytes)
{
	if (s->intervals) {
		sentinel_score(s, bytes);
		SENTINEL_BARRIER();
		sentinel_learn(s, bytes);
	} else {
		sentinel_begin(s, bytes);
		s->leader = sentinel_has_network(model) ? SENTINEL_EXPERT_NETWORK :
							  SENTINEL_EXPERT_LAST;
	}
	s->intervals += 1;
	s->asleep = 0;
	SENTINEL_BARRIER();
	if (!bytes && sentinel_is_silent(s)) {
		sentinel_sleep(s, 0);
		return 1;
	}
	sentinel_lms_predict(s);
	SENTINEL_BARRIER();
	sentinel_network_predict(s, model);
	SENTINEL_BARRIER();
	sentinel_choose(s, model);
	return 0;
}

/* The `turn`th of `count` intervals; 1: no other one is to be closed. */
static __always_inline int sentinel_close_turn(struct sentinel_predict *s,
					       const struct sentinel_model *model, __u32 bytes,
					       __u64 count, __u64 turn)
{
	SENTINEL_BARRIER();
	if (sentinel_close(s, model, bytes)) {
		sentinel_sleep(s, count - turn);
		return 1;
	}
	return turn >= count;
}

/*
 * Close `count` >= 1 intervals: one of `bytes` > 0, the others empty. A flow sleeps after
 * SENTINEL_PREDICT_AWAKE_EMPTY of those at the latest. Written out: in a loop the verifier of
 * Linux 6.1 takes the second turn for the first one again, and refuses the program.
 */
static __always_inline void sentinel_close_all(struct sentinel_predict *s,
					       const struct sentinel_model *model, __u32 bytes,
					       __u64 count)
{
	_Static_assert(SENTINEL_PREDICT_AWAKE_EMPTY == 3, "so many turns follow the first");
	if (sentinel_close_turn(s, model, bytes, count, 1))
		return;
	if (sentinel_close_turn(s, model, 0, count, 2))
		return;
	if (sentinel_close_turn(s, model, 0, count, 3))
		return;
	sentinel_close_turn(s, model, 0, count, 4);
}

#endif
