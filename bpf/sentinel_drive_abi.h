/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What fsu_drive.c and sentinel_bpf/drive.py share. The first 66 bytes of the frame that
 * drive_flows is given have to be Ethernet, IPv4 without options, and TCP with timestamps.
 */
#ifndef SENTINEL_DRIVE_ABI_H
#define SENTINEL_DRIVE_ABI_H

#include "sentinel_types.h"

#define SENTINEL_DRIVE_FRAMES_MAX 65536
/* Of a recorded frame; behind them it is zeros. */
#define SENTINEL_DRIVE_STORED_MAX 256
#define SENTINEL_DRIVE_FIRST_PORT 1024
#define SENTINEL_DRIVE_PORT 443
#define SENTINEL_DRIVE_PAYLOAD 1448
#define SENTINEL_DRIVE_HEADERS 52
#define SENTINEL_DRIVE_TICK_SHIFT 10
#define SENTINEL_DRIVE_CLIENT SENTINEL_BE32(0x0a000001)
#define SENTINEL_DRIVE_SERVER SENTINEL_BE32(0x0a000002)

struct sentinel_drive {
	__u64 packets; /* so far; drive_replay: the index of the next frame */
	__u64 random;
	__u64 flows; /* 1 to 64,512 */
	__u64 lag;   /* packets from a segment to its acknowledgement */
};
_Static_assert(sizeof(struct sentinel_drive) == 32, "keep drive.py in step");

struct sentinel_drive_frame {
	__u64 now_ns;
	__u32 length; /* of the frame, 14 to 3,520 bytes */
	__u32 stored_last; /* index of the last byte that is in `data` */
	__u8 data[SENTINEL_DRIVE_STORED_MAX];
};
_Static_assert(sizeof(struct sentinel_drive_frame) == 272, "keep drive.py in step");

#endif
