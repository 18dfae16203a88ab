/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The maps of flow_math.c as libbpf wants them. The same maps for bcc stand in flow_math.c itself:
 * bcc makes maps of macros in the main file.
 */
#ifndef SENTINEL_MAPS_H
#define SENTINEL_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define SENTINEL_MAP(kind, key_type, value_type, name, entries)                                    \
	struct {                                                                                   \
		__uint(type, kind);                                                                \
		__type(key, key_type);                                                             \
		__type(value, value_type);                                                         \
		__uint(max_entries, entries);                                                      \
	} name SEC(".maps")

SENTINEL_MAP(BPF_MAP_TYPE_LRU_HASH, struct sentinel_flow4_key, struct sentinel_flow,
	     flow_metrics_map, SENTINEL_FLOWS4_MAX);
SENTINEL_MAP(BPF_MAP_TYPE_LRU_HASH, struct sentinel_flow6_key, struct sentinel_flow, flow_metrics6,
	     SENTINEL_FLOWS6_MAX);
SENTINEL_MAP(BPF_MAP_TYPE_PERCPU_ARRAY, __u32, __u64, fsu_counters, SENTINEL_COUNTERS);
SENTINEL_MAP(BPF_MAP_TYPE_ARRAY, __u32, struct sentinel_heartbeat, fsu_heartbeat, 1);
SENTINEL_MAP(BPF_MAP_TYPE_ARRAY, __u32, struct sentinel_config, fsu_config, 1);
SENTINEL_MAP(BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct sentinel_flood, fsu_flood, 1);
SENTINEL_MAP(BPF_MAP_TYPE_ARRAY, __u32, struct sentinel_flow, fsu_new_flow, 1);
SENTINEL_MAP(BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct sentinel_ends, fsu_scratch, 1);
#ifndef SENTINEL_WITHOUT_PREDICT
SENTINEL_MAP(BPF_MAP_TYPE_ARRAY, __u32, struct sentinel_models, fsu_models, 1);
#endif
#ifdef SENTINEL_TEST_CLOCK
SENTINEL_MAP(BPF_MAP_TYPE_ARRAY, __u32, __u64, fsu_test_clock, 1);
#endif

#endif
