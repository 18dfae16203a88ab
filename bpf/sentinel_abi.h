/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What flow_math.c and user space share: keys, values and counters of its maps.
 *
 * sentinel_bpf/abi.py mirrors this file; tests compare the two field by field. Padding is always
 * a named field, because stray bytes in a key would split a flow.
 */
#ifndef SENTINEL_ABI_H
#define SENTINEL_ABI_H

#include "sentinel_types.h"

#define SENTINEL_ABI_VERSION 1

/*
 * Sizes of the maps when the loader is told nothing else. An LRU map is allocated in full when it
 * is created (about 350 bytes a flow), and should hold four times the flows expected.
 */
#define SENTINEL_FLOWS4_MAX 16384
#define SENTINEL_FLOWS6_MAX 4096

/*
 * `low` is the end with the smaller (address, port), compared as numbers in host order, so that
 * both directions of a conversation find the same entry. Addresses and ports are stored in
 * network order. Protocols without ports have zeros there.
 *
 * tags_protocol: bits 31-20 the outer VLAN id of a doubly tagged frame, bits 19-8 the (inner) VLAN
 * id, bits 7-0 the IP protocol. Untagged frames have id 0. The same addresses in two VLANs are
 * two flows.
 */
struct sentinel_flow4_key {
	__be32 low_address;
	__be32 high_address;
	__be16 low_port;
	__be16 high_port;
	__u32 tags_protocol;
};
_Static_assert(sizeof(struct sentinel_flow4_key) == 16, "keep abi.py in step");

struct sentinel_flow6_key {
	__be64 low_address[2];
	__be64 high_address[2];
	__be16 low_port;
	__be16 high_port;
	__u32 tags_protocol;
};
_Static_assert(sizeof(struct sentinel_flow6_key) == 40, "keep abi.py in step");

#define SENTINEL_TAGS_OUTER_SHIFT 20
#define SENTINEL_TAGS_INNER_SHIFT 8

/*
 * One direction of one flow, written only by the packets of that direction: one receive queue per
 * interface makes one writer, so plain stores are enough. User space reads and never writes. A
 * reader may see a half between two stores; each field by itself is whole.
 *
 * The first 64 bytes are touched by every packet, the second 64 are not touched yet.
 */
struct sentinel_flow_half {
	__u64 bytes_total;	   /* layer 2, header included, without preamble, FCS and gap */
	__u64 packets_total;
	__u64 last_timestamp;	   /* ns, CLOCK_MONOTONIC, of the latest packet */
	__u64 avg_packet_size;	   /* bytes_total / packets_total, rounded down, bytes */
	__u64 throughput_bps;	   /* bits/s, average over some 8 intervals; says nothing about
				    * the time after last_timestamp */
	__u64 interval_start_ns;   /* of the interval that is being filled */
	__u64 interval_bytes;	   /* arrived after interval_start_ns */
	__u64 throughput_bps_x8;   /* the average, scaled so that it cannot stick */
	__u64 rtt_us;		   /* 0: not measured by this version */
	__u64 optimal_buffer_size; /* bytes; 0: not computed by this version */
	__u64 reserved[6];	   /* 0: room for the RTT probe and the predictor */
};
_Static_assert(sizeof(struct sentinel_flow_half) == 128, "keep abi.py in step");

/* `forward` counts packets from the low end to the high end, `backward` the others. */
struct sentinel_flow {
	struct sentinel_flow_half forward;
	struct sentinel_flow_half backward;
};
_Static_assert(sizeof(struct sentinel_flow) == 256, "keep abi.py in step");

/* Indices into fsu_counters, one u64 each on every CPU. */
enum sentinel_counter {
	SENTINEL_PASSED,	 /* every packet the program saw; it drops none */
	SENTINEL_FLOW4,		 /* of these: counted in flow_metrics_map */
	SENTINEL_FLOW6,		 /* counted in flow_metrics6 */
	SENTINEL_NOT_IP,	 /* neither IPv4 nor IPv6: ARP and the like */
	SENTINEL_FRAGMENTS,	 /* IP fragments: all but the first lack ports */
	SENTINEL_PARSE_FAIL,	 /* truncated, malformed, or nested beyond the limits */
	SENTINEL_INSERT_FAIL,	 /* no room for a new flow */
	SENTINEL_COUNTERS,	 /* how many there are */
};

#endif
