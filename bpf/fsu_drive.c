// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Drivers for BPF_PROG_TEST_RUN, which by itself offers one frame again and again. Never attached.
 *
 *     drive_flows  makes the frame (IPv4, TCP, timestamps) the next segment of one of many flows
 *     drive_replay puts the next recorded frame in its place, and sets the test clock
 *     drive_bare   what nobody can do without: takes the time, looks the flow up, and touches the
 *                  cache lines that the FSU touches; the yardstick for the FSU on many flows
 *
 * Both drivers go on to the program in drive_target. Their own cost is that of the same driver
 * with a target that only passes.
 */
#include "sentinel_abi.h"
#include "sentinel_packet.h"
#include "sentinel_drive_abi.h"

BPF_ARRAY(drive_state, struct sentinel_drive, 1);
BPF_PROG_ARRAY(drive_target, 1);
BPF_ARRAY(drive_frames, struct sentinel_drive_frame, SENTINEL_DRIVE_FRAMES_MAX);
BPF_ARRAY(fsu_test_clock, __u64, 1);
BPF_TABLE("lru_hash", struct sentinel_flow4_key, struct sentinel_flow, drive_bare_flows,
	  SENTINEL_FLOWS4_MAX);
BPF_ARRAY(drive_new_flow, struct sentinel_flow, 1);

struct segment {
	struct sentinel_eth eth;
	struct sentinel_ipv4 ip;
	struct sentinel_tcp_header tcp;
	struct sentinel_tcp_timestamps timestamps;
} __attribute__((packed));

/*
 * Data from the client, three of four; otherwise an acknowledgement of what was sent `lag` packets
 * ago: that is the round-trip time. Timestamps tick each 1,024 packets.
 */
static __always_inline void write_segment(struct segment *segment,
					  const struct sentinel_drive *state, __u64 flow,
					  int is_data)
{
	__be16 port = SENTINEL_BE16(SENTINEL_DRIVE_FIRST_PORT + flow);
	__u64 seen = state->packets - state->lag;
	__u32 sequence = (__u32)((is_data ? state->packets : seen) * SENTINEL_DRIVE_PAYLOAD);

	segment->ip.source = is_data ? SENTINEL_DRIVE_CLIENT : SENTINEL_DRIVE_SERVER;
	segment->ip.target = is_data ? SENTINEL_DRIVE_SERVER : SENTINEL_DRIVE_CLIENT;
	segment->ip.total_length =
		SENTINEL_BE16(SENTINEL_DRIVE_HEADERS + (is_data ? SENTINEL_DRIVE_PAYLOAD : 0));
	segment->tcp.source = is_data ? port : SENTINEL_BE16(SENTINEL_DRIVE_PORT);
	segment->tcp.target = is_data ? SENTINEL_BE16(SENTINEL_DRIVE_PORT) : port;
	segment->tcp.sequence = is_data ? SENTINEL_BE32(sequence) : 0;
	segment->tcp.acknowledgement = is_data ? 0 : SENTINEL_BE32(sequence);
	segment->timestamps.value =
		SENTINEL_BE32((__u32)(state->packets >> SENTINEL_DRIVE_TICK_SHIFT));
	segment->timestamps.echo = SENTINEL_BE32((__u32)(seen >> SENTINEL_DRIVE_TICK_SHIFT));
}

int drive_flows(struct xdp_md *ctx)
{
	struct segment *segment = (void *)(long)ctx->data;
	__u32 zero = 0;
	struct sentinel_drive *state = drive_state.lookup(&zero);

	if (!state || (void *)(segment + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	/* Knuth's linear congruential generator (MMIX); its upper bits are the good ones. */
	state->random = state->random * 6364136223846793005ULL + 1442695040888963407ULL;
	state->packets += 1;
	write_segment(segment, state, ((state->random >> 32) * state->flows) >> 32,
		      (state->packets & 3) != 0);
	drive_target.call(ctx, 0);
	return XDP_ABORTED;
}

int drive_replay(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct sentinel_drive *state = drive_state.lookup(&zero);
	__u64 *clock = fsu_test_clock.lookup(&zero);
	__u64 length = (__u64)((char *)(long)ctx->data_end - (char *)(long)ctx->data);
	struct sentinel_drive_frame *frame;
	__u64 stored;
	__u32 index;

	if (!state || !clock)
		return XDP_ABORTED;
	index = (__u32)state->packets;
	frame = drive_frames.lookup(&index);
	if (!frame)
		return XDP_ABORTED;
	state->packets += 1;
	*clock = frame->now_ns;
	if (bpf_xdp_adjust_tail(ctx, (int)(frame->length - SENTINEL_OPAQUE(length))))
		return XDP_ABORTED;
	stored = SENTINEL_OPAQUE((__u64)frame->stored_last) & (SENTINEL_DRIVE_STORED_MAX - 1);
	if (bpf_xdp_store_bytes(ctx, 0, frame->data, stored + 1))
		return XDP_ABORTED;
	drive_target.call(ctx, 0);
	return XDP_ABORTED;
}

static __always_inline struct sentinel_flow *find_bare(struct sentinel_flow4_key *key)
{
	struct sentinel_flow *flow = drive_bare_flows.lookup(key);
	struct sentinel_flow *fresh;
	__u32 zero = 0;

	if (flow)
		return flow;
	fresh = drive_new_flow.lookup(&zero);
	if (!fresh)
		return 0;
	drive_bare_flows.insert(key, fresh);
	return drive_bare_flows.lookup(key);
}

/*
 * What the FSU reads and writes of a known TCP flow: two lines for every packet; where packets
 * of a flow are further apart than a tick (1.05 ms) and an interval of the predictor, all lines of
 * the half (-DSENTINEL_DRIVE_SPARSE).
 */
static __always_inline void touch(struct sentinel_flow *flow, struct sentinel_flow_half *half,
				  __u64 now_ns)
{
	flow->exchange[0].stamp += 1;
	half->last_timestamp = now_ns;
	half->packets_total += 1;
#ifdef SENTINEL_DRIVE_SPARSE
	half->predict.expert_bytes[0] += 1;
	half->predict.leader_error_sum += 1;
	half->probe_sent_ns = now_ns;
	half->throughput_bps += 1;
	half->started_ns += 1;
#endif
}

int drive_bare(struct xdp_md *ctx)
{
	__u64 now_ns = bpf_ktime_get_ns();
	struct segment *segment = (void *)(long)ctx->data;
	struct sentinel_ends ends = {};
	struct sentinel_flow *flow;

	if ((void *)(segment + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	ends.source_port = segment->tcp.source;
	ends.target_port = segment->tcp.target;
	ends.tags_protocol = segment->ip.protocol;
	*(__be32 *)ends.source = segment->ip.source;
	*(__be32 *)ends.target = segment->ip.target;
	sentinel_key4(&ends);
	flow = find_bare(&ends.key.key4);
	if (!flow)
		return XDP_ABORTED;
	touch(flow, ends.backward ? &flow->backward : &flow->forward, now_ns);
	return XDP_PASS;
}
