/* SPDX-License-Identifier: Apache-2.0
 *
 * One direction of a wire: decides when each packet leaves. Reads no clock of its own; the
 * caller says what time it is.
 */
#ifndef SENTINEL_LINE_H
#define SENTINEL_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "fifo.h"

struct line {
	uint16_t queue_number;
	int fd;
	int64_t delay_ns;
	int64_t jitter_ns;	/* uniform in [-jitter, +jitter] around the delay */
	bool may_reorder;	/* else jitter never lets a packet overtake another */
	uint64_t random_state;
	int64_t last_due_ns;
	struct fifo held;
	uint64_t packets;
	uint64_t packets_unstamped;	/* the kernel gave no time of arrival: the reader's clock */
	uint64_t packets_read_late;	/* read after they were due */
	uint64_t held_most;
	int64_t release_lag_worst_ns;	/* release minus due: the line's own view, not the truth */
};

/* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */
static inline uint64_t random_next(uint64_t *state)
{
	uint64_t z = (*state += 0x9E3779B97F4A7C15ULL);

	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
	return z ^ (z >> 31);
}

static inline int64_t line_jitter_ns(struct line *line)
{
	if (!line->jitter_ns)
		return 0;
	return (int64_t)(random_next(&line->random_state) % (2 * (uint64_t)line->jitter_ns + 1)) -
	       line->jitter_ns;
}

/* Take in a packet that arrived at `arrival_ns`; false when memory ran out. */
static inline bool line_admit(struct line *line, uint32_t id, int64_t arrival_ns, int64_t now_ns)
{
	struct held_packet packet = {arrival_ns + line->delay_ns + line_jitter_ns(line), id};
	bool admitted;

	line->packets++;
	line->packets_read_late += packet.due_ns < now_ns;
	if (line->may_reorder) {
		admitted = fifo_insert_sorted(&line->held, packet);
	} else {
		if (packet.due_ns < line->last_due_ns)
			packet.due_ns = line->last_due_ns;
		line->last_due_ns = packet.due_ns;
		admitted = fifo_push(&line->held, packet);
	}
	if (fifo_length(&line->held) > line->held_most)
		line->held_most = fifo_length(&line->held);
	return admitted;
}

/* When the oldest packet is due; INT64_MAX when none is held. */
static inline int64_t line_next_due_ns(const struct line *line)
{
	return fifo_length(&line->held) ? fifo_at(&line->held, line->held.head)->due_ns : INT64_MAX;
}

/* Take the oldest packet out if it is due. */
static inline bool line_take_due(struct line *line, int64_t now_ns, uint32_t *id)
{
	int64_t due_ns = line_next_due_ns(line);

	if (due_ns > now_ns)
		return false;
	if (now_ns - due_ns > line->release_lag_worst_ns)
		line->release_lag_worst_ns = now_ns - due_ns;
	*id = fifo_at(&line->held, line->held.head++)->id;
	return true;
}

#endif
