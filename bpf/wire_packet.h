/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which packets a wire counts, and the hash that both its loss and its sampling use. */
#ifndef WIRE_PACKET_H
#define WIRE_PACKET_H

#include "sentinel_packet.h"
#include "wire_abi.h"

/* DSCP CS6 in the place of the traffic class; as rate.py marks the control band. */
#define WIRE_CONTROL_TOS 0xc0

/*
 * splitmix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators"): the
 * output for the state reached after `counter` + 1 steps from `seed`. A function of the two, so that
 * the n-th packet has the same fate whatever came before.
 */
static __always_inline __u64 wire_hash(__u64 seed, __u64 counter)
{
	__u64 z = seed + (counter + 1) * 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/* What follows Ethernet and up to two VLAN tags, and its ethertype in host order; NULL: cut short. */
static __always_inline void *wire_network_layer(void *data, void *end, __u32 *ethertype)
{
	struct sentinel_eth *eth = data;
	struct sentinel_vlan *vlan = (void *)(eth + 1);

	if ((void *)(eth + 1) > end)
		return 0;
	*ethertype = sentinel_host16(eth->ethertype);
#pragma unroll
	for (int i = 0; i < SENTINEL_VLAN_TAGS_MAX; i++) {
		if (*ethertype != SENTINEL_ETHERTYPE_VLAN && *ethertype != SENTINEL_ETHERTYPE_QINQ)
			break;
		if ((void *)(vlan + 1) > end)
			return 0;
		*ethertype = sentinel_host16(vlan->ethertype);
		vlan++;
	}
	return vlan;
}

/* IPv4 to 224.0.0.0/24 never leaves a link (RFC 5771): IGMP, mDNS and the like. */
static __always_inline int wire_is_local4(const struct sentinel_ipv4 *ip)
{
	return (ip->target & SENTINEL_BE32(0xffffff00)) == SENTINEL_BE32(0xe0000000);
}

/*
 * IPv6 traffic of the link itself: to ff02::/16 (multicast listener reports, router solicitations),
 * and neighbour discovery (RFC 4861, ICMPv6 types 133 to 137). `icmp_type` is the first byte after
 * the IPv6 header, whatever it is.
 */
static __always_inline int wire_is_local6(const struct sentinel_ipv6 *ip, __u32 icmp_type)
{
	if ((ip->target[0] & SENTINEL_BE64(0xffff000000000000ULL)) ==
	    SENTINEL_BE64(0xff02000000000000ULL))
		return 1;
	return ip->next_header == SENTINEL_PROTO_ICMPV6 && icmp_type >= 133 && icmp_type <= 137;
}

#endif
