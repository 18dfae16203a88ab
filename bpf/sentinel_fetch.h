/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Asking for the cache lines of a half before they are needed.
 *
 * Where a new tick begins, intervals end, and the stages need every line of the half. A flow whose
 * packets are so far apart is often in no cache: loads that nothing waits for let the misses
 * overlap, instead of one waiting behind the mispredicted branches of the stage before. BPF
 * has no prefetch instruction. Only lines of stages that are compiled in.
 */
#ifndef SENTINEL_FETCH_H
#define SENTINEL_FETCH_H

#include "sentinel_abi.h"

#define SENTINEL_FETCH(value) __asm__ volatile("" ::"r"(value))

static __always_inline void sentinel_fetch_lines(const struct sentinel_flow_half *half)
{
#ifndef SENTINEL_WITHOUT_PREDICT
	SENTINEL_FETCH(half->predict.error_sum[0]);
	SENTINEL_FETCH(half->predict.expert_bytes[0]);
#endif
#ifndef SENTINEL_WITHOUT_RATE
	SENTINEL_FETCH(half->throughput_bps);
#endif
#ifndef SENTINEL_WITHOUT_RTT
	SENTINEL_FETCH(half->probe_sent_ns);
	SENTINEL_FETCH(half->started_ns);
#endif
}

#endif
