/* SPDX-License-Identifier: Apache-2.0
 *
 * Keeping processors awake, and measuring whether they were there when they were needed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "processor.h"

#define WAKE_INTERVAL_NS 2000000
#define STALL_NS 500000		/* a wake-up that late is a stall: a tenth of that is usual */
#define BIN_NS 10000
#define BINS 5000		/* 50 ms; the last holds everything later */

struct watch {
	uint64_t wakeups;
	uint64_t bins[BINS];
	int64_t late_max_ns;
	int64_t stalled_ns;	/* sum of the delays that were stalls */
	int64_t since_ns;
};

static int failed(const char *what)
{
	fprintf(stderr, "sentinel-delayline: %s: %s\n", what, strerror(errno));
	return 1;
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int bind_to(int cpu, int policy, int priority)
{
	struct sched_param parameters = {.sched_priority = priority};
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	return sched_setaffinity(0, sizeof(cpus), &cpus) ||
	       sched_setscheduler(0, policy, &parameters) || prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* Keep one CPU from going to sleep, at the price of nothing that anybody else wants: the scheduler
 * runs SCHED_IDLE only where nothing else can run (sched(7)). A virtual CPU that has halted is woken by the
 * hypervisor when it finds the time: measured here, 50 us on average and milliseconds at worst. */
int keep_awake(int cpu)
{
	if (bind_to(cpu, SCHED_IDLE, 0))
		return failed("keep a CPU awake");
	printf("ready\n");
	fflush(stdout);
	for (;;)
#if defined(__x86_64__)
		__builtin_ia32_lfence();	/* waits for itself: leaves the core to its sibling */
#else
		__asm__ volatile("" ::: "memory");
#endif
}

static void count_wakeup(struct watch *self, int64_t late_ns)
{
	int64_t bin = late_ns / BIN_NS;

	self->wakeups++;
	self->bins[bin < BINS ? bin : BINS - 1]++;
	if (late_ns > self->late_max_ns)
		self->late_max_ns = late_ns;
	if (late_ns >= STALL_NS)
		self->stalled_ns += late_ns;
}

/* Upper edge of the bin that the quantile falls into. */
static int64_t quantile_ns(const struct watch *self, double quantile)
{
	uint64_t rank = (uint64_t)(quantile * (double)self->wakeups), below = 0;

	for (int bin = 0; bin < BINS; bin++) {
		below += self->bins[bin];
		if (below > rank)
			return (int64_t)(bin + 1) * BIN_NS;
	}
	return self->late_max_ns;
}

static void report(const struct watch *self)
{
	printf("{\"watched_ns\": %" PRId64 ", \"wakeups\": %" PRIu64 ", \"late_p50_ns\": %" PRId64
	       ", \"late_p99_ns\": %" PRId64 ", \"late_max_ns\": %" PRId64
	       ", \"stalled_ns\": %" PRId64 "}\n",
	       now_ns() - self->since_ns, self->wakeups, quantile_ns(self, 0.5),
	       quantile_ns(self, 0.99), self->late_max_ns, self->stalled_ns);
}

static void reset(struct watch *self)
{
	memset(self, 0, sizeof(*self));
	self->since_ns = now_ns();
}

/* Carry out what waits on standard input (`reset`, `stats`); false at its end. */
static int obey(struct watch *self)
{
	char text[256];
	char *rest = NULL;
	ssize_t length = read(STDIN_FILENO, text, sizeof(text) - 1);

	if (length <= 0)
		return 0;
	text[length] = 0;
	for (char *word = strtok_r(text, "\n", &rest); word; word = strtok_r(NULL, "\n", &rest)) {
		if (!strcmp(word, "stats")) {
			report(self);
		} else if (!strcmp(word, "reset")) {
			reset(self);
			printf("ok\n");
		} else {
			printf("error: bad command\n");
		}
	}
	fflush(stdout);
	return 1;
}

/* Wake every WAKE_INTERVAL_NS before everybody else on this processor, and note how late that was.
 * Late beyond the usual means that the processor itself was away: taken by the hypervisor, or
 * held by the kernel where it cannot be interrupted. */
int watch_processor(int cpu, int priority)
{
	static struct watch self;
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	int64_t due_ns, left_ns;

	if (mlockall(MCL_CURRENT | MCL_FUTURE) || bind_to(cpu, SCHED_FIFO, priority) ||
	    prctl(PR_SET_TIMERSLACK, 1))
		return failed("watch a CPU");
	reset(&self);
	printf("ready\n");
	fflush(stdout);
	for (due_ns = now_ns() + WAKE_INTERVAL_NS;; due_ns = now_ns() + WAKE_INTERVAL_NS) {
		while ((left_ns = due_ns - now_ns()) > 0) {
			struct timespec timeout = {.tv_nsec = left_ns};

			if (ppoll(&input, 1, &timeout, NULL) > 0 && !obey(&self))
				return 0;
		}
		count_wakeup(&self, -left_ns);
	}
}
