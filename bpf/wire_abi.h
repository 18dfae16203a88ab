/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What wire.c and sentinel_bpf/wire.py share; mirrored in sentinel_bpf/abi.py, compared by tests. */
#ifndef WIRE_ABI_H
#define WIRE_ABI_H

#include "sentinel_types.h"

/* Stamps in flight: sampled packets of one direction that are inside the wire. */
#define WIRE_STAMPS_MAX 65536
/* Transit times kept on each CPU. */
#define WIRE_TRANSITS_MAX 65536

/* Written by user space, read by wire_loss. */
struct wire_loss_config {
	__u64 seed;
	__u64 threshold; /* drop if the hash is below it: probability x 2^64, rounded down */
};
_Static_assert(sizeof(struct wire_loss_config) == 16, "keep abi.py in step");

/* Written by wire_loss. One receive queue, hence one writer. */
struct wire_loss_state {
	__u64 seen; /* also the number of the next packet in the pattern */
	__u64 dropped;
};
_Static_assert(sizeof(struct wire_loss_state) == 16, "keep abi.py in step");

/* What wire_fault lets nothing of pass. A larger value includes the smaller ones. */
enum wire_cut {
	WIRE_CUT_NOTHING,
	WIRE_CUT_CONTROL, /* packets marked for the control band: DSCP CS6 (RFC 4594) */
	WIRE_CUT_ALL,
};

/* Bins of one wire_count_bytes; what comes after the last is not counted. */
#define WIRE_BINS_MAX 131072

/* Written by user space, read by wire_count_bytes. */
struct wire_bins_config {
	__u64 start_ns; /* of the first bin, CLOCK_MONOTONIC */
	__u64 bin_ns;
};
_Static_assert(sizeof(struct wire_bins_config) == 16, "keep abi.py in step");

/* Written by user space, read by wire_fault. */
struct wire_fault_config {
	__u32 cut;     /* enum wire_cut */
	__u32 corrupt; /* a control packet is corrupted if its hash is below: share x 2^32 */
	__u64 seed;
};
_Static_assert(sizeof(struct wire_fault_config) == 16, "keep abi.py in step");

/* Written by wire_fault. One receive queue, hence one writer. */
struct wire_fault_state {
	__u64 cut_packets;     /* wire packets: a GSO packet counts as its segments */
	__u64 control_packets; /* marked, with TCP payload, not cut: the pattern's counter */
	__u64 corrupted;
};
_Static_assert(sizeof(struct wire_fault_state) == 24, "keep abi.py in step");

/* Written by user space, read by wire_enter and wire_leave. */
struct wire_probe_config {
	__u32 sample_mask; /* a packet is sampled if (hash & mask) == 0; 7 is one in eight */
	__u32 epoch;	   /* part of every key, so that no stamp outlives a reset */
	__u32 slots;	   /* of wire_transits, for each CPU */
	__u32 pad;
};
_Static_assert(sizeof(struct wire_probe_config) == 16, "keep abi.py in step");

/* One packet in flight: what neither forwarding, nor queueing, nor segmentation changes. */
struct wire_stamp_key {
	__u32 address_mix;
	__u32 ip_id;	  /* 0 for IPv6 */
	__u32 l4_word[3]; /* ports; TCP seq, UDP length, ICMP id; TCP ack or payload */
	__u32 epoch;
};
_Static_assert(sizeof(struct wire_stamp_key) == 24, "keep abi.py in step");

/* One end of the probe on one CPU. */
struct wire_end_state {
	__u64 packets;	/* wire packets: a GSO packet counts as its segments */
	__u64 bytes;	/* layer 2, each segment with its own headers */
	__u64 skbs;	/* as the kernel carried them */
	__u64 sampled;	/* in the sampled class */
	__u64 not_counted; /* ARP, neighbour discovery and other traffic of the link itself */
};
_Static_assert(sizeof(struct wire_end_state) == 40, "keep abi.py in step");

/* What only wire_leave knows, on one CPU. */
struct wire_transit_state {
	__u64 samples;	 /* transit times measured; the first `slots` are all kept */
	__u64 misses;	 /* in the sampled class, without a stamp */
	__u64 ambiguous; /* two equal keys were inside at once: not measured */
	__u64 max_ns;	 /* largest transit, kept or not */
};
_Static_assert(sizeof(struct wire_transit_state) == 32, "keep abi.py in step");

#endif
