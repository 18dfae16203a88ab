/* SPDX-License-Identifier: Apache-2.0
 *
 * The part of NFQUEUE (linux/netfilter/nfnetlink_queue.h) that a delay line needs: bind a queue
 * that passes metadata only, read packet ids with the kernel's time of arrival, give verdicts.
 */
#ifndef SENTINEL_NFQUEUE_H
#define SENTINEL_NFQUEUE_H

#include <stdbool.h>
#include <stdint.h>

struct queue_settings {
	uint16_t number;
	uint32_t max_packets;		/* queue length in the kernel, in ids */
	bool whole_gso;			/* one id for a GSO super-packet, not one for each segment */
};

struct queued_packet {
	uint32_t id;
	int64_t arrival_real_ns;	/* CLOCK_REALTIME, stamped by the kernel; 0: no stamp */
};

/* Bind the queue in the caller's network namespace. Returns a non-blocking netlink socket, or
 * -1 with the reason in errno and the step that failed in *step. */
int queue_open(const struct queue_settings *settings, const char **step);

/* Make the kernel stamp every received packet, for as long as the returned socket is open. */
int arrival_stamps_enable(void);

/* Read what has been queued: at most `capacity` packets. Returns their number, 0 when there
 * are none, -1 on an error. */
int queue_read(int fd, struct queued_packet *packets, int capacity);

/* Accept every queued packet up to and including `last_id` (one message for all of them). */
bool queue_accept_up_to(int fd, uint16_t number, uint32_t last_id);

/* Accept one packet. */
bool queue_accept_one(int fd, uint16_t number, uint32_t id);

#endif
