/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the RTT stage needs of a TCP segment: numbers, flags, and the timestamps option.
 *
 * Timestamps (RFC 7323) stand first in nearly all segments, as appendix A there recommends: NOP,
 * NOP, 8, 10, TSval, TSecr. This is one comparison; any other order (SYNs) takes the loop, at
 * most ten steps: more options than that do not fit into 40 bytes except as padding.
 */
#ifndef SENTINEL_TCP_H
#define SENTINEL_TCP_H

#include "sentinel_types.h"

#define SENTINEL_TCP_FIN 0x01
#define SENTINEL_TCP_SYN 0x02
#define SENTINEL_TCP_RST 0x04
#define SENTINEL_TCP_ACK 0x10
#define SENTINEL_TCP_HEADER_MIN 20
#define SENTINEL_TCP_OPTIONS_MAX 10
#define SENTINEL_TCP_OPTION_END 0
#define SENTINEL_TCP_OPTION_NOP 1
#define SENTINEL_TCP_OPTION_TIMESTAMPS 8
#define SENTINEL_TCP_TIMESTAMPS_BYTES 10
#define SENTINEL_TCP_OPTION_MASK 63
#define SENTINEL_TCP_ALIGNED_TIMESTAMPS 0x0101080aU

struct sentinel_tcp_header {
	__be16 source;
	__be16 target;
	__be32 sequence;
	__be32 acknowledgement;
	__u8 offset;
	__u8 flags;
	__be16 window;
	__sum16 checksum;
	__be16 urgent;
};
_Static_assert(sizeof(struct sentinel_tcp_header) == SENTINEL_TCP_HEADER_MIN, "RFC 9293");

struct sentinel_tcp_timestamps {
	__be32 kind; /* SENTINEL_TCP_ALIGNED_TIMESTAMPS */
	__be32 value;
	__be32 echo;
};

struct sentinel_tcp {
	__u32 sequence;
	__u32 acknowledgement;
	__u32 occupies; /* sequence numbers: payload, SYN, FIN */
	__u32 flags;
	__u32 has_timestamps;
	__u32 ts_value;
	__u32 ts_echo;
	__u32 header_bytes;
	__u32 option; /* the search's place among the options, bytes */
};

/* A big-endian number at any address. */
static __always_inline __u32 sentinel_read32(const __u8 *at)
{
	return (__u32)at[0] << 24 | (__u32)at[1] << 16 | (__u32)at[2] << 8 | at[3];
}

/* One option at `options` + tcp->option. 1: look at the next one. */
static __always_inline int sentinel_next_option(const __u8 *options, __u64 length, const void *end,
						struct sentinel_tcp *tcp)
{
	__u64 offset = tcp->option & SENTINEL_TCP_OPTION_MASK;
	const __u8 *option = SENTINEL_OPAQUE(options + offset);

	if (offset >= length || (const void *)(option + 2) > end)
		return 0;
	if (option[0] == SENTINEL_TCP_OPTION_NOP) {
		tcp->option = (__u32)offset + 1;
		return 1;
	}
	if (option[0] == SENTINEL_TCP_OPTION_END || option[1] < 2)
		return 0;
	if (option[0] != SENTINEL_TCP_OPTION_TIMESTAMPS) {
		tcp->option = (__u32)offset + option[1];
		return tcp->option < length;
	}
	if (option[1] != SENTINEL_TCP_TIMESTAMPS_BYTES ||
	    offset + SENTINEL_TCP_TIMESTAMPS_BYTES > length ||
	    (const void *)(option + SENTINEL_TCP_TIMESTAMPS_BYTES) > end)
		return 0;
	tcp->has_timestamps = 1;
	tcp->ts_value = sentinel_read32(option + 2);
	tcp->ts_echo = sentinel_read32(option + 6);
	return 0;
}

/* Options in any order; `length` bytes of them, the first at `options`. */
static __always_inline void sentinel_search_timestamps(const __u8 *options, __u64 length,
						       const void *end, struct sentinel_tcp *tcp)
{
	tcp->option = 0;
	SENTINEL_KEEP_LOOP
	for (int i = 0; i < SENTINEL_TCP_OPTIONS_MAX; i++) {
		SENTINEL_BARRIER();
		if (!sentinel_next_option(options, length, end, tcp))
			return;
	}
}

/*
 * The segment at `at`, of which the IP header says `length` bytes; they have been compared with
 * the end of the frame, the verifier wants to see it again. Returns 0 if it is malformed.
 */
static __always_inline int sentinel_read_tcp(const void *at, const void *end, __u64 length,
					     struct sentinel_tcp *tcp)
{
	const struct sentinel_tcp_header *header = at;
	const struct sentinel_tcp_timestamps *aligned = (const void *)(header + 1);
	__u64 header_bytes;

	if ((const void *)(header + 1) > end)
		return 0;
	header_bytes = (header->offset >> 4) * 4;
	if (header_bytes < SENTINEL_TCP_HEADER_MIN || header_bytes > length)
		return 0;
	tcp->header_bytes = (__u32)header_bytes;
	tcp->flags = header->flags;
	tcp->sequence = sentinel_host32(header->sequence);
	tcp->acknowledgement = sentinel_host32(header->acknowledgement);
	tcp->occupies = (__u32)(length - header_bytes) + (tcp->flags & SENTINEL_TCP_FIN) +
			((tcp->flags & SENTINEL_TCP_SYN) >> 1);
	tcp->has_timestamps = 0;
	if (header_bytes == SENTINEL_TCP_HEADER_MIN)
		return 1;
	if (header_bytes >= SENTINEL_TCP_HEADER_MIN + sizeof(*aligned) &&
	    (const void *)(aligned + 1) <= end &&
	    aligned->kind == SENTINEL_BE32(SENTINEL_TCP_ALIGNED_TIMESTAMPS)) {
		tcp->has_timestamps = 1;
		tcp->ts_value = sentinel_host32(aligned->value);
		tcp->ts_echo = sentinel_host32(aligned->echo);
		return 1;
	}
	sentinel_search_timestamps((const __u8 *)(header + 1),
				   header_bytes - SENTINEL_TCP_HEADER_MIN, end, tcp);
	return 1;
}

#endif
