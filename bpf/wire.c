// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The kernel's part of a wire: seeded loss, and independent stamps at its two ends. Built by bcc.
 *
 *  wire_loss   XDP, native, on the interface where packets enter the wire, only while loss is above 0
 *              (native XDP also turns off TSO at the veth peer, so that it sees wire packets).
 *              Packet n of a direction is dropped iff hash(seed, n) < threshold: the same seed
 *              gives the same pattern for the same sequence of packets.
 *  wire_enter  tc (clsact) where packets enter: counts, and stamps a sample.
 *  wire_leave  tc (clsact) where they leave: counts, and measures the sample's transit times.
 *  wire_fault  tc (clsact) where a node's packets come to the wire, in runs with faults only:
 *              cuts the link, or only its control channel, and corrupts control messages.
 *
 *  wire_count_bytes
 *              tc (clsact) at either end of a rate stage, in runs that ask for burstiness only:
 *              bytes in bins of equal length.
 *
 * The two probes tell the wire's lateness without asking the wire. Each (wire, direction) has an
 * instance of its own, with maps of its own. Traffic of the link itself (ARP, neighbour discovery,
 * multicast listener reports) passes uncounted: it comes at moments of its own and would shift the
 * pattern of losses.
 */
#include <uapi/linux/pkt_cls.h>

#include "sentinel_abi.h"
#include "sentinel_packet.h"
#include "wire_abi.h"
#include "wire_packet.h"

#ifndef BCC_SEC
#error "wire.c is compiled by bcc (sentinel_bpf.loader.compile_wire)"
#endif

BPF_ARRAY(wire_loss_config, struct wire_loss_config, 1);
BPF_ARRAY(wire_loss_state, struct wire_loss_state, 1);
BPF_ARRAY(wire_fault_config, struct wire_fault_config, 1);
BPF_ARRAY(wire_fault_state, struct wire_fault_state, 1);
BPF_ARRAY(wire_probe_config, struct wire_probe_config, 1);
BPF_TABLE("lru_hash", struct wire_stamp_key, __u64, wire_stamps, WIRE_STAMPS_MAX);
BPF_PERCPU_ARRAY(wire_enter_state, struct wire_end_state, 1);
BPF_PERCPU_ARRAY(wire_leave_state, struct wire_end_state, 1);
BPF_PERCPU_ARRAY(wire_transit_state, struct wire_transit_state, 1);
/*
 * A row of slots for each CPU, its size set when it is made. A per-CPU array would take 65 ms to make
 * instead of 0.3, for its elements are allocated one by one.
 */
BPF_ARRAY(wire_transits, __u64, WIRE_TRANSITS_MAX);

BPF_ARRAY(wire_bins_config, struct wire_bins_config, 1);
BPF_ARRAY(wire_bins, __u64, WIRE_BINS_MAX);

static __always_inline int is_counted_frame(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	__u32 ethertype = 0;
	void *network = wire_network_layer((void *)(long)ctx->data, end, &ethertype);

	if (!network)
		return 0;
	if (ethertype == SENTINEL_ETHERTYPE_IPV4) {
		struct sentinel_ipv4 *ip = network;

		return (void *)(ip + 1) <= end && !wire_is_local4(ip);
	}
	if (ethertype == SENTINEL_ETHERTYPE_IPV6) {
		struct sentinel_ipv6 *ip = network;
		__u8 *next = (__u8 *)(ip + 1);
		__u32 icmp_type = 0;

		if ((void *)next > end)
			return 0;
		if ((void *)(next + 1) <= end)
			icmp_type = *next;
		return !wire_is_local6(ip, icmp_type);
	}
	return 0;
}

int wire_loss(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct wire_loss_config *config;
	struct wire_loss_state *state;
	__u64 number;

	if (!is_counted_frame(ctx))
		return XDP_PASS;
	config = wire_loss_config.lookup(&zero);
	state = wire_loss_state.lookup(&zero);
	if (!config || !state)
		return XDP_PASS;
	number = state->seen;
	state->seen = number + 1;
	if (wire_hash(config->seed, number) >= config->threshold)
		return XDP_PASS;
	state->dropped += 1;
	return XDP_DROP;
}

/* What the probes learn of a packet. */
struct probe {
	__u64 header_bytes; /* in front of the payload; 0 if it could not be told */
	__u32 counted;
	__u32 sampled;	    /* 1 if the key is complete */
	struct wire_stamp_key key;
};

/* Ports and two more words. `length` is that of the packet: shorter ones are not sampled. */
static __always_inline void read_l4(struct __sk_buff *skb, __u32 offset, __u32 protocol,
				    struct probe *probe)
{
	__u8 tcp_offset;

	if (bpf_skb_load_bytes(skb, offset, probe->key.l4_word, sizeof(probe->key.l4_word)))
		return;
	probe->sampled = 1;
	if (protocol == SENTINEL_PROTO_UDP) {
		probe->header_bytes = offset + 8;
		/* The wire may fill in a checksum that was left to hardware: keep the length. */
		probe->key.l4_word[1] &= 0xffff;
	} else if (protocol == SENTINEL_PROTO_TCP &&
		   !bpf_skb_load_bytes(skb, offset + 12, &tcp_offset, 1)) {
		probe->header_bytes = offset + (tcp_offset >> 4) * 4;
	}
}

static __always_inline void read_ipv4(struct __sk_buff *skb, struct probe *probe)
{
	struct sentinel_ipv4 ip;

	if (bpf_skb_load_bytes(skb, sizeof(struct sentinel_eth), &ip, sizeof(ip)))
		return;
	if (wire_is_local4(&ip))
		return;
	probe->counted = 1;
	if (ip.fragment & SENTINEL_BE16(0x1fff))
		return; /* not the first fragment: no ports */
	probe->key.address_mix = ip.source ^ ip.target;
	probe->key.ip_id = ip.id;
	read_l4(skb, sizeof(struct sentinel_eth) + (ip.version_length & 0xf) * 4, ip.protocol,
		probe);
}

static __always_inline void read_ipv6(struct __sk_buff *skb, struct probe *probe)
{
	struct sentinel_ipv6 ip;
	__u32 offset = sizeof(struct sentinel_eth) + sizeof(ip);
	__u64 mix;
	__u8 next = 0;

	if (bpf_skb_load_bytes(skb, sizeof(struct sentinel_eth), &ip, sizeof(ip)))
		return;
	if (ip.next_header == SENTINEL_PROTO_ICMPV6 && bpf_skb_load_bytes(skb, offset, &next, 1))
		return;
	if (wire_is_local6(&ip, next))
		return;
	probe->counted = 1;
	/* Behind an extension header the words would not be the transport's. */
	if (ip.next_header != SENTINEL_PROTO_TCP && ip.next_header != SENTINEL_PROTO_UDP &&
	    ip.next_header != SENTINEL_PROTO_ICMPV6)
		return;
	mix = ip.source[0] ^ ip.source[1] ^ ip.target[0] ^ ip.target[1];
	probe->key.address_mix = (__u32)mix ^ (__u32)(mix >> 32);
	read_l4(skb, offset, ip.next_header, probe);
}

static __always_inline __u64 wire_packets(struct __sk_buff *skb)
{
	return skb->gso_segs > 1 ? skb->gso_segs : 1;
}

/* Layer 2, each segment with its own headers. */
static __always_inline __u64 wire_bytes(struct __sk_buff *skb, struct probe *probe)
{
	return skb->len + (wire_packets(skb) - 1) * probe->header_bytes;
}

static __always_inline void count_packet(struct __sk_buff *skb, struct probe *probe,
					 struct wire_end_state *state)
{
	state->packets += wire_packets(skb);
	state->bytes += wire_bytes(skb, probe);
	state->skbs += 1;
	state->sampled += probe->sampled;
}

static __always_inline void read_headers(struct __sk_buff *skb, struct probe *probe)
{
	if (skb->protocol == SENTINEL_BE16(SENTINEL_ETHERTYPE_IPV4))
		read_ipv4(skb, probe);
	else if (skb->protocol == SENTINEL_BE16(SENTINEL_ETHERTYPE_IPV6))
		read_ipv6(skb, probe);
}

/* Reads and counts a packet; afterwards probe->sampled says whether it is in the sample. */
static __always_inline void probe_packet(struct __sk_buff *skb, struct probe *probe,
					 struct wire_end_state *state,
					 struct wire_probe_config *config)
{
	__u64 hash;

	read_headers(skb, probe);
	if (!probe->counted) {
		state->not_counted += 1;
		return;
	}
	/* The epoch is not hashed: which packets are sampled does not change by a reset. */
	hash = wire_hash(((__u64)probe->key.address_mix << 32) | probe->key.ip_id,
			 ((__u64)probe->key.l4_word[0] << 32) | probe->key.l4_word[1]);
	hash = wire_hash(hash, probe->key.l4_word[2]);
	probe->sampled &= (hash & config->sample_mask) == 0;
	probe->key.epoch = config->epoch;
	count_packet(skb, probe, state);
}

int wire_enter(struct __sk_buff *skb)
{
	struct probe probe = {};
	__u32 zero = 0;
	struct wire_probe_config *config = wire_probe_config.lookup(&zero);
	struct wire_end_state *state = wire_enter_state.lookup(&zero);
	__u64 now;
	__u64 *stamp;

	if (!config || !state)
		return TC_ACT_UNSPEC;
	probe_packet(skb, &probe, state, config);
	if (!probe.sampled)
		return TC_ACT_UNSPEC;
	now = bpf_ktime_get_ns();
	stamp = wire_stamps.lookup(&probe.key);
	if (stamp)
		*stamp = 0; /* its twin is still inside (or was dropped there): neither counts */
	else
		wire_stamps.update(&probe.key, &now);
	return TC_ACT_UNSPEC;
}

/*
 * Keep every transit time while there is room, then a uniform sample of all (Vitter 1985, algorithm
 * R): a ring would tell of the last seconds of a run only.
 */
static __always_inline void keep_transit(struct wire_transit_state *state, __u64 transit_ns,
					 __u32 slots)
{
	__u64 number = state->samples;
	__u64 random = wire_hash(transit_ns, number) >> 32;
	__u32 slot = (__u32)number;
	__u64 *place;

	state->samples = number + 1;
	if (transit_ns > state->max_ns)
		state->max_ns = transit_ns;
	if (number >= slots) {
		random = (random * (number + 1)) >> 32;
		if (random >= slots)
			return;
		slot = (__u32)random;
	}
	slot += bpf_get_smp_processor_id() * slots;
	place = wire_transits.lookup(&slot);
	if (place)
		*place = transit_ns;
}

int wire_leave(struct __sk_buff *skb)
{
	struct probe probe = {};
	__u32 zero = 0;
	struct wire_probe_config *config = wire_probe_config.lookup(&zero);
	struct wire_end_state *state = wire_leave_state.lookup(&zero);
	struct wire_transit_state *transit = wire_transit_state.lookup(&zero);
	__u64 *stamp;
	__u64 entered;

	if (!config || !state || !transit)
		return TC_ACT_UNSPEC;
	probe_packet(skb, &probe, state, config);
	if (!probe.sampled)
		return TC_ACT_UNSPEC;
	stamp = wire_stamps.lookup(&probe.key);
	if (!stamp) {
		transit->misses += 1;
		return TC_ACT_UNSPEC;
	}
	entered = *stamp;
	wire_stamps.delete(&probe.key);
	if (entered)
		keep_transit(transit, bpf_ktime_get_ns() - entered, config->slots);
	else
		transit->ambiguous += 1;
	return TC_ACT_UNSPEC;
}

int wire_count_bytes(struct __sk_buff *skb)
{
	struct probe probe = {};
	__u32 zero = 0, bin;
	struct wire_bins_config *config = wire_bins_config.lookup(&zero);
	__u64 now = bpf_ktime_get_ns();
	__u64 number, *bytes;

	if (!config || !config->bin_ns || now < config->start_ns)
		return TC_ACT_UNSPEC;
	number = (now - config->start_ns) / config->bin_ns;
	if (number >= WIRE_BINS_MAX)
		return TC_ACT_UNSPEC;
	read_headers(skb, &probe);
	bin = (__u32)number;
	bytes = wire_bins.lookup(&bin);
	if (probe.counted && bytes)
		__sync_fetch_and_add(bytes, wire_bytes(skb, &probe)); /* two CPUs may meet here */
	return TC_ACT_UNSPEC;
}

/* Is the packet marked DSCP CS6? */
static __always_inline int is_control(struct __sk_buff *skb)
{
	__u8 first[2]; /* version, then class: a byte in IPv4, four bits on either side in IPv6 */

	if (bpf_skb_load_bytes(skb, sizeof(struct sentinel_eth), first, sizeof(first)))
		return 0;
	if (skb->protocol == SENTINEL_BE16(SENTINEL_ETHERTYPE_IPV4))
		return (first[1] & 0xfc) == WIRE_CONTROL_TOS;
	if (skb->protocol == SENTINEL_BE16(SENTINEL_ETHERTYPE_IPV6))
		return ((__u8)(first[0] << 4 | first[1] >> 4) & 0xfc) == WIRE_CONTROL_TOS;
	return 0;
}

/* Where the packet's TCP header begins; 0: there is none, or it does not come first. */
static __always_inline __u32 tcp_header_offset(struct __sk_buff *skb)
{
	struct sentinel_ipv4 ip;
	__u8 next_header;

	if (skb->protocol == SENTINEL_BE16(SENTINEL_ETHERTYPE_IPV6)) {
		if (bpf_skb_load_bytes(skb, sizeof(struct sentinel_eth) + 6, &next_header, 1))
			return 0;
		return next_header == SENTINEL_PROTO_TCP
			       ? sizeof(struct sentinel_eth) + sizeof(struct sentinel_ipv6)
			       : 0;
	}
	if (bpf_skb_load_bytes(skb, sizeof(struct sentinel_eth), &ip, sizeof(ip)))
		return 0;
	if (ip.protocol != SENTINEL_PROTO_TCP || (ip.fragment & SENTINEL_BE16(0x1fff)))
		return 0;
	return sizeof(struct sentinel_eth) + (ip.version_length & 0xf) * 4;
}

/*
 * Turn one bit of the payload's last two bytes, and keep the checksum right: what TCP would find
 * out by itself would only be one more lost packet.
 */
static __always_inline void corrupt_payload(struct __sk_buff *skb, struct wire_fault_config *config,
					    struct wire_fault_state *state)
{
	__u32 header = tcp_header_offset(skb), place;
	__u64 number = state->control_packets;
	__u64 hash;
	__u16 word, turned;
	__u8 words;

	if (!header || bpf_skb_load_bytes(skb, header + 12, &words, 1))
		return;
	/* Checksums are of 16-bit words that begin at an even distance from the header. */
	place = header + ((skb->len - header) & ~1u) - 2;
	if (place < header + (words >> 4) * 4 || bpf_skb_load_bytes(skb, place, &word, 2))
		return;
	state->control_packets = number + 1;
	hash = wire_hash(config->seed, number);
	if ((__u32)(hash >> 32) >= config->corrupt)
		return;
	turned = word ^ (1u << (hash & 15));
	if (bpf_l4_csum_replace(skb, header + 16, word, turned, 2) ||
	    bpf_skb_store_bytes(skb, place, &turned, 2, 0))
		return;
	state->corrupted += 1;
}

int wire_fault(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct wire_fault_config *config = wire_fault_config.lookup(&zero);
	struct wire_fault_state *state = wire_fault_state.lookup(&zero);
	int control;

	if (!config || !state || (!config->cut && !config->corrupt))
		return TC_ACT_UNSPEC;
	control = is_control(skb);
	if (config->cut == WIRE_CUT_ALL || (config->cut && control)) {
		state->cut_packets += skb->gso_segs > 1 ? skb->gso_segs : 1;
		return TC_ACT_SHOT;
	}
	if (control && config->corrupt)
		corrupt_payload(skb, config, state);
	return TC_ACT_UNSPEC;
}
