/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What bench.c, the load generator and user space share. Mirrored in sentinel_bpf/bench_programs.py
 * and sentinel_sim/bench/walk.py; tests compare.
 */
#ifndef SENTINEL_BENCH_ABI_H
#define SENTINEL_BENCH_ABI_H

#include "sentinel_types.h"

/* state = state * FACTOR + STEP mod 2^32; the flow is (state * flows) >> 32. */
#define BENCH_WALK_FACTOR 1664525
#define BENCH_WALK_STEP 1013904223

/* The client's port is FIRST_PORT + flow: at most 64,000 flows of one pair of addresses. */
#define BENCH_FIRST_PORT 1024
#define BENCH_FLOWS_MAX 64000
#define BENCH_SERVER_PORT 5201
#define BENCH_CLIENT_ADDRESS 0x0a630001 /* 10.99.0.1 */
#define BENCH_SERVER_ADDRESS 0x0a630102 /* 10.99.1.2 */
#define BENCH_SEGMENT_BYTES 1448

/* A power of two: delays are kept in a ring. */
#define BENCH_DELAYS_MAX 65536
/* Of every frame of the load generator, and of its smallest relayed form. */
#define BENCH_FRAME_BYTES 128

struct bench_walk {
	__u32 flows;
	__u32 state;
	__u64 packets;
};
_Static_assert(sizeof(struct bench_walk) == 16, "keep bench_programs.py in step");

/* Written on one CPU only: the one the box is pinned to. */
struct bench_egress {
	__u64 packets;
	__u64 bytes;
	__u64 first_ns; /* CLOCK_MONOTONIC */
	__u64 last_ns;
	__u64 others; /* not the generator's: ARP and the like */
};
_Static_assert(sizeof(struct bench_egress) == 40, "keep bench_programs.py in step");

#endif
