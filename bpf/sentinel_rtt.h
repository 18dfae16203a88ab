/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Passive round-trip time of TCP, without sending anything and without a second map.
 *
 * Direction A (the owner) remembers one segment at a time: "acknowledgement number `value` was
 * asked for at probe_sent_ns". The first packet of direction B that covers it writes down the
 * time. The next packet of A takes the difference as a sample, and asks again. That is one sample
 * per round trip, as RFC 6298 wants, and the two directions share only two words each, every one
 * with a single writer (struct sentinel_exchange):
 *
 *     probe  bits 63-48 generation, bit 33 value known, bit 32 waiting, bits 31-0 value
 *     stamp  bits 63-48 generation it answers, bit 47 void, bits 46-0 time in ns, modulo 2^47
 *
 * One aligned 64-bit store each, so no reader sees half a probe, on any architecture, and no order
 * between stores matters. A stamp counts only for the generation that is waiting; generation 0
 * is never asked for. Until A sends again, the sample waits; readers take it in their copy of
 * the entry (pending.py).
 *
 * SEQ probe (primary; works without timestamps, ns resolution):
 *   value = the sequence number behind the segment; covered by ACK - value >= 0 modulo 2^32.
 *   Karn's rule (Karn and Partridge 1987, RFC 6298 section 3): a segment that was seen before
 *   abandons the probe, whichever segment it was asked for; its acknowledgement could answer either.
 *   Only segments that occupy sequence numbers are probed: a pure ACK is never answered.
 *   The first segment of a half that is no SYN may be a retransmission: it is not probed.
 *
 * TSval probe (cross-check; RFC 7323):
 *   value = TSval of the first segment that carries it; answered by the first TSecr equal to it. A
 *   later segment with the same TSval would give up to one clock tick (1 ms) too little. A newer
 *   TSecr says that the echo was not seen: the stamp is void. While nothing waits, `value`
 *   is the newest TSval seen, so that a flow met in mid-life waits for a change.
 *
 * Smoothing (RFC 6298, scaled as by Jacobson 1988):
 *     first:  srtt = R, rttvar = R / 2
 *     then:   rttvar = 3/4 rttvar + 1/4 |srtt - R|,  srtt = srtt + g (R - srtt)
 * A sender that takes a sample from each of the n acknowledgements of a round trip, as Linux does,
 * forgets by (7/8)^n in that time: its average is of the latest eight acknowledgements. One sample
 * a round trip follows it with gain g = 1 - (7/8)^n. n is not counted here: it is taken as 1 and one
 * more for every 4096 bytes that were sent behind the probed segment, about one for two or three
 * full segments, and g comes in eighths: 1/8 for a window below 4096 bytes, all for 64 KiB.
 * Delayed acknowledgements add up to 40 ms to a sample: hence the minimum of two windows of 2^33
 * ns (8.6 s) beside it, the latest that is open and the one before.
 *
 * Limits: a sample is below 2^32 ns (4.29 s); what takes longer is abandoned.
 */
#ifndef SENTINEL_RTT_H
#define SENTINEL_RTT_H

#include "sentinel_abi.h"
#include "sentinel_tcp.h"

#define SENTINEL_GENERATION_SHIFT 48
#define SENTINEL_GENERATION (0xffffULL << SENTINEL_GENERATION_SHIFT)
#define SENTINEL_PROBE_KNOWN (1ULL << 33)
#define SENTINEL_PROBE_WAITS (1ULL << 32)
#define SENTINEL_PROBE_VALUE 0xffffffffULL
#define SENTINEL_STAMP_VOID (1ULL << 47)
#define SENTINEL_STAMP_TIME (SENTINEL_STAMP_VOID - 1)
#define SENTINEL_RTT_MAX_NS 0xffffffffULL
#define SENTINEL_RTT_WINDOW_SHIFT 33
/* x / 1000 for x < 2^32 (Granlund and Montgomery 1994): no division. */
#define SENTINEL_PER_1000 274877907ULL
#define SENTINEL_PER_1000_SHIFT 38

/* One direction's view of a flow while one of its packets is handled. */
struct sentinel_rtt_view {
	struct sentinel_flow_half *half;
	struct sentinel_exchange *own;
	const struct sentinel_exchange *other;
};

static __always_inline __u64 sentinel_load(const __u64 *word)
{
	return *(const volatile __u64 *)word;
}

static __always_inline void sentinel_store(__u64 *word, __u64 value)
{
	*(volatile __u64 *)word = value;
}

static __always_inline int sentinel_is_after(__u32 a, __u32 b)
{
	return (__u32)(b - a) >> 31;
}

static __always_inline __u64 sentinel_ask(__u64 probe, __u32 value)
{
	__u64 generation = (probe >> SENTINEL_GENERATION_SHIFT) + 1;

	if (generation >> (64 - SENTINEL_GENERATION_SHIFT))
		generation = 1;
	return generation << SENTINEL_GENERATION_SHIFT | SENTINEL_PROBE_KNOWN |
	       SENTINEL_PROBE_WAITS | value;
}

/* Whether the other direction waits for a stamp that this one has not given. */
static __always_inline int sentinel_is_asked(__u64 probe, __u64 stamp)
{
	return (probe & SENTINEL_PROBE_WAITS) &&
	       (probe ^ stamp) >> SENTINEL_GENERATION_SHIFT != 0;
}

static __always_inline __u64 sentinel_answer(__u64 probe, __u64 now_ns)
{
	return (probe & SENTINEL_GENERATION) | (now_ns & SENTINEL_STAMP_TIME);
}

/* Whether the probe has been answered; then `*rtt_ns` is the sample, or 0 if it is void. */
static __always_inline int sentinel_is_answered(__u64 probe, __u64 stamp, __u64 sent_ns,
						__u64 *rtt_ns)
{
	__u64 passed_ns = (stamp - sent_ns) & SENTINEL_STAMP_TIME;

	if ((probe ^ stamp) >> SENTINEL_GENERATION_SHIFT)
		return 0;
	*rtt_ns = stamp & SENTINEL_STAMP_VOID || passed_ns > SENTINEL_RTT_MAX_NS ? 0 : passed_ns;
	return 1;
}

static __always_inline __u32 sentinel_microseconds(__u64 ns)
{
	return (__u32)((ns * SENTINEL_PER_1000) >> SENTINEL_PER_1000_SHIFT);
}

/* 8 (1 - (7/8)^n), rounded, for n = 1 + the acknowledgements of so many bytes. */
static __always_inline __u64 sentinel_gain_x8(__u32 sent_behind_bytes)
{
	if (sent_behind_bytes < 4096)
		return 1;
	if (sent_behind_bytes < 8192)
		return 2;
	if (sent_behind_bytes < 16384)
		return 3;
	if (sent_behind_bytes < 32768)
		return 5;
	return sent_behind_bytes < 65536 ? 7 : 8;
}

/* RFC 6298, times eight; 1 is its gain of 1/8. */
static __always_inline __u64 sentinel_smooth(__u64 srtt_ns_x8, __u64 rtt_ns, __u64 gain_x8)
{
	return srtt_ns_x8 ? srtt_ns_x8 - gain_x8 * (srtt_ns_x8 >> 3) + gain_x8 * rtt_ns :
			    rtt_ns << 3;
}

static __always_inline void sentinel_minimum(struct sentinel_flow_half *half, __u32 rtt_ns,
					     __u64 now_ns)
{
	__u64 windows = (now_ns - half->min_window_start_ns) >> SENTINEL_RTT_WINDOW_SHIFT;

	if (!half->rtt_samples || windows) {
		half->min_before_ns = windows == 1 ? half->min_now_ns : 0;
		half->min_now_ns = rtt_ns;
		half->min_window_start_ns = now_ns;
	} else if (rtt_ns < half->min_now_ns) {
		half->min_now_ns = rtt_ns;
	}
	half->rtt_min_ns = half->min_now_ns;
	if (half->min_before_ns && half->min_before_ns < half->rtt_min_ns)
		half->rtt_min_ns = half->min_before_ns;
}

/* A sample of the SEQ probe for `value`, above zero. */
static __always_inline void sentinel_sample(struct sentinel_flow_half *half, __u64 rtt_ns,
					    __u32 value, __u64 now_ns)
{
	__u64 srtt_ns = half->srtt_ns_x8 >> 3;
	__u64 away_ns = rtt_ns > srtt_ns ? rtt_ns - srtt_ns : srtt_ns - rtt_ns;

	sentinel_minimum(half, (__u32)rtt_ns, now_ns);
	if (!half->srtt_ns_x8)
		half->rttvar_ns_x4 = rtt_ns << 1;
	else
		half->rttvar_ns_x4 += away_ns - (half->rttvar_ns_x4 >> 2);
	half->srtt_ns_x8 = sentinel_smooth(half->srtt_ns_x8, rtt_ns,
					   sentinel_gain_x8(half->seq_high - value));
	half->rtt_us = sentinel_microseconds(half->srtt_ns_x8 >> 3);
	half->rtt_last_ns = (__u32)rtt_ns;
	half->rtt_samples += 1;
}

static __always_inline void sentinel_ts_sample(struct sentinel_flow_half *half, __u64 rtt_ns)
{
	half->ts_srtt_ns_x8 = sentinel_smooth(half->ts_srtt_ns_x8, rtt_ns, 1);
	half->ts_rtt_us = sentinel_microseconds(half->ts_srtt_ns_x8 >> 3);
	half->ts_samples += 1;
}

/* As the other direction's answer: stamps for what this packet acknowledges and echoes. */
static __always_inline void sentinel_rtt_answer(const struct sentinel_rtt_view *view,
						const struct sentinel_tcp *tcp, __u64 now_ns)
{
	__u64 probe = sentinel_load(&view->other->probe);

	if (sentinel_is_asked(probe, view->own->stamp) &&
	    !sentinel_is_after((__u32)probe, tcp->acknowledgement))
		sentinel_store(&view->own->stamp, sentinel_answer(probe, now_ns));
	if (!tcp->has_timestamps)
		return;
	probe = sentinel_load(&view->other->ts_probe);
	if (!sentinel_is_asked(probe, view->own->ts_stamp))
		return;
	if (tcp->ts_echo == (__u32)probe)
		sentinel_store(&view->own->ts_stamp, sentinel_answer(probe, now_ns));
	else if (sentinel_is_after(tcp->ts_echo, (__u32)probe))
		sentinel_store(&view->own->ts_stamp,
			       sentinel_answer(probe, now_ns) | SENTINEL_STAMP_VOID);
}

/* The SEQ probe of this direction: take the answer, obey Karn, ask again. 1: a new sample. */
static __always_inline int sentinel_seq_probe(const struct sentinel_rtt_view *view,
					      const struct sentinel_tcp *tcp, __u64 now_ns)
{
	struct sentinel_flow_half *half = view->half;
	__u32 end = tcp->sequence + tcp->occupies;
	__u64 before = view->own->probe;
	int known = (before & SENTINEL_PROBE_KNOWN) != 0;
	__u64 probe = before;
	__u64 rtt_ns = 0;

	if (probe & SENTINEL_PROBE_WAITS &&
	    sentinel_is_answered(probe, sentinel_load(&view->other->stamp), half->probe_sent_ns,
				 &rtt_ns)) {
		probe &= ~SENTINEL_PROBE_WAITS;
		if (rtt_ns)
			sentinel_sample(half, rtt_ns, (__u32)probe, now_ns);
	}
	if (tcp->occupies) {
		if (known && sentinel_is_after(half->seq_high, tcp->sequence)) {
			half->retransmissions += 1;
			probe &= ~SENTINEL_PROBE_WAITS;
		} else if (!(probe & SENTINEL_PROBE_WAITS) &&
			   (known || tcp->flags & SENTINEL_TCP_SYN)) {
			half->probe_sent_ns = now_ns;
			probe = sentinel_ask(probe, end);
		}
		if (!known || sentinel_is_after(end, half->seq_high))
			half->seq_high = end;
		probe |= SENTINEL_PROBE_KNOWN;
	}
	if (probe != before)
		sentinel_store(&view->own->probe, probe);
	return rtt_ns != 0;
}

/* The TSval probe likewise. */
static __always_inline void sentinel_ts_probe(const struct sentinel_rtt_view *view,
					      const struct sentinel_tcp *tcp, __u64 now_ns)
{
	struct sentinel_flow_half *half = view->half;
	__u64 before = view->own->ts_probe;
	__u64 probe = before;
	__u64 rtt_ns = 0;
	int is_new;

	if (probe & SENTINEL_PROBE_WAITS) {
		if (!sentinel_is_answered(probe, sentinel_load(&view->other->ts_stamp),
					  half->ts_sent_ns, &rtt_ns))
			return;
		if (rtt_ns)
			sentinel_ts_sample(half, rtt_ns);
		/* This TSval may have come before, unseen by the probe: wait for the next one. */
		probe &= ~(SENTINEL_PROBE_WAITS | SENTINEL_PROBE_VALUE);
		sentinel_store(&view->own->ts_probe, probe | tcp->ts_value);
		return;
	}
	is_new = probe & SENTINEL_PROBE_KNOWN ?
			 sentinel_is_after(tcp->ts_value, (__u32)probe) :
			 (tcp->flags & SENTINEL_TCP_SYN) != 0;
	if (is_new && tcp->occupies) {
		half->ts_sent_ns = now_ns;
		probe = sentinel_ask(probe, tcp->ts_value);
	} else if (is_new || !(probe & SENTINEL_PROBE_KNOWN)) {
		probe = (probe & ~SENTINEL_PROBE_VALUE) | SENTINEL_PROBE_KNOWN | tcp->ts_value;
	}
	if (probe != before)
		sentinel_store(&view->own->ts_probe, probe);
}

/* All of it for one TCP segment. 1: the smoothed RTT of this direction has changed. */
static __always_inline int sentinel_rtt(const struct sentinel_rtt_view *view,
					const struct sentinel_tcp *tcp, __u64 now_ns)
{
	if (tcp->flags & SENTINEL_TCP_ACK)
		sentinel_rtt_answer(view, tcp, now_ns);
	if (tcp->has_timestamps)
		sentinel_ts_probe(view, tcp, now_ns);
	return sentinel_seq_probe(view, tcp, now_ns);
}

/* Called once a tick: what has waited too long is asked for no more. */
static __always_inline void sentinel_rtt_expire(const struct sentinel_rtt_view *view, __u64 now_ns)
{
	__u64 probe = view->own->probe;

	if (probe & SENTINEL_PROBE_WAITS && now_ns - view->half->probe_sent_ns > SENTINEL_RTT_MAX_NS)
		sentinel_store(&view->own->probe, probe & ~SENTINEL_PROBE_WAITS);
	probe = view->own->ts_probe;
	if (probe & SENTINEL_PROBE_WAITS && now_ns - view->half->ts_sent_ns > SENTINEL_RTT_MAX_NS)
		sentinel_store(&view->own->ts_probe, probe & ~SENTINEL_PROBE_WAITS);
}

#endif
