/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the predictor keeps of one direction of a flow, and the weights of its network.
 *
 * sentinel_bpf/predict_abi.py mirrors this file; tests compare the two field by field. The
 * arithmetic stands in sentinel_predict.h. A state of zeros is a flow of which no packet was seen.
 */
#ifndef SENTINEL_PREDICT_ABI_H
#define SENTINEL_PREDICT_ABI_H

#include "sentinel_types.h"

/* Of the layout and of the meaning of weights: a model made for another number is refused. */
#define SENTINEL_MODEL_FORMAT 2

/* An interval lasts 2^shift ns. 2^25 ns = 33.6 ms unless the model says otherwise. */
#define SENTINEL_PREDICT_SHIFT_DEFAULT 25
#define SENTINEL_PREDICT_SHIFT_MIN 20
#define SENTINEL_PREDICT_SHIFT_MAX 27

/* Bytes of an interval saturate here: 128 Gbit/s at the longest interval, 512 at the default. */
#define SENTINEL_PREDICT_BYTES_MAX 0x7fffffffU

/* How many of the latest intervals a flow is judged by; also the order of the autoregression. */
#define SENTINEL_PREDICT_LAGS 4
/* Empty intervals after which a flow is asleep at the latest: 0 is predicted until it sends again. */
#define SENTINEL_PREDICT_AWAKE_EMPTY (SENTINEL_PREDICT_LAGS - 1)

#define SENTINEL_NETWORK_INPUTS 8
#define SENTINEL_NETWORK_HIDDEN 8
#define SENTINEL_NETWORK_PAIRS (SENTINEL_NETWORK_HIDDEN / 2)
/* Weights of the inputs are stored with this added, which makes them unsigned. */
#define SENTINEL_NETWORK_WEIGHT_ZERO 128
#define SENTINEL_NETWORK_DIRECT_ZERO 32768
/* Weights of both layers are integers over 2^shift. */
#define SENTINEL_NETWORK_HIDDEN_SHIFT 6
#define SENTINEL_NETWORK_OUTPUT_SHIFT 12

/* Who predicts the bytes of the next interval. */
enum sentinel_expert {
	SENTINEL_EXPERT_LAST,	 /* the last interval */
	SENTINEL_EXPERT_FAST,	 /* exponentially weighted mean, 1/4 */
	SENTINEL_EXPERT_SLOW,	 /* exponentially weighted mean, 1/32 */
	SENTINEL_EXPERT_HOLT,	 /* level and damped trend */
	SENTINEL_EXPERT_LMS,	 /* autoregression, weights by sign-sign LMS */
	SENTINEL_EXPERT_NETWORK, /* the small network; last value while there is no model */
	SENTINEL_EXPERTS,	 /* how many there are */
};

/* How far the next interval is expected to exceed the slow mean. */
enum sentinel_burst {
	SENTINEL_BURST_STEADY,	/* up to 9/8 of it */
	SENTINEL_BURST_VARYING, /* up to 3/2 */
	SENTINEL_BURST_BURSTY,	/* up to 2 */
	SENTINEL_BURST_PEAK,	/* more */
	SENTINEL_BURSTS,	/* how many there are */
};

/* Who predicts the gap before the next packet, and its size (which has no mean). */
enum sentinel_packet_expert {
	SENTINEL_PACKET_LAST,
	SENTINEL_PACKET_MEDIAN,
	SENTINEL_PACKET_MEAN,
	SENTINEL_PACKET_EXPERTS,
};

/*
 * One direction of one flow; written only by the packets of that direction. Every packet touches
 * the first 32 bytes; the end of an interval touches all but the last 40; one packet in eight
 * touches those.
 *
 * Intervals begin with the first packet of the flow and are closed by the first packet after
 * their end: a reader that finds interval_start_ns more than an interval in the past knows that
 * the intervals since were empty.
 *
 * error_sum are sums of absolute errors in units of 2^error_shift bytes, gap_error_sum in
 * 2^gap_shift ns, size_error_sum in 2^size_shift bytes: divide one by the other for a MASE.
 */
struct sentinel_predict {
	__u64 interval_start_ns;
	__u32 interval_bytes; /* since then */
	__u32 last_offset_ns; /* of the latest packet, since interval_start_ns */
	__u32 gap_last_ns;    /* gaps saturate at 2^32 - 1 */
	__u32 gap_mean_ns;
	__u32 gap_median_ns;
	__u16 size_last; /* bytes; 0: no packet yet; saturates at 65535 */
	__u16 size_median;

	__u32 expert_bytes[SENTINEL_EXPERTS]; /* what each predicts for the open interval */
	__u32 history[SENTINEL_PREDICT_LAGS - 1]; /* bytes of the intervals before the latest */
	__s32 holt_trend;			 /* bytes per interval */
	__s16 lms_weight[SENTINEL_PREDICT_LAGS]; /* over 2^12 */
	__u32 predicted_bytes;	 /* the leader's */
	__u32 intervals;	 /* closed, modulo 2^32; all but the first are scored */
	__u32 burst_hits;	 /* intervals whose class was the one predicted */
	__u32 burst_exceeded;	 /* intervals whose class was above it */
	__u8 leader;		 /* enum sentinel_expert */
	__u8 burst_class;	 /* enum sentinel_burst, predicted */
	__u8 asleep;		 /* 1: 0 was predicted because the flow is silent */
	__u8 error_shift;
	__u32 recent_error[SENTINEL_EXPERTS]; /* discounted mean absolute error, bytes */
	__u32 error_sum[SENTINEL_EXPERTS];
	__u32 leader_error_sum;

	__u32 gap_recent_ns[SENTINEL_PACKET_EXPERTS]; /* discounted mean absolute error */
	__u16 size_recent[2];
	__u32 gap_error_sum[2];	 /* of the leader; of the last value */
	__u32 size_error_sum[2]; /* of the leader; of the last value */
	__u8 gap_shift;
	__u8 size_shift;
	__u8 pad[6];
};
_Static_assert(sizeof(struct sentinel_predict) == 192, "keep predict_abi.py in step");

/*
 * The network: 8 inputs - 8 hidden (ReLU) - 1 output, and the inputs' direct way to the output.
 * There is no bias: a network without bias, with ReLU, is homogeneous, f(c x) = c f(x), so that
 * what it learned at one rate holds at every rate.
 */
struct sentinel_model {
	__u32 version;	    /* 0: an empty slot, no network */
	__u8 interval_shift; /* SENTINEL_PREDICT_SHIFT_MIN .. _MAX */
	__u8 pad[3];
	/* Of two units: bits 7-0 the even one, bits 39-32 the odd one. */
	__u64 hidden_weight[SENTINEL_NETWORK_INPUTS][SENTINEL_NETWORK_PAIRS];
	__u64 direct_weight[SENTINEL_NETWORK_INPUTS]; /* bits 15-0; bit 40 is 1: counts the input */
	__s64 output_weight[SENTINEL_NETWORK_HIDDEN];
};
_Static_assert(sizeof(struct sentinel_model) == 392, "keep predict_abi.py in step");

/*
 * The one value of the map of models. To change the model: write the idle slot with `active`
 * unchanged, then flip `active`. Packets under way finish with the slot they began with, which is
 * not written again before the next change.
 */
struct sentinel_models {
	__u32 active; /* 0 or 1 */
	__u32 pad;
	struct sentinel_model slot[2];
};
_Static_assert(sizeof(struct sentinel_models) == 792, "keep predict_abi.py in step");

#endif
