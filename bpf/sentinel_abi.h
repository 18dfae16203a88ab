/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What flow_math.c and user space share: keys, values, counters and settings of its maps.
 *
 * sentinel_bpf/abi.py mirrors this file; tests compare the two field by field. Padding is always
 * a named field, because stray bytes in a key would split a flow.
 *
 * Cache lines. An element of a hash with 16-byte keys is 48 bytes of the kernel's, the key, the
 * value: the value of flow_metrics_map begins on a line of its own, the key shares one with what
 * the lookup reads anyway. A packet then touches two lines of the value: `exchange`, and the first
 * 64 bytes of its half. An element of 896 bytes is a multiple of 128, so that the processor's
 * pair of lines is {key, exchange}.
 */
#ifndef SENTINEL_ABI_H
#define SENTINEL_ABI_H

#include "sentinel_predict_abi.h"
#include "sentinel_types.h"

#define SENTINEL_ABI_VERSION 3

/*
 * Sizes of the maps when the loader is told nothing else. An LRU map is allocated in full when it
 * is created (about 900 bytes a flow), and should hold four times the flows expected.
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
 * Every packet touches the first 64 bytes (which end with the busy part of `predict`); what is
 * touched together lies together behind them.
 *
 * Which RTT: from the place where this direction's packets are seen (interface `ifindex` of this
 * half) to the flow's far end in this direction, and back to the place where the packets of the
 * other direction are seen (`ifindex` of the other half). In the middle of a path the two halves'
 * RTTs are the two parts of the whole. 0 while only one direction is seen.
 */
struct sentinel_flow_half {
	__u64 bytes_total;	 /* layer 2, header included, without preamble, FCS and gap */
	__u64 packets_total;
	__u64 last_timestamp;	 /* ns, CLOCK_MONOTONIC, of the latest packet */
	__u32 avg_packet_size;	 /* bytes_total / packets_total, rounded down, bytes */
	__u32 seq_high;		 /* the end of the highest TCP segment */
	struct sentinel_predict predict;
	/* The end of line 3, with probes and their samples. */
	__u64 probe_sent_ns;	 /* of the latest SEQ probe */
	__u64 ts_sent_ns;	 /* of the latest TSval probe */
	__u32 rtt_us;		 /* srtt in microseconds, rounded down */
	__u32 rtt_min_ns;	 /* least sample of the latest 8.6 to 17.2 s with samples */
	__u32 rtt_last_ns;	 /* latest sample */
	__u32 rtt_samples;	 /* modulo 2^32 */
	/* Line 4, when a rate interval ends. */
	__u64 throughput_bps;	 /* bits/s, average of the latest 8 ms or so; says nothing about
				  * the time after last_timestamp */
	__u64 throughput_window_bps; /* bits/s of the latest whole interval (some 1 ms) */
	__u64 throughput_bps_x16; /* the average, scaled so that it cannot stick */
	__u64 interval_start_ns; /* of the rate interval that is being filled */
	__u64 interval_start_bytes; /* bytes_total at that time */
	__u64 bdp_bytes;	 /* throughput_bps x srtt */
	__u64 optimal_buffer_size; /* bytes: bdp x pattern_factor x 1.2; 0: no RTT, or no rate */
	__u64 srtt_ns_x8;	 /* RFC 6298, times eight; 0: no sample yet */
	/* Line 5, when there is an RTT sample, and seldom. */
	__u64 rttvar_ns_x4;	 /* RFC 6298, times four */
	__u64 ts_srtt_ns_x8;	 /* smoothed likewise, from TCP timestamps: the cross-check */
	__u64 min_window_start_ns;
	__u32 min_now_ns;	 /* least sample of the window that is open */
	__u32 min_before_ns;	 /* of the window before; 0: none */
	__u32 ts_rtt_us;	 /* as rtt_us, from TCP timestamps */
	__u32 ts_samples;	 /* modulo 2^32 */
	__u32 retransmissions;	 /* TCP segments seen with a sequence number seen before */
	__u32 ifindex;		 /* where the first packet arrived */
	__u32 births;		 /* 1 + how often the half began anew: SYN, or long idle */
	__u32 pad;
	__u64 started_ns;	 /* of the first packet since the latest birth */
};
_Static_assert(sizeof(struct sentinel_flow_half) == 384, "keep abi.py in step");

/*
 * How the directions tell each other of RTT probes: words that the packets of one direction write
 * and both read (sentinel_rtt.h). Seldom written, so that they stay in the caches of both CPUs.
 */
struct sentinel_exchange {
	__u64 probe;	/* written by the direction that waits for an acknowledgement */
	__u64 stamp;	/* when this direction acknowledged the other one's probe */
	__u64 ts_probe; /* the same for a TSval that waits for its echo */
	__u64 ts_stamp;
};
_Static_assert(sizeof(struct sentinel_exchange) == 32, "keep abi.py in step");

/* `forward` counts packets from the low end to the high end, `backward` the others. */
struct sentinel_flow {
	struct sentinel_exchange exchange[2]; /* of forward, of backward */
	struct sentinel_flow_half forward;
	struct sentinel_flow_half backward;
};
_Static_assert(sizeof(struct sentinel_flow) == 832, "keep abi.py in step");

/*
 * Indices into fsu_counters, one u64 each on every CPU. Each packet adds one to exactly one of the
 * outcomes, those before SENTINEL_OUTCOMES: their sum is what the program saw, and passed.
 */
enum sentinel_counter {
	SENTINEL_FLOW4,		 /* counted in flow_metrics_map */
	SENTINEL_FLOW6,		 /* counted in flow_metrics6 */
	SENTINEL_NOT_IP,	 /* neither IPv4 nor IPv6: ARP and the like */
	SENTINEL_FRAGMENTS,	 /* IP fragments: all but the first lack ports */
	SENTINEL_PARSE_FAIL,	 /* truncated, malformed, or nested beyond the limits */
	SENTINEL_INSERT_FAIL,	 /* no room for a new flow */
	SENTINEL_FLOOD_REFUSED,	 /* of a new flow, while too many new flows arrive */
	SENTINEL_BYPASSED,	 /* the heartbeat is stale: nothing was looked at */
	SENTINEL_OUTCOMES,
	SENTINEL_REBORN = SENTINEL_OUTCOMES, /* events: a half began anew */
	SENTINEL_COUNTERS,	 /* how many there are */
};

/*
 * The one value of fsu_heartbeat. User space writes both words again and again; if the latest beat
 * is older than the timeout, packets are passed untouched. Timeout 0: no heartbeat is expected
 * (a program attached by hand).
 */
struct sentinel_heartbeat {
	__u64 beat_ns;	  /* CLOCK_MONOTONIC */
	__u64 timeout_ns;
};
_Static_assert(sizeof(struct sentinel_heartbeat) == 16, "keep abi.py in step");

/* The one value of fsu_config; zeros mean the defaults. */
struct sentinel_config {
	__u64 new_flows_per_s; /* on each CPU */
	__u64 flow_idle_ns;    /* a flow without SYN (UDP ...) is a new one after this silence */
};
_Static_assert(sizeof(struct sentinel_config) == 16, "keep abi.py in step");

#define SENTINEL_NEW_FLOWS_PER_S 65536ULL
/* RFC 4787, REQ-5: a UDP mapping must not expire in less than two minutes. */
#define SENTINEL_FLOW_IDLE_NS 120000000000ULL

/* The one value of fsu_flood on each CPU. */
struct sentinel_flood {
	__u64 second_start_ns;
	__u64 new_flows; /* since then */
};
_Static_assert(sizeof(struct sentinel_flood) == 16, "keep abi.py in step");

#endif
