/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The plain counters of a flow half, its birth, and the mean packet size without a division.
 */
#ifndef SENTINEL_COUNT_H
#define SENTINEL_COUNT_H

#include "sentinel_abi.h"
#include "sentinel_rtt.h"

/*
 * total / packets, without dividing (5 to 15 ns) while the mean of the packet before still holds:
 * it does if the remainder it leaves lies in [0, packets). Too large a mean wraps the remainder.
 */
static __always_inline __u32 sentinel_mean(__u64 total, __u64 packets, __u64 before)
{
	return (__u32)(total - before * packets < packets ? before : total / packets);
}

/* The half as of its first packet, which is not counted yet. What it knew before is forgotten. */
static __always_inline void sentinel_start_half(const struct sentinel_rtt_view *view, __u64 bytes,
					   __u64 now_ns, __u32 ifindex)
{
	struct sentinel_flow_half *half = view->half;
	__u32 births = half->births + 1;

	if (half->packets_total)
		__builtin_memset(half, 0, sizeof(*half));
	half->births = births;
	half->ifindex = ifindex;
	half->started_ns = now_ns;
	half->last_timestamp = now_ns;
	half->interval_start_ns = now_ns;
	half->interval_start_bytes = bytes; /* the packet that opens it is not part of it */
	/* Generations go on, or an old stamp could answer a new probe. */
	sentinel_store(&view->own->probe, view->own->probe & SENTINEL_GENERATION);
	sentinel_store(&view->own->ts_probe, view->own->ts_probe & SENTINEL_GENERATION);
}

/* Adds where several CPUs may write at once (flow_math_tc.c says when); a plain add costs nothing. */
static __always_inline void sentinel_add(__u64 *sum, __u64 more)
{
#ifdef SENTINEL_MANY_WRITERS
	__sync_fetch_and_add(sum, more);
#else
	*sum += more;
#endif
}

/* `count` packets of `bytes` altogether, seen at once. */
static __always_inline void sentinel_count(struct sentinel_flow_half *half, __u64 bytes,
					   __u64 count, __u64 now_ns)
{
	sentinel_add(&half->bytes_total, bytes);
	sentinel_add(&half->packets_total, count);
	half->last_timestamp = now_ns;
	half->avg_packet_size =
		sentinel_mean(half->bytes_total, half->packets_total, half->avg_packet_size);
}

#endif
