/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One frame as the stages behind the parser see it: its flow, its bytes on the wire, how many
 * packets it is, when it came. flow_math_tc.c says for itself how long a frame is and of how many
 * segments; for XDP it is one, all of which can be read.
 */
#ifndef SENTINEL_FRAME_H
#define SENTINEL_FRAME_H

#include "sentinel_packet.h"

#ifndef SENTINEL_FRAME_BYTES
#define SENTINEL_FRAME_BYTES(ctx) ((__u64)(ctx)->data_end - (__u64)(ctx)->data)
#define SENTINEL_SEGMENTS(ctx) 1
#endif

/* What is known of a packet when its flow has been found. */
struct packet {
	struct sentinel_ends *ends;
	struct xdp_md *ctx;
	__u64 bytes; /* on the wire, all segments */
	__u64 segments;
	__u64 now;
};

/* Bytes of a super-packet on the wire: each segment has headers of its own. */
static __always_inline __u64 wire_bytes(const struct sentinel_ends *ends, __u64 frame_bytes,
					__u64 segments)
{
	__u64 headers = ends->offset + (ends->is_tcp ? ends->tcp.header_bytes : 8);

	return frame_bytes + (segments - 1) * headers;
}

#endif
