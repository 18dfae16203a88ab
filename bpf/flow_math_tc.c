// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The Flow Stabilization Unit on tc (clsact) instead of XDP: the same text, another context.
 *
 * struct __sk_buff has `data` and `data_end` as struct xdp_md has, so flow_math.c compiles for it
 * unchanged; only its verdict has to be translated (XDP_PASS is 2, which means "drop" in tc).
 *
 * What differs: tc sees packets after GRO and before segmentation. A packet whose bytes are not
 * all in the linear part is pulled there first, which copies it; where that fails it passes
 * unobserved. A super-packet counts as one packet of its whole length.
 *
 * Built by bcc, which rewrites maps in the main file only: bench_programs.py puts flow_math.c in
 * place of the #include. Plain clang compiles the file as it stands, which checks it; libbpf would
 * refuse that object, because SEC("xdp") stays on the function that is inlined here.
 */
#ifndef BCC_SEC /* bcc includes it before everything else */
#include "sentinel_types.h"
#include <linux/bpf.h>
#endif
#define xdp_md __sk_buff
#define flow_stabilization_unit static __always_inline observe_skb
#include "flow_math.c"
#undef flow_stabilization_unit
#undef xdp_md

#ifndef BCC_SEC
#undef SENTINEL_SECTION
#define SENTINEL_SECTION SEC("tc")
#endif

#define SENTINEL_TC_GO_ON (-1) /* TC_ACT_UNSPEC: the next filter decides */

SENTINEL_SECTION
int flow_stabilization_tc(struct __sk_buff *skb)
{
	if ((__u64)skb->data_end - (__u64)skb->data < skb->len && bpf_skb_pull_data(skb, skb->len))
		return SENTINEL_TC_GO_ON;
	observe_skb(skb);
	return SENTINEL_TC_GO_ON;
}
