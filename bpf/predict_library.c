// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The predictor as a shared library, for training, evaluation and tests: the very headers that the
 * kernel runs, behind four functions (sentinel_bpf/training/library.py compiles and calls it).
 */
#include "sentinel_predict.h"

/* `count` packets of one direction of a flow. */
void predict_packets(struct sentinel_predict *state, const struct sentinel_model *model,
		     const __u64 *now_ns, const __u32 *size_bytes, __u64 count)
{
	__u64 i;

	for (i = 0; i < count; i++)
		sentinel_predict_packet(state, model, now_ns[i], size_bytes[i]);
}

static void record(const struct sentinel_predict *s, __u32 *predicted, __u32 *input)
{
	int i;

	for (i = 0; i < SENTINEL_EXPERTS; i++)
		predicted[i] = s->asleep ? 0 : s->expert_bytes[i];
	predicted[SENTINEL_EXPERTS] = s->predicted_bytes;
	for (i = 0; i < SENTINEL_NETWORK_INPUTS; i++)
		input[i] = sentinel_network_input(s, i);
}

/*
 * `count` intervals, the first one not empty. After each: what every expert and the leader predict
 * for the next, SENTINEL_EXPERTS + 1 values, and the inputs of the network.
 */
void predict_intervals(struct sentinel_predict *state, const struct sentinel_model *model,
		       const __u32 *bytes, __u64 count, __u32 *predicted, __u32 *input)
{
	__u64 i;

	for (i = 0; i < count; i++) {
		if (state->asleep && !bytes[i])
			sentinel_sleep(state, 1);
		else
			sentinel_close(state, model, bytes[i]);
		record(state, predicted + i * (SENTINEL_EXPERTS + 1),
		       input + i * SENTINEL_NETWORK_INPUTS);
	}
}

__u32 predict_network(const struct sentinel_model *model, const __u32 *input)
{
	struct sentinel_predict state = {
		.expert_bytes = { [SENTINEL_EXPERT_LAST] = input[0],
				  [SENTINEL_EXPERT_FAST] = input[3],
				  [SENTINEL_EXPERT_SLOW] = input[4],
				  [SENTINEL_EXPERT_LMS] = input[5] },
		.history = { input[1], input[2] },
		.recent_error = { [SENTINEL_EXPERT_SLOW] = input[6],
				  [SENTINEL_EXPERT_LMS] = input[7] },
	};

	return sentinel_network(model, &state);
}

__u32 predict_pattern_factor_q16(const struct sentinel_predict *state)
{
	return sentinel_pattern_factor_q16(state);
}
