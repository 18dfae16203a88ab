/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a frame to the two ends of its flow. No map, no clock: only bounds-checked reading.
 *
 * The headers are our own because <linux/ip.h> and <linux/tcp.h> do not compile with plain
 * `clang -target bpf` on Debian. Every read follows a comparison with the end of the frame, in
 * the form the verifier recognises (pointer + constant <= data_end).
 */
#ifndef SENTINEL_PACKET_H
#define SENTINEL_PACKET_H

#include "sentinel_abi.h"
#include "sentinel_tcp.h"

#define SENTINEL_VLAN_TAGS_MAX 2
/* Longer chains do not occur outside attacks; each step costs instructions on every path. */
#define SENTINEL_EXTENSIONS_MAX 6

/* Six extension headers of 2,048 bytes, IPv6, two tags and Ethernet end before it. */
#define SENTINEL_OFFSET_MASK 0x3fff

#define SENTINEL_ETHERTYPE_IPV4 0x0800
#define SENTINEL_ETHERTYPE_VLAN 0x8100
#define SENTINEL_ETHERTYPE_IPV6 0x86dd
#define SENTINEL_ETHERTYPE_QINQ 0x88a8

#define SENTINEL_PROTO_HOP_BY_HOP 0
#define SENTINEL_PROTO_TCP 6
#define SENTINEL_PROTO_UDP 17
#define SENTINEL_PROTO_DCCP 33
#define SENTINEL_PROTO_ROUTING 43
#define SENTINEL_PROTO_FRAGMENT 44
#define SENTINEL_PROTO_AH 51
#define SENTINEL_PROTO_ICMPV6 58
#define SENTINEL_PROTO_DESTINATION 60
#define SENTINEL_PROTO_SCTP 132
#define SENTINEL_PROTO_MOBILITY 135
#define SENTINEL_PROTO_UDPLITE 136
#define SENTINEL_PROTO_HIP 139
#define SENTINEL_PROTO_SHIM6 140

struct sentinel_eth {
	__u8 target[6];
	__u8 source[6];
	__be16 ethertype;
};

struct sentinel_vlan {
	__be16 tag;
	__be16 ethertype;
};

struct sentinel_ipv4 {
	__u8 version_length;
	__u8 class;
	__be16 total_length;
	__be16 id;
	__be16 fragment;
	__u8 ttl;
	__u8 protocol;
	__sum16 checksum;
	__be32 source;
	__be32 target;
};

struct sentinel_ipv6 {
	__be32 version_class_label;
	__be16 payload_length;
	__u8 next_header;
	__u8 hop_limit;
	__be64 source[2];
	__be64 target[2];
};

struct sentinel_ports {
	__be16 source;
	__be16 target;
	__be16 udp_length; /* in UDP; the upper half of the sequence number in TCP */
	__be16 rest;
};

/* `end` is where reading ends; the frame may be longer, where its payload lies elsewhere (tc). */
struct sentinel_cursor {
	void *data;
	void *end;
	__u64 frame_bytes;
};

/*
 * What the parser leaves behind, and where it stands. It lives in a map, not on the stack: what
 * the verifier reads back from a map it knows nothing of, so that the many ways through each layer
 * become one state behind it (SENTINEL_BARRIER makes the compiler read it back). On the stack each
 * of them would be followed to the end of the program, beyond the million steps it allows.
 */
struct sentinel_ends {
	union {
		struct sentinel_flow4_key key4;
		struct sentinel_flow6_key key6;
	} key;
	__be64 source[2]; /* address; an IPv4 one is in the first half of the first word */
	__be64 target[2];
	__be16 source_port;
	__be16 target_port;
	__u32 tags_protocol;
	__u32 offset;	/* in the frame, of the first byte not read yet */
	__u32 protocol; /* of what stands there */
	__u32 length;	/* bytes of it, by the IP header; not beyond the frame */
	__u32 is_tcp;
	__u32 backward; /* from the high end to the low one */
	struct sentinel_tcp tcp;
};

/* The first byte not read yet. The mask loses nothing: see SENTINEL_OFFSET_MASK. */
static __always_inline void *sentinel_here(const struct sentinel_cursor *cursor,
					   const struct sentinel_ends *ends)
{
	__u64 offset = ends->offset & SENTINEL_OFFSET_MASK;

	return SENTINEL_OPAQUE((char *)cursor->data + offset);
}

/* Ethernet and up to two VLAN tags. Returns the ethertype in host order, 0 if truncated. */
static __always_inline __u32 sentinel_parse_eth(const struct sentinel_cursor *cursor,
						struct sentinel_ends *ends)
{
	struct sentinel_eth *eth = cursor->data;
	struct sentinel_vlan *vlan = (void *)(eth + 1);
	__u32 ethertype, ids = 0;

	if ((void *)(eth + 1) > cursor->end)
		return 0;
	ethertype = sentinel_host16(eth->ethertype);
	ends->offset = sizeof(*eth);
	SENTINEL_UNROLL
	for (int i = 0; i < SENTINEL_VLAN_TAGS_MAX; i++, vlan++) {
		if (ethertype != SENTINEL_ETHERTYPE_VLAN && ethertype != SENTINEL_ETHERTYPE_QINQ)
			break;
		if ((void *)(vlan + 1) > cursor->end)
			return 0;
		ids = (ids << 12) | (sentinel_host16(vlan->tag) & 0xfff);
		ethertype = sentinel_host16(vlan->ethertype);
		ends->offset += sizeof(*vlan);
	}
	ends->tags_protocol = ids << SENTINEL_TAGS_INNER_SHIFT;
	if (ethertype == SENTINEL_ETHERTYPE_VLAN || ethertype == SENTINEL_ETHERTYPE_QINQ)
		return 0; /* a third tag */
	return ethertype ? ethertype : 1;
}

static __always_inline int sentinel_has_ports(__u32 protocol)
{
	return protocol == SENTINEL_PROTO_TCP || protocol == SENTINEL_PROTO_UDP ||
	       protocol == SENTINEL_PROTO_SCTP || protocol == SENTINEL_PROTO_DCCP ||
	       protocol == SENTINEL_PROTO_UDPLITE;
}

/* The ports of the transport header that is next. Returns 0 if it is malformed. */
static __always_inline int sentinel_parse_ports(const struct sentinel_cursor *cursor,
						struct sentinel_ends *ends)
{
	struct sentinel_ports *ports = sentinel_here(cursor, ends);
	__u32 protocol = ends->protocol;
	__u64 length = ends->length;
	__u32 udp_length;

	ends->is_tcp = protocol == SENTINEL_PROTO_TCP;
	ends->source_port = 0;
	ends->target_port = 0;
	ends->tags_protocol |= protocol;
	if (!sentinel_has_ports(protocol))
		return 1;
	if (length < sizeof(*ports) || (void *)(ports + 1) > cursor->end)
		return 0;
	if (protocol == SENTINEL_PROTO_UDP) {
		udp_length = sentinel_host16(ports->udp_length);
		if (udp_length < sizeof(*ports) || udp_length > length)
			return 0;
	}
	ends->source_port = ports->source;
	ends->target_port = ports->target;
	if (protocol == SENTINEL_PROTO_TCP)
		return sentinel_read_tcp(ports, cursor->end, length, &ends->tcp);
	return 1;
}

/* The IPv4 header is next. */
static __always_inline enum sentinel_counter sentinel_parse_ipv4(const struct sentinel_cursor *cursor,
								 struct sentinel_ends *ends)
{
	struct sentinel_ipv4 *ip = sentinel_here(cursor, ends);
	__u32 header_bytes, total;

	if ((void *)(ip + 1) > cursor->end || ip->version_length >> 4 != 4)
		return SENTINEL_PARSE_FAIL;
	header_bytes = (ip->version_length & 0xf) * 4;
	total = sentinel_host16(ip->total_length);
	if (header_bytes < sizeof(*ip) || total < header_bytes ||
	    total + ends->offset > cursor->frame_bytes)
		return SENTINEL_PARSE_FAIL;
	if (ip->fragment & SENTINEL_BE16(0x3fff)) /* offset, or more fragments to come */
		return SENTINEL_FRAGMENTS;
	*(__be32 *)ends->source = ip->source;
	*(__be32 *)ends->target = ip->target;
	ends->protocol = ip->protocol;
	ends->length = total - header_bytes;
	ends->offset += header_bytes;
	return SENTINEL_FLOW4;
}

static __always_inline int sentinel_is_extension(__u32 protocol)
{
	return protocol == SENTINEL_PROTO_HOP_BY_HOP || protocol == SENTINEL_PROTO_ROUTING ||
	       protocol == SENTINEL_PROTO_FRAGMENT || protocol == SENTINEL_PROTO_AH ||
	       protocol == SENTINEL_PROTO_DESTINATION || protocol == SENTINEL_PROTO_MOBILITY ||
	       protocol == SENTINEL_PROTO_HIP || protocol == SENTINEL_PROTO_SHIM6;
}

/*
 * The extension header that is next. A fragment header with offset 0 and no more to come is an
 * "atomic fragment" (RFC 6946), a whole packet.
 */
static __always_inline enum sentinel_counter
sentinel_parse_extension(const struct sentinel_cursor *cursor, struct sentinel_ends *ends)
{
	__u8 *extension = sentinel_here(cursor, ends);
	__u32 bytes;

	if (ends->length < 8 || (void *)(extension + 8) > cursor->end)
		return SENTINEL_PARSE_FAIL;
	if (ends->protocol == SENTINEL_PROTO_FRAGMENT) {
		if (extension[2] || extension[3] & 0xf9)
			return SENTINEL_FRAGMENTS;
		bytes = 8;
	} else if (ends->protocol == SENTINEL_PROTO_AH) {
		bytes = (extension[1] + 2) * 4; /* RFC 4302 counts in words, less two */
	} else {
		bytes = (extension[1] + 1) * 8;
	}
	if (bytes > ends->length)
		return SENTINEL_PARSE_FAIL;
	ends->protocol = extension[0];
	ends->length -= bytes;
	ends->offset += bytes;
	return SENTINEL_FLOW6;
}

/* The IPv6 header is next. */
static __always_inline enum sentinel_counter sentinel_parse_ipv6(const struct sentinel_cursor *cursor,
								 struct sentinel_ends *ends)
{
	struct sentinel_ipv6 *ip = sentinel_here(cursor, ends);
	enum sentinel_counter outcome;

	if ((void *)(ip + 1) > cursor->end || (ip->version_class_label & 0xf0) != 0x60)
		return SENTINEL_PARSE_FAIL;
	ends->source[0] = ip->source[0];
	ends->source[1] = ip->source[1];
	ends->target[0] = ip->target[0];
	ends->target[1] = ip->target[1];
	ends->protocol = ip->next_header;
	ends->length = sentinel_host16(ip->payload_length);
	ends->offset += sizeof(*ip);
	if (ends->length + ends->offset > cursor->frame_bytes)
		return SENTINEL_PARSE_FAIL;
	SENTINEL_KEEP_LOOP
	for (int i = 0; i < SENTINEL_EXTENSIONS_MAX; i++) {
		SENTINEL_BARRIER();
		if (!sentinel_is_extension(ends->protocol))
			return SENTINEL_FLOW6;
		outcome = sentinel_parse_extension(cursor, ends);
		if (outcome != SENTINEL_FLOW6)
			return outcome;
	}
	return sentinel_is_extension(ends->protocol) ? SENTINEL_PARSE_FAIL : SENTINEL_FLOW6;
}

/* All of a frame: FLOW4 or FLOW6 if it belongs to a flow, else why it does not. */
static __always_inline enum sentinel_counter sentinel_parse(const struct sentinel_cursor *cursor,
							    struct sentinel_ends *ends)
{
	__u32 ethertype = sentinel_parse_eth(cursor, ends);
	enum sentinel_counter outcome;

	SENTINEL_BARRIER();
	if (ethertype == SENTINEL_ETHERTYPE_IPV4)
		outcome = sentinel_parse_ipv4(cursor, ends);
	else if (ethertype == SENTINEL_ETHERTYPE_IPV6)
		outcome = sentinel_parse_ipv6(cursor, ends);
	else
		return ethertype ? SENTINEL_NOT_IP : SENTINEL_PARSE_FAIL;
	if (outcome != SENTINEL_FLOW4 && outcome != SENTINEL_FLOW6)
		return outcome;
	SENTINEL_BARRIER();
	return sentinel_parse_ports(cursor, ends) ? outcome : SENTINEL_PARSE_FAIL;
}

/* The key of an IPv4 flow, and the direction. */
static __always_inline void sentinel_key4(struct sentinel_ends *ends)
{
	__be32 from = *(__be32 *)ends->source;
	__be32 to = *(__be32 *)ends->target;
	__u64 source = ((__u64)sentinel_host32(from) << 16) | sentinel_host16(ends->source_port);
	__u64 target = ((__u64)sentinel_host32(to) << 16) | sentinel_host16(ends->target_port);
	struct sentinel_flow4_key *key = &ends->key.key4;
	int backward = source > target;

	key->low_address = backward ? to : from;
	key->high_address = backward ? from : to;
	key->low_port = backward ? ends->target_port : ends->source_port;
	key->high_port = backward ? ends->source_port : ends->target_port;
	key->tags_protocol = ends->tags_protocol;
	ends->backward = backward;
}

static __always_inline int sentinel_is_backward6(const struct sentinel_ends *ends)
{
	if (ends->source[0] != ends->target[0])
		return sentinel_host64(ends->source[0]) > sentinel_host64(ends->target[0]);
	if (ends->source[1] != ends->target[1])
		return sentinel_host64(ends->source[1]) > sentinel_host64(ends->target[1]);
	return sentinel_host16(ends->source_port) > sentinel_host16(ends->target_port);
}

/* As sentinel_key4. */
static __always_inline void sentinel_key6(struct sentinel_ends *ends)
{
	struct sentinel_flow6_key *key = &ends->key.key6;
	int backward = sentinel_is_backward6(ends);

	key->low_address[0] = backward ? ends->target[0] : ends->source[0];
	key->low_address[1] = backward ? ends->target[1] : ends->source[1];
	key->high_address[0] = backward ? ends->source[0] : ends->target[0];
	key->high_address[1] = backward ? ends->source[1] : ends->target[1];
	key->low_port = backward ? ends->target_port : ends->source_port;
	key->high_port = backward ? ends->source_port : ends->target_port;
	key->tags_protocol = ends->tags_protocol;
	ends->backward = backward;
}

#endif
