// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The Flow Stabilization Unit: an XDP program on every node interface.
 *
 * It observes each packet that enters the interface, keeps counters and the windowed throughput of
 * its flow in `flow_metrics_map` (IPv4) or `flow_metrics6`, and lets every packet pass: the verdict
 * is XDP_PASS whatever happens. Packets that belong to no flow are counted in `fsu_counters`. It
 * sees one direction per interface (XDP is ingress only).
 *
 * Built by bcc (which defines BCC_SEC) and, unchanged, by
 *     clang -O2 -g -target bpf -c flow_math.c
 * bcc rewrites `map.lookup()` only in this file and not in macros: hence the small functions below.
 * -DSENTINEL_TEST_CLOCK takes the time from the map fsu_test_clock: for bit-exact tests only.
 *
 * Cost per packet of a known flow: one hash lookup, one array lookup, one bpf_ktime_get_ns(), no
 * atomic operation.
 *
 * Rooms kept for later stages: sentinel_rtt.h, sentinel_bdp.h and sentinel_predict.h, each a pure
 * function on a half (and its opposite), called from observe(); their state takes the place of
 * sentinel_flow_half.reserved.
 */
#include "sentinel_abi.h"
#include "sentinel_flow.h"
#include "sentinel_packet.h"

#ifdef BCC_SEC

BPF_TABLE("lru_hash", struct sentinel_flow4_key, struct sentinel_flow, flow_metrics_map,
	  SENTINEL_FLOWS4_MAX);
BPF_TABLE("lru_hash", struct sentinel_flow6_key, struct sentinel_flow, flow_metrics6,
	  SENTINEL_FLOWS6_MAX);
BPF_PERCPU_ARRAY(fsu_counters, __u64, SENTINEL_COUNTERS);
#ifdef SENTINEL_TEST_CLOCK
BPF_ARRAY(fsu_test_clock, __u64, 1);
#endif
#define SENTINEL_SECTION

#else

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct sentinel_flow4_key);
	__type(value, struct sentinel_flow);
	__uint(max_entries, SENTINEL_FLOWS4_MAX);
} flow_metrics_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__type(key, struct sentinel_flow6_key);
	__type(value, struct sentinel_flow);
	__uint(max_entries, SENTINEL_FLOWS6_MAX);
} flow_metrics6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, SENTINEL_COUNTERS);
} fsu_counters SEC(".maps");

#ifdef SENTINEL_TEST_CLOCK
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, __u64);
	__uint(max_entries, 1);
} fsu_test_clock SEC(".maps");
#endif

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

/* The flow's entry, made if it is new; NULL if there is no room. */
static __always_inline struct sentinel_flow *find_flow4(struct sentinel_flow4_key *key)
{
	struct sentinel_flow *flow;

#ifdef BCC_SEC
	flow = flow_metrics_map.lookup(key);
#else
	flow = bpf_map_lookup_elem(&flow_metrics_map, key);
#endif
	if (!flow) {
		/* "If not there": the other direction may have made it on another CPU. */
		struct sentinel_flow fresh = {};

#ifdef BCC_SEC
		flow_metrics_map.insert(key, &fresh);
		flow = flow_metrics_map.lookup(key);
#else
		bpf_map_update_elem(&flow_metrics_map, key, &fresh, BPF_NOEXIST);
		flow = bpf_map_lookup_elem(&flow_metrics_map, key);
#endif
	}
	return flow;
}

static __always_inline struct sentinel_flow *find_flow6(struct sentinel_flow6_key *key)
{
	struct sentinel_flow *flow;

#ifdef BCC_SEC
	flow = flow_metrics6.lookup(key);
#else
	flow = bpf_map_lookup_elem(&flow_metrics6, key);
#endif
	if (!flow) {
		struct sentinel_flow fresh = {};

#ifdef BCC_SEC
		flow_metrics6.insert(key, &fresh);
		flow = flow_metrics6.lookup(key);
#else
		bpf_map_update_elem(&flow_metrics6, key, &fresh, BPF_NOEXIST);
		flow = bpf_map_lookup_elem(&flow_metrics6, key);
#endif
	}
	return flow;
}

/* All that is done with a packet of a known flow: the stages, in order. */
static __always_inline void observe(struct sentinel_flow *flow, int backward, __u64 bytes)
{
	struct sentinel_flow_half *half = backward ? &flow->backward : &flow->forward;

	sentinel_count(half, bytes, now_ns());
}

static __always_inline enum sentinel_counter observe4(struct sentinel_cursor *cursor,
						      struct sentinel_ends *ends, __u64 bytes)
{
	struct sentinel_flow4_key key = {};
	struct sentinel_ipv4 *ip = 0;
	struct sentinel_flow *flow;
	enum sentinel_kind kind;
	int backward;

	kind = sentinel_parse_ipv4(cursor, ends, &ip);
	if (kind == SENTINEL_KIND_FRAGMENT)
		return SENTINEL_FRAGMENTS;
	if (kind != SENTINEL_KIND_IPV4)
		return SENTINEL_PARSE_FAIL;
	backward = sentinel_key4(&key, ip, ends);
	flow = find_flow4(&key);
	if (!flow)
		return SENTINEL_INSERT_FAIL;
	observe(flow, backward, bytes);
	return SENTINEL_FLOW4;
}

static __always_inline enum sentinel_counter observe6(struct sentinel_cursor *cursor,
						      struct sentinel_ends *ends, __u64 bytes)
{
	struct sentinel_flow6_key key = {};
	struct sentinel_ipv6 *ip = 0;
	struct sentinel_flow *flow;
	enum sentinel_kind kind;
	int backward;

	kind = sentinel_parse_ipv6(cursor, ends, &ip);
	if (kind == SENTINEL_KIND_FRAGMENT)
		return SENTINEL_FRAGMENTS;
	if (kind != SENTINEL_KIND_IPV6)
		return SENTINEL_PARSE_FAIL;
	backward = sentinel_key6(&key, ip, ends);
	flow = find_flow6(&key);
	if (!flow)
		return SENTINEL_INSERT_FAIL;
	observe(flow, backward, bytes);
	return SENTINEL_FLOW6;
}

SENTINEL_SECTION
int flow_stabilization_unit(struct xdp_md *ctx)
{
	struct sentinel_cursor cursor = {
		.at = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
	};
	__u64 bytes = sentinel_left(&cursor);
	struct sentinel_ends ends = {};
	enum sentinel_counter counter;
	__u32 ethertype;

	ethertype = sentinel_parse_eth(&cursor, &ends.tags_protocol);
	if (ethertype == SENTINEL_ETHERTYPE_IPV4)
		counter = observe4(&cursor, &ends, bytes);
	else if (ethertype == SENTINEL_ETHERTYPE_IPV6)
		counter = observe6(&cursor, &ends, bytes);
	else
		counter = ethertype ? SENTINEL_NOT_IP : SENTINEL_PARSE_FAIL;
	add_one(SENTINEL_PASSED);
	add_one(counter);
	return XDP_PASS;
}
