/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * When the FSU keeps its hands off: fail open, and flood guard. Pure: time and state in.
 *
 * Heartbeat. User space states a time and a timeout, again and again. Once the latest beat is older
 * than the timeout, packets pass untouched and are counted as bypassed: what reads and acts upon
 * the maps is gone, so nobody should trust, or pay for, what is in them. Timeout 0 expects none.
 *
 * Flood guard (after katran's MAX_CONN_RATE). Making an entry takes locks and evicts another one;
 * a flood of addresses would cost microseconds a packet and wipe the map. So at most new_flows_per_s
 * entries are made in a second on each CPU; packets of further new flows pass, counted as refused.
 *
 * Rebirth. An entry outlives its flow until it is swept or evicted. A half begins anew with a SYN
 * that is not the retransmission of the one before, and, for flows that have no SYN, with the first
 * packet after a long silence. Its counters start again at zero; `births` says so.
 */
#ifndef SENTINEL_GUARD_H
#define SENTINEL_GUARD_H

#include "sentinel_abi.h"
#include "sentinel_tcp.h"

#define SENTINEL_NS_PER_S 1000000000ULL
/* Shorter silences are not worth a look at the settings. */
#define SENTINEL_IDLE_LOOK_SHIFT 30

/* A beat may be a little in the future: it was written after this packet took its time. */
static __always_inline int sentinel_is_stale(const struct sentinel_heartbeat *heartbeat,
					     __u64 now_ns)
{
	return heartbeat->timeout_ns &&
	       (__s64)(now_ns - heartbeat->beat_ns) > (__s64)heartbeat->timeout_ns;
}

/* Whether one more flow may be made now; counts it. */
static __always_inline int sentinel_admit(struct sentinel_flood *flood,
					  const struct sentinel_config *config, __u64 now_ns)
{
	__u64 limit = config->new_flows_per_s ? config->new_flows_per_s : SENTINEL_NEW_FLOWS_PER_S;

	if (now_ns - flood->second_start_ns >= SENTINEL_NS_PER_S) {
		flood->second_start_ns = now_ns;
		flood->new_flows = 0;
	}
	if (flood->new_flows >= limit)
		return 0;
	flood->new_flows += 1;
	return 1;
}

/* A SYN that is not the latest one again. */
static __always_inline int sentinel_is_new_syn(const struct sentinel_flow_half *half,
					       const struct sentinel_tcp *tcp)
{
	return tcp->flags & SENTINEL_TCP_SYN && half->packets_total &&
	       half->seq_high != tcp->sequence + tcp->occupies;
}

static __always_inline int sentinel_is_long_idle(__u64 silent_ns,
						 const struct sentinel_config *config)
{
	__u64 limit_ns = config->flow_idle_ns ? config->flow_idle_ns : SENTINEL_FLOW_IDLE_NS;

	return silent_ns > limit_ns && (__s64)silent_ns > 0;
}

#endif
