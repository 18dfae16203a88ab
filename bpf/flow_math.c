// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The Flow Stabilization Unit: an XDP program on every node interface.
 *
 * It observes each packet that enters the interface and lets every packet pass: the verdict is
 * XDP_PASS whatever happens. The stages, one header each:
 *
 *     guard    stale heartbeat: hands off; too many new flows: none are made   sentinel_guard.h
 *     parse    Ethernet, VLAN, QinQ, IPv4, IPv6 and its extensions, ports       sentinel_packet.h
 *              TCP numbers and timestamps                                       sentinel_tcp.h
 *     lookup   the flow's entry, both directions in one
 *     fetch    the half's cache lines, once a tick                              sentinel_fetch.h
 *     count    bytes, packets, mean size                                        sentinel_count.h
 *     rate     windowed and averaged throughput                                 sentinel_rate.h
 *     rtt      SEQ/ACK probe with Karn's rule, TSval probe beside it            sentinel_rtt.h
 *     predict  next gap, size, interval, burst class                            sentinel_predict.h
 *     bdp      bandwidth-delay product and optimal buffer                       sentinel_bdp.h
 *
 * Results are published in `flow_metrics_map` (IPv4) and `flow_metrics6`, outcomes counted in
 * `fsu_counters`. XDP sees what enters an interface; for RTTs the same program, with the same maps,
 * runs where each direction enters: each direction still has one writer.
 *
 * Cost per packet of a known flow: one hash lookup, three array lookups (inlined by the kernel to
 * a few instructions), one bpf_ktime_get_ns(), no atomic operation; time is taken first, so that
 * the loads behind it can overlap (reading the TSC waits for all loads before it).
 *
 * Built by bcc (which defines BCC_SEC) and, unchanged, by
 *     clang -O2 -g -target bpf -c flow_math.c
 * bcc rewrites `map.lookup()` only in this file and not in macros: hence the small functions below.
 *
 * A super-packet (tc only: flow_math_tc.c) counts as the packets that it will be cut into, each with
 * the headers; it is one event for gap, size and RTT, at the time it was handed over.
 *
 * -DSENTINEL_TEST_CLOCK takes the time from the map fsu_test_clock: for bit-exact tests only.
 * -DSENTINEL_WITHOUT_GUARD, _RATE, _RTT, _PREDICT, _BDP leave a stage out: for measuring its share.
 */
#include "sentinel_abi.h"
#include "sentinel_bdp.h"
#include "sentinel_count.h"
#include "sentinel_frame.h"
#include "sentinel_fetch.h"
#include "sentinel_guard.h"
#include "sentinel_packet.h"
#include "sentinel_rate.h"
#include "sentinel_rtt.h"
#if __has_include("sentinel_predict.h")
#include "sentinel_predict.h"
#elif !defined(SENTINEL_WITHOUT_PREDICT)
#define SENTINEL_WITHOUT_PREDICT
#endif

#ifdef BCC_SEC

BPF_TABLE("lru_hash", struct sentinel_flow4_key, struct sentinel_flow, flow_metrics_map,
	  SENTINEL_FLOWS4_MAX);
BPF_TABLE("lru_hash", struct sentinel_flow6_key, struct sentinel_flow, flow_metrics6,
	  SENTINEL_FLOWS6_MAX);
BPF_PERCPU_ARRAY(fsu_counters, __u64, SENTINEL_COUNTERS);
BPF_ARRAY(fsu_heartbeat, struct sentinel_heartbeat, 1);
BPF_ARRAY(fsu_config, struct sentinel_config, 1);
BPF_PERCPU_ARRAY(fsu_flood, struct sentinel_flood, 1);
BPF_ARRAY(fsu_new_flow, struct sentinel_flow, 1);
BPF_PERCPU_ARRAY(fsu_scratch, struct sentinel_ends, 1);
#ifndef SENTINEL_WITHOUT_PREDICT
BPF_ARRAY(fsu_models, struct sentinel_models, 1);
#endif
#ifdef SENTINEL_TEST_CLOCK
BPF_ARRAY(fsu_test_clock, __u64, 1);
#endif
#define SENTINEL_SECTION

#else

#include "sentinel_maps.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
#define SENTINEL_SECTION SEC("xdp")

#endif

static __always_inline __u64 now_ns(void)
{
#ifdef SENTINEL_TEST_CLOCK
	__u32 zero = 0;
	__u64 *clock;

#ifdef BCC_SEC
	clock = fsu_test_clock.lookup(&zero);
#else
	clock = bpf_map_lookup_elem(&fsu_test_clock, &zero);
#endif
	return clock ? *clock : 0;
#else
	return bpf_ktime_get_ns();
#endif
}

static __always_inline void add_one(__u32 counter)
{
	__u64 *value;

#ifdef BCC_SEC
	value = fsu_counters.lookup(&counter);
#else
	value = bpf_map_lookup_elem(&fsu_counters, &counter);
#endif
	if (value)
		*value += 1;
}

static __always_inline struct sentinel_heartbeat *find_heartbeat(void)
{
	__u32 zero = 0;

#ifdef BCC_SEC
	return fsu_heartbeat.lookup(&zero);
#else
	return bpf_map_lookup_elem(&fsu_heartbeat, &zero);
#endif
}

static __always_inline struct sentinel_config *find_config(void)
{
	__u32 zero = 0;

#ifdef BCC_SEC
	return fsu_config.lookup(&zero);
#else
	return bpf_map_lookup_elem(&fsu_config, &zero);
#endif
}

static __always_inline struct sentinel_flood *find_flood(void)
{
	__u32 zero = 0;

#ifdef BCC_SEC
	return fsu_flood.lookup(&zero);
#else
	return bpf_map_lookup_elem(&fsu_flood, &zero);
#endif
}

static __always_inline struct sentinel_ends *find_scratch(void)
{
	__u32 zero = 0;

#ifdef BCC_SEC
	return fsu_scratch.lookup(&zero);
#else
	return bpf_map_lookup_elem(&fsu_scratch, &zero);
#endif
}

/* All zeros, never written: too large for the stack. */
static __always_inline struct sentinel_flow *find_new_flow(void)
{
	__u32 zero = 0;

#ifdef BCC_SEC
	return fsu_new_flow.lookup(&zero);
#else
	return bpf_map_lookup_elem(&fsu_new_flow, &zero);
#endif
}

#ifndef SENTINEL_WITHOUT_PREDICT
static __always_inline struct sentinel_models *find_models(void)
{
	__u32 zero = 0;

#ifdef BCC_SEC
	return fsu_models.lookup(&zero);
#else
	return bpf_map_lookup_elem(&fsu_models, &zero);
#endif
}
#endif

/* Whether a new flow may be made; NULL: no. */
static __always_inline struct sentinel_flow *admit_new_flow(__u64 now)
{
	struct sentinel_config *config = find_config();
	struct sentinel_flood *flood = find_flood();

	if (!config || !flood || !sentinel_admit(flood, config, now))
		return 0;
	return find_new_flow();
}

/*
 * The flow's entry, made if it is new; NULL if that is not to be, then `*why` says the reason.
 * "If not there": the other direction may have made it on another CPU.
 */
static __always_inline struct sentinel_flow *find_flow4(struct sentinel_flow4_key *key,
						      __u64 now, enum sentinel_counter *why)
{
	struct sentinel_flow *flow, *fresh;

#ifdef BCC_SEC
	flow = flow_metrics_map.lookup(key);
#else
	flow = bpf_map_lookup_elem(&flow_metrics_map, key);
#endif
	if (flow)
		return flow;
	*why = SENTINEL_FLOOD_REFUSED;
	fresh = admit_new_flow(now);
	if (!fresh)
		return 0;
#ifdef BCC_SEC
	flow_metrics_map.insert(key, fresh);
	flow = flow_metrics_map.lookup(key);
#else
	bpf_map_update_elem(&flow_metrics_map, key, fresh, BPF_NOEXIST);
	flow = bpf_map_lookup_elem(&flow_metrics_map, key);
#endif
	*why = flow ? SENTINEL_FLOW4 : SENTINEL_INSERT_FAIL;
	return flow;
}

static __always_inline struct sentinel_flow *find_flow6(struct sentinel_flow6_key *key,
						      __u64 now, enum sentinel_counter *why)
{
	struct sentinel_flow *flow, *fresh;

#ifdef BCC_SEC
	flow = flow_metrics6.lookup(key);
#else
	flow = bpf_map_lookup_elem(&flow_metrics6, key);
#endif
	if (flow)
		return flow;
	*why = SENTINEL_FLOOD_REFUSED;
	fresh = admit_new_flow(now);
	if (!fresh)
		return 0;
#ifdef BCC_SEC
	flow_metrics6.insert(key, fresh);
	flow = flow_metrics6.lookup(key);
#else
	bpf_map_update_elem(&flow_metrics6, key, fresh, BPF_NOEXIST);
	flow = bpf_map_lookup_elem(&flow_metrics6, key);
#endif
	*why = flow ? SENTINEL_FLOW6 : SENTINEL_INSERT_FAIL;
	return flow;
}

static __always_inline int is_bypassed(__u64 now)
{
#ifndef SENTINEL_WITHOUT_GUARD
	struct sentinel_heartbeat *heartbeat = find_heartbeat();

	return heartbeat && sentinel_is_stale(heartbeat, now);
#else
	return 0;
#endif
}

/* Whether this packet starts its half anew: the first of all, a new SYN, or long silence. */
static __always_inline int is_birth(const struct sentinel_flow_half *half,
				    const struct packet *packet)
{
	__u64 silent_ns = packet->now - half->last_timestamp;
	struct sentinel_config *config;

	if (!half->packets_total)
		return 1;
	if (packet->ends->is_tcp)
		return sentinel_is_new_syn(half, &packet->ends->tcp);
	if (silent_ns >> SENTINEL_IDLE_LOOK_SHIFT == 0)
		return 0;
	config = find_config();
	return config && sentinel_is_long_idle(silent_ns, config);
}

static __always_inline void predict(struct sentinel_predict *state, const struct packet *packet)
{
#ifndef SENTINEL_WITHOUT_PREDICT
	struct sentinel_models *models = find_models();

	if (models)
		sentinel_predict_packet(
			state, SENTINEL_OPAQUE(&models->slot[0] + (models->active & 1)),
			packet->now, (__u32)packet->bytes);
#endif
}

static __always_inline void publish(struct sentinel_flow_half *half)
{
#ifndef SENTINEL_WITHOUT_BDP
#ifndef SENTINEL_WITHOUT_PREDICT
	sentinel_publish_bdp(half, sentinel_pattern_factor_q16(&half->predict));
#else
	sentinel_publish_bdp(half, SENTINEL_PATTERN_FACTOR_ONE);
#endif
#endif
}

/* The RTT stage, for TCP only. 1: the RTT has changed. */
static __always_inline int measure_rtt(const struct sentinel_rtt_view *view,
				       const struct packet *packet, int new_tick)
{
	int changed = 0;

#ifndef SENTINEL_WITHOUT_RTT
	if (!packet->ends->is_tcp)
		return 0;
	changed = sentinel_rtt(view, &packet->ends->tcp, packet->now);
	if (new_tick)
		sentinel_rtt_expire(view, packet->now);
#endif
	return changed;
}

/*
 * All that is done with a packet of a known flow: the stages, in order. The direction is an offset
 * that the verifier knows the bounds of, not a branch: one way instead of two.
 */
static __always_inline void observe(struct sentinel_flow *flow, const struct packet *packet)
{
	__u64 backward = packet->ends->backward & 1;
	struct sentinel_flow_half *half = SENTINEL_OPAQUE(&flow->forward + backward);
	const struct sentinel_rtt_view view = {
		.half = half,
		.own = SENTINEL_OPAQUE(&flow->exchange[0] + backward),
		.other = SENTINEL_OPAQUE(&flow->exchange[0] + (backward ^ 1)),
	};
	int changed = 0;
	int new_tick = sentinel_is_new_tick(half, packet->now);

	if (new_tick)
		sentinel_fetch_lines(half);
	if (is_birth(half, packet)) {
		if (half->packets_total)
			add_one(SENTINEL_REBORN);
		sentinel_start_half(&view, packet->bytes, packet->now,
				    packet->ctx->ingress_ifindex);
		new_tick = 0;
	}
	sentinel_count(half, packet->bytes, packet->segments, packet->now);
	predict(&half->predict, packet);
	changed = measure_rtt(&view, packet, new_tick);
#ifndef SENTINEL_WITHOUT_RATE
	if (new_tick)
		changed |= sentinel_close_interval(half, packet->now);
#endif
	if (changed)
		publish(half);
}

/* The flow of a packet of FLOW4 or FLOW6; NULL: `*outcome` then says why there is none. */
static __always_inline struct sentinel_flow *find_flow(struct sentinel_ends *ends, __u64 now,
						       enum sentinel_counter *outcome)
{
	if (*outcome == SENTINEL_FLOW4) {
		sentinel_key4(ends);
		return find_flow4(&ends->key.key4, now, outcome);
	}
	sentinel_key6(ends);
	return find_flow6(&ends->key.key6, now, outcome);
}

static __always_inline enum sentinel_counter handle(struct xdp_md *ctx)
{
	struct sentinel_cursor cursor = {
		.data = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
		.frame_bytes = SENTINEL_FRAME_BYTES(ctx),
	};
	struct packet packet = {
		.ends = find_scratch(),
		.ctx = ctx,
		.bytes = cursor.frame_bytes,
		.segments = SENTINEL_SEGMENTS(ctx),
		.now = now_ns(),
	};
	enum sentinel_counter outcome;
	struct sentinel_flow *flow;

	if (!packet.ends || is_bypassed(packet.now))
		return SENTINEL_BYPASSED;
	outcome = sentinel_parse(&cursor, packet.ends);
	if (outcome != SENTINEL_FLOW4 && outcome != SENTINEL_FLOW6)
		return outcome;
	flow = find_flow(packet.ends, packet.now, &outcome);
	if (packet.segments > 1)
		packet.bytes = wire_bytes(packet.ends, cursor.frame_bytes, packet.segments);
	if (flow)
		observe(flow, &packet);
	return outcome;
}

SENTINEL_SECTION
int flow_stabilization_unit(struct xdp_md *ctx)
{
	add_one(handle(ctx));
	return XDP_PASS;
}
