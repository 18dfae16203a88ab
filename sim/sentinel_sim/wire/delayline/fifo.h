/* SPDX-License-Identifier: Apache-2.0
 *
 * What the delay line holds: packet ids with the time they are due, never packets. A growing
 * ring buffer in order of arrival; with a constant delay, that is also the order of release.
 */
#ifndef SENTINEL_FIFO_H
#define SENTINEL_FIFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct held_packet {
	int64_t due_ns;		/* CLOCK_MONOTONIC */
	uint32_t id;		/* of the NFQUEUE entry, host byte order */
};

struct fifo {
	struct held_packet *slots;
	size_t mask;		/* capacity - 1; the capacity is a power of two */
	size_t head;		/* of the oldest packet; counts up for ever */
	size_t tail;		/* one past the newest */
};

static inline bool fifo_init(struct fifo *fifo, size_t capacity_log2)
{
	size_t capacity = (size_t)1 << capacity_log2;

	fifo->slots = calloc(capacity, sizeof(*fifo->slots));
	fifo->mask = capacity - 1;
	fifo->head = fifo->tail = 0;
	return fifo->slots != NULL;
}

static inline size_t fifo_length(const struct fifo *fifo)
{
	return fifo->tail - fifo->head;
}

static inline struct held_packet *fifo_at(const struct fifo *fifo, size_t position)
{
	return &fifo->slots[position & fifo->mask];
}

static inline bool fifo_grow(struct fifo *fifo)
{
	size_t length = fifo_length(fifo);
	size_t capacity = (fifo->mask + 1) * 2;
	struct held_packet *slots = calloc(capacity, sizeof(*slots));

	if (!slots)
		return false;
	for (size_t i = 0; i < length; i++)
		slots[i] = *fifo_at(fifo, fifo->head + i);
	free(fifo->slots);
	fifo->slots = slots;
	fifo->mask = capacity - 1;
	fifo->head = 0;
	fifo->tail = length;
	return true;
}

/* Append; false when memory ran out. */
static inline bool fifo_push(struct fifo *fifo, struct held_packet packet)
{
	if (fifo_length(fifo) > fifo->mask && !fifo_grow(fifo))
		return false;
	*fifo_at(fifo, fifo->tail++) = packet;
	return true;
}

/* Insert by due time, behind equals: only for jitter that may reorder. */
static inline bool fifo_insert_sorted(struct fifo *fifo, struct held_packet packet)
{
	size_t position;

	if (!fifo_push(fifo, packet))
		return false;
	position = fifo->tail - 1;
	while (position > fifo->head && fifo_at(fifo, position - 1)->due_ns > packet.due_ns) {
		*fifo_at(fifo, position) = *fifo_at(fifo, position - 1);
		position--;
	}
	*fifo_at(fifo, position) = packet;
	return true;
}

#endif
