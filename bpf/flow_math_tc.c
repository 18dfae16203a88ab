// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The Flow Stabilization Unit on tc (clsact) instead of XDP: the same text, another context.
 *
 * struct __sk_buff has `data` and `data_end` as struct xdp_md has, so flow_math.c compiles for it
 * unchanged; only its verdict has to be translated (XDP_PASS is 2, which means "drop" in tc).
 *
 * What differs: tc sees packets before segmentation and after GRO. XDP on a veth makes the peer cut
 * its super-packets in software, one by one through the stack; tc lets them through whole, and costs
 * once for up to 44 packets. A super-packet is counted as the packets it will be cut into (gso_segs),
 * each with headers. Only headers are read: they are in the linear part of what a socket sends, or
 * are pulled there; the payload is never copied.
 *
 * A veth without XDP has no queue with one reader: its packets are handled on the CPU that sent them,
 * an acknowledgement by a socket's reader on one while the receiving side sends another on the next.
 * So the totals are added atomically here. The estimates are not: a rare packet is missing in one.
 *
 * Built by bcc, which rewrites maps in the main file only: flow_tc.py puts flow_math.c in
 * place of the #include. Plain clang compiles the file as it stands, which checks it; libbpf would
 * refuse that object, because SEC("xdp") stays on the function that is inlined here.
 */
#ifndef BCC_SEC /* bcc includes it before everything else */
#include "sentinel_types.h"
#include <linux/bpf.h>
#endif
#define SENTINEL_MANY_WRITERS
#define xdp_md __sk_buff
#define flow_stabilization_unit static __always_inline observe_skb
#define SENTINEL_FRAME_BYTES(skb) ((__u64)(skb)->len)
#define SENTINEL_SEGMENTS(skb) ((skb)->gso_segs ? (skb)->gso_segs : 1)
#include "flow_math.c"
#undef flow_stabilization_unit
#undef xdp_md

#ifndef BCC_SEC
#undef SENTINEL_SECTION
#define SENTINEL_SECTION SEC("tc")
#endif

#define SENTINEL_TC_GO_ON (-1) /* TC_ACT_UNSPEC: the next filter decides */
/* Ethernet, two tags, IPv6 with one long extension header, TCP with all its options. */
#define SENTINEL_HEADERS_BYTES 256

SENTINEL_SECTION
int flow_stabilization_tc(struct __sk_buff *skb)
{
	__u32 wanted = skb->len < SENTINEL_HEADERS_BYTES ? skb->len : SENTINEL_HEADERS_BYTES;

	/* Where that fails the parser finds the frame truncated, and counts that. */
	if ((__u64)skb->data_end - (__u64)skb->data < wanted)
		bpf_skb_pull_data(skb, wanted);
	observe_skb(skb);
	return SENTINEL_TC_GO_ON;
}
