/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The arithmetic of one flow half: counters and windowed throughput. Pure: bytes and time in.
 *
 * Unsigned 64-bit integers only, so that sentinel_bpf/reference.py can repeat it bit for bit.
 *
 * Throughput is measured over intervals that begin and end with a packet and last at least 2^20
 * ns (1.049 ms). The packet that opens an interval is not part of it (its bits arrived before),
 * which makes the rate of evenly spaced packets exact however slow they come:
 * 125 bytes a second are 1000 bit/s.
 *
 * No overflow: interval_bytes <= 2^31 - 1 (16 Tbit/s; saturated above) gives a product below
 * 2^63.9; the rate is then below 2^44, its average times 8 below 2^47, times 8 again below 2^50.
 */
#ifndef SENTINEL_FLOW_H
#define SENTINEL_FLOW_H

#include "sentinel_abi.h"

#define SENTINEL_INTERVAL_SHIFT 20
#define SENTINEL_INTERVAL_BYTES_MAX 0x7fffffffULL
#define SENTINEL_BITS_NS_PER_BYTE_S 8000000000ULL
/* The average covers about this many intervals. */
#define SENTINEL_AVERAGE_INTERVALS 8

/*
 * An interval as long as n short ones weighs n eighths, and replaces the average from eight on: a
 * flow that was silent for a second is not described by what it did before. The estimate is
 * stored times eight (as the kernel does with srtt): unscaled, it would stop short of the truth
 * by up to seven.
 */
static __always_inline __u64 sentinel_average(__u64 average_x8, __u64 rate_bps, __u64 elapsed_ns)
{
	__u64 n = elapsed_ns >> SENTINEL_INTERVAL_SHIFT;

	if (!average_x8 || n >= SENTINEL_AVERAGE_INTERVALS)
		return rate_bps * 8;
	return average_x8 - ((average_x8 * n) >> 3) + rate_bps * n;
}

/* One more packet of `bytes` at `now_ns`, in a half that has seen one before. */
static __always_inline void sentinel_throughput(struct sentinel_flow_half *half, __u64 bytes,
						__u64 now_ns)
{
	__u64 elapsed_ns = now_ns - half->interval_start_ns;
	__u64 sum = half->interval_bytes + bytes;
	__u64 rate_bps;

	if (sum > SENTINEL_INTERVAL_BYTES_MAX)
		sum = SENTINEL_INTERVAL_BYTES_MAX;
	if (elapsed_ns >> SENTINEL_INTERVAL_SHIFT == 0) {
		half->interval_bytes = sum;
		return;
	}
	rate_bps = sum * SENTINEL_BITS_NS_PER_BYTE_S / elapsed_ns;
	half->throughput_bps_x8 = sentinel_average(half->throughput_bps_x8, rate_bps, elapsed_ns);
	half->throughput_bps = half->throughput_bps_x8 >> 3;
	half->interval_start_ns = now_ns;
	half->interval_bytes = 0;
}

/*
 * total / packets, without dividing (15 ns) while the average of the packet before still holds: it
 * does if the remainder it leaves lies in [0, packets). Too large an average wraps the remainder.
 */
static __always_inline __u64 sentinel_mean(__u64 total, __u64 packets, __u64 before)
{
	return total - before * packets < packets ? before : total / packets;
}

/* One more packet in its half. Stages to come (RTT, BDP, prediction) follow the same pattern. */
static __always_inline void sentinel_count(struct sentinel_flow_half *half, __u64 bytes,
					   __u64 now_ns)
{
	__u64 packets = half->packets_total + 1;
	__u64 total = half->bytes_total + bytes;

	if (packets == 1)
		half->interval_start_ns = now_ns;
	else
		sentinel_throughput(half, bytes, now_ns);
	half->bytes_total = total;
	half->packets_total = packets;
	half->last_timestamp = now_ns;
	half->avg_packet_size = sentinel_mean(total, packets, half->avg_packet_size);
}

#endif
