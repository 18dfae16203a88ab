// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The predictor alone, for tests: the frame says when a packet came and how large it was.
 * Bytes 14 to 21 of the frame are now_ns, 22 to 25 the size, little-endian.
 */
#include "sentinel_predict.h"

BPF_ARRAY(predict_state, struct sentinel_predict, 1);
BPF_ARRAY(predict_models, struct sentinel_models, 1);

struct predict_record {
	__u8 ethernet[14];
	__u64 now_ns;
	__u32 size_bytes;
} __attribute__((packed));

int predict_probe(struct xdp_md *ctx)
{
	struct predict_record *record = (void *)(long)ctx->data;
	struct sentinel_predict *state;
	struct sentinel_models *models;
	__u32 zero = 0;

	if ((void *)(record + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	state = predict_state.lookup(&zero);
	models = predict_models.lookup(&zero);
	if (!state || !models)
		return XDP_DROP;
	sentinel_predict_packet(state, sentinel_active_model(models), record->now_ns,
				record->size_bytes);
	return XDP_PASS;
}
