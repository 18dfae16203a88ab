/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Throughput of one flow half: windowed and averaged. Pure: bytes and time in.
 *
 * An interval begins and ends with a packet. The packet that opens it is not part of it (its bits
 * arrived before), which makes the rate of evenly spaced packets exact however slow they come: 125
 * bytes a second are 1000 bit/s. It ends with the first packet of a new tick of 2^20 ns (1.049
 * ms), unless it would be shorter than half a tick: so that the common packet only compares its
 * time with that of the packet before, both in registers.
 *
 *     window  = sum * 8e9 / elapsed                       bits/s, rounded down
 *     average = average + w/16 * (window - average)       w = elapsed in half ticks, 1 to 16
 *
 * So the average covers about 8 ms, and eight ticks of silence replace it: a flow that was silent
 * for a second is not described by what it did before. It is stored times 16, as the kernel
 * does with srtt (RFC 6298's fixed point by Jacobson 1988): unscaled, it would stop short of the
 * truth by up to fifteen; scaled, what is published arrives at a constant rate exactly.
 *
 * No overflow in 64 bits: sum <= 2^31 - 1 (saturated; 16 Tbit/s) makes sum * 8e9 < 2^63.9; with
 * elapsed >= 2^19 the window is below 2^44.9, the average times 16 below 2^48.9, times w 2^52.9.
 *
 * Unsigned 64-bit integers only, so that sentinel_bpf/reference.py can repeat it bit for bit.
 */
#ifndef SENTINEL_RATE_H
#define SENTINEL_RATE_H

#include "sentinel_abi.h"

#define SENTINEL_TICK_SHIFT 20
#define SENTINEL_HALF_TICK_SHIFT 19
#define SENTINEL_QUARTER_TICK_NS (1ULL << 18)
#define SENTINEL_INTERVAL_BYTES_MAX 0x7fffffffULL
#define SENTINEL_BITS_NS_PER_BYTE_S 8000000000ULL
#define SENTINEL_AVERAGE_SHIFT 4

static __always_inline __u64 sentinel_average(__u64 average_x16, __u64 rate_bps, __u64 elapsed_ns)
{
	__u64 weight = (elapsed_ns + SENTINEL_QUARTER_TICK_NS) >> SENTINEL_HALF_TICK_SHIFT;

	if (!average_x16 || weight >= 1 << SENTINEL_AVERAGE_SHIFT)
		return rate_bps << SENTINEL_AVERAGE_SHIFT;
	return average_x16 - ((average_x16 * weight) >> SENTINEL_AVERAGE_SHIFT) +
	       rate_bps * weight;
}

/* Whether a packet at `now_ns` may end the interval. False if time went back within a tick. */
static __always_inline int sentinel_is_new_tick(const struct sentinel_flow_half *half,
						__u64 now_ns)
{
	return (now_ns ^ half->last_timestamp) >> SENTINEL_TICK_SHIFT != 0;
}

/* The interval ends here, with bytes_total already counting its last packet; 0: too short. */
static __always_inline int sentinel_close_interval(struct sentinel_flow_half *half, __u64 now_ns)
{
	__u64 elapsed_ns = now_ns - half->interval_start_ns;
	__u64 sum = half->bytes_total - half->interval_start_bytes;
	__u64 rate_bps;

	/* Also if time went back. */
	if ((__s64)elapsed_ns < 1 << SENTINEL_HALF_TICK_SHIFT)
		return 0;
	if (sum > SENTINEL_INTERVAL_BYTES_MAX)
		sum = SENTINEL_INTERVAL_BYTES_MAX;
	rate_bps = sum * SENTINEL_BITS_NS_PER_BYTE_S / elapsed_ns;
	half->throughput_window_bps = rate_bps;
	half->throughput_bps_x16 = sentinel_average(half->throughput_bps_x16, rate_bps, elapsed_ns);
	half->throughput_bps = half->throughput_bps_x16 >> SENTINEL_AVERAGE_SHIFT;
	half->interval_start_ns = now_ns;
	half->interval_start_bytes = half->bytes_total;
	return 1;
}

#endif
