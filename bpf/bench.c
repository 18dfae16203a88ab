// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The benchmark's own programs: they make traffic of many flows, and count what came through.
 *
 *  bench_walk_xdp, bench_walk_tc   for BPF_PROG_TEST_RUN: rewrite the one test frame into the next
 *              packet of a pseudo-random walk over the flows, then tail-call the program under test.
 *              The same walk into an empty program is what has to be subtracted.
 *  bench_egress  tc, where packets leave the box under test: counts them, takes the one-way delay
 *              from the stamp in their payload, and takes them away (TC_ACT_STOLEN: a drop would be
 *              reported to a sender in user space as an error): the box ends here.
 *  bench_drop    tc, drops: keeps the kernel from forwarding what a user-space lane forwards.
 *  bench_empty_tc, bench_empty_xdp  let everything pass: the empty-program baseline.
 *
 * The walk is the linear congruential generator of Numerical Recipes; the load generator (C) and
 * sentinel_sim.bench.walk (Python) repeat it, so that every flow's true count is known.
 */
#include <uapi/linux/pkt_cls.h>

#include "bench_abi.h"

#ifndef BCC_SEC
#error "bench.c is compiled by bcc (sentinel_bpf.bench_programs)"
#endif

BPF_PROG_ARRAY(bench_next_xdp, 1);
BPF_PROG_ARRAY(bench_next_tc, 1);
BPF_ARRAY(bench_walk_state, struct bench_walk, 1);
BPF_ARRAY(bench_egress_state, struct bench_egress, 1);
BPF_ARRAY(bench_delays, __u64, BENCH_DELAYS_MAX);

/* The head of the test frame: Ethernet, IPv4 without options, TCP with a timestamp option. */
struct bench_frame {
	__u8 macs[12];
	__be16 ethertype;
	__u8 ip_head[12];
	__be32 source;
	__be32 target;
	__be16 source_port;
	__be16 target_port;
	__be32 sequence;
	__be32 acknowledgement;
	__u8 tcp_rest[8];
	__u8 option_head[4];
	__be32 ts_value;
	__be32 ts_echo;
} __attribute__((packed));

/*
 * The next packet of the walk: its flow by the client's port, one in four from server to client.
 * Sequence numbers grow with every packet and each acknowledges all before it, so that no packet
 * looks like a retransmission and RTT probes complete.
 */
static __always_inline void bench_step(struct bench_walk *walk, struct bench_frame *frame)
{
	__be16 client, server = SENTINEL_BE16(BENCH_SERVER_PORT);
	__be32 low = SENTINEL_BE32(BENCH_CLIENT_ADDRESS), high = SENTINEL_BE32(BENCH_SERVER_ADDRESS);
	__u32 index, reverse;

	walk->state = walk->state * BENCH_WALK_FACTOR + BENCH_WALK_STEP;
	index = ((__u64)walk->state * walk->flows) >> 32;
	reverse = (walk->packets & 3) == 3;
	walk->packets += 1;
	client = SENTINEL_BE16(BENCH_FIRST_PORT + index);
	frame->source = reverse ? high : low;
	frame->target = reverse ? low : high;
	frame->source_port = reverse ? server : client;
	frame->target_port = reverse ? client : server;
	frame->sequence = SENTINEL_BE32(walk->packets * BENCH_SEGMENT_BYTES);
	frame->acknowledgement = frame->sequence;
	frame->ts_value = SENTINEL_BE32(walk->packets >> 13);
	frame->ts_echo = frame->ts_value;
}

int bench_walk_xdp(struct xdp_md *ctx)
{
	struct bench_frame *frame = (void *)(long)ctx->data;
	__u32 zero = 0;
	struct bench_walk *walk = bench_walk_state.lookup(&zero);

	if (!walk || (void *)(frame + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	bench_step(walk, frame);
	bench_next_xdp.call(ctx, 0);
	return XDP_ABORTED; /* nobody to call: the verdict tells */
}

int bench_walk_tc(struct __sk_buff *ctx)
{
	struct bench_frame *frame = (void *)(long)ctx->data;
	__u32 zero = 0;
	struct bench_walk *walk = bench_walk_state.lookup(&zero);

	if (!walk || (void *)(frame + 1) > (void *)(long)ctx->data_end)
		return TC_ACT_SHOT;
	bench_step(walk, frame);
	bench_next_tc.call(ctx, 0);
	return TC_ACT_SHOT;
}

int bench_egress(struct __sk_buff *skb)
{
	__u64 now_ns = bpf_ktime_get_ns(), stamp_ns = 0;
	__u32 zero = 0, slot;
	__u16 ethertype = 0;
	struct bench_egress *state = bench_egress_state.lookup(&zero);
	__u64 *delay_ns;

	if (!state)
		return TC_ACT_SHOT;
	if (skb->len < BENCH_FRAME_BYTES || bpf_skb_load_bytes(skb, 12, &ethertype, 2) ||
	    ethertype != SENTINEL_BE16(0x0800)) {
		state->others += 1;
		return TC_ACT_STOLEN;
	}
	/* The stamp stands at the end of the frame, whatever headers a lane put before it. */
	if (bpf_skb_load_bytes(skb, skb->len - sizeof(stamp_ns), &stamp_ns, sizeof(stamp_ns)))
		return TC_ACT_STOLEN;
	slot = state->packets & (BENCH_DELAYS_MAX - 1);
	delay_ns = bench_delays.lookup(&slot);
	if (delay_ns)
		*delay_ns = now_ns - stamp_ns;
	if (!state->packets)
		state->first_ns = now_ns;
	state->last_ns = now_ns;
	state->bytes += skb->len;
	state->packets += 1;
	return TC_ACT_STOLEN;
}

int bench_drop(struct __sk_buff *skb)
{
	return TC_ACT_SHOT;
}

int bench_empty_tc(struct __sk_buff *skb)
{
	return TC_ACT_UNSPEC;
}

int bench_empty_xdp(struct xdp_md *ctx)
{
	return XDP_PASS;
}
