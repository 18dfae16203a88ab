/* SPDX-License-Identifier: Apache-2.0
 *
 * sentinel-delayline: the delay of one emulated link where the kernel has no netem.
 *
 * Runs inside the wire's network namespace. iptables sends the packets of each direction to an
 * NFQUEUE; this program holds their ids, not the packets, and accepts each one `delay` after
 * the kernel stamped its arrival. So reading late does not lengthen the delay unless it is
 * later than the due time itself.
 *
 *   sentinel-delayline --tag TAG --priority 50 --queue NUMBER ...
 *
 * Prints `ready` when the queues are bound. Reads commands from standard input, answers each
 * with one line: `delay QUEUE DELAY_NS JITTER_NS REORDER SEED`, `stats`; `quit` ends it. End of input
 * does not: a network whose controller was killed goes on until `sentinel-sim clean`, and an idle
 * line takes no CPU. A dead line never lets a packet pass undelayed: without a listener the
 * kernel drops what is queued.
 *
 * With --keep-awake CPU or --watch CPU it does one of the services in processor.h instead.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "line.h"
#include "nfqueue.h"
#include "processor.h"

#define LINES_MOST 8
#define READ_BATCH 64
#define RELEASE_BATCH 64
#define LOOK_INTERVAL_NS 1000000	/* how long arrivals may wait to be read while others are held */
#define QUEUE_PACKETS_MOST (1U << 22)
#define FIFO_CAPACITY_LOG2 16

struct delayline {
	struct line lines[LINES_MOST];
	int count;
	int priority;
	bool whole_gso;
	bool orphaned;			/* end of input without `quit` */
	int awake_cpu;			/* with either of these two: no delay line */
	int watched_cpu;
};

static int64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int failed(const char *what)
{
	fprintf(stderr, "sentinel-delayline: %s: %s\n", what, strerror(errno));
	return 1;
}

static bool add_line(struct delayline *self, const char *text)
{
	struct line *line = &self->lines[self->count];

	if (self->count == LINES_MOST || sscanf(text, "%" SCNu16, &line->queue_number) != 1) {
		fprintf(stderr, "sentinel-delayline: bad or one too many: --queue %s\n", text);
		return false;
	}
	self->count++;
	return fifo_init(&line->held, FIFO_CAPACITY_LOG2);
}

static bool parse_arguments(struct delayline *self, int count, char **words)
{
	for (int i = 1; i + 1 < count; i += 2) {
		if (!strcmp(words[i], "--queue")) {
			if (!add_line(self, words[i + 1]))
				return false;
		} else if (!strcmp(words[i], "--priority")) {
			self->priority = atoi(words[i + 1]);
		} else if (!strcmp(words[i], "--keep-awake")) {
			self->awake_cpu = atoi(words[i + 1]);
		} else if (!strcmp(words[i], "--watch")) {
			self->watched_cpu = atoi(words[i + 1]);
		} else if (!strcmp(words[i], "--gso")) {
			self->whole_gso = strcmp(words[i + 1], "segment") != 0;
		} else if (strcmp(words[i], "--tag")) {
			fprintf(stderr, "sentinel-delayline: unknown option %s\n", words[i]);
			return false;
		}
	}
	return self->count > 0 || self->awake_cpu >= 0 || self->watched_cpu >= 0;
}

/* Real-time priority, or the reason why not: a line that is scheduled late delays too long. */
static int become_real_time(int priority)
{
	struct sched_param parameters = {.sched_priority = priority};

	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		return failed("lock memory");
	if (priority && sched_setscheduler(0, SCHED_FIFO, &parameters))
		return failed("set SCHED_FIFO");
	return prctl(PR_SET_TIMERSLACK, 1) ? failed("set the timer slack") : 0;
}

static int open_queues(struct delayline *self)
{
	if (arrival_stamps_enable() < 0)
		return failed("enable arrival stamps");
	for (int i = 0; i < self->count; i++) {
		struct queue_settings settings = {.number = self->lines[i].queue_number,
						  .max_packets = QUEUE_PACKETS_MOST,
						  .whole_gso = self->whole_gso};
		const char *step;

		self->lines[i].fd = queue_open(&settings, &step);
		if (self->lines[i].fd < 0)
			return failed(step);
	}
	return 0;
}

static int admit_arrivals(struct line *line, int64_t now_ns, int64_t real_minus_monotonic_ns)
{
	struct queued_packet packets[READ_BATCH];
	int count;

	do {
		count = queue_read(line->fd, packets, READ_BATCH);
		if (count < 0)
			return failed("read the queue");
		for (int i = 0; i < count; i++) {
			int64_t arrival_ns = packets[i].arrival_real_ns - real_minus_monotonic_ns;

			if (!packets[i].arrival_real_ns) {
				line->packets_unstamped++;
				arrival_ns = now_ns;
			}
			if (!line_admit(line, packets[i].id, arrival_ns, now_ns))
				return failed("hold a packet");
		}
	} while (count == READ_BATCH);
	return 0;
}

/* Release at most RELEASE_BATCH packets that are due, with one verdict where order allows. */
static int release_due(struct line *line, int64_t now_ns)
{
	uint32_t id;
	int released = 0;
	bool sent = true;

	while (released < RELEASE_BATCH && sent && line_take_due(line, now_ns, &id)) {
		released++;
		if (line->may_reorder)
			sent = queue_accept_one(line->fd, line->queue_number, id);
	}
	if (released && !line->may_reorder)
		sent = queue_accept_up_to(line->fd, line->queue_number, id);
	return sent ? 0 : failed("give a verdict");
}

static void print_stats(const struct delayline *self)
{
	printf("[");
	for (int i = 0; i < self->count; i++) {
		const struct line *line = &self->lines[i];

		printf("%s{\"queue\": %u, \"delay_ns\": %" PRId64 ", \"jitter_ns\": %" PRId64
		       ", \"packets\": %" PRIu64 ", \"packets_unstamped\": %" PRIu64
		       ", \"packets_read_late\": %" PRIu64 ", \"held\": %zu, \"held_most\": %" PRIu64
		       ", \"release_lag_worst_ns\": %" PRId64 "}",
		       i ? ", " : "", line->queue_number, line->delay_ns, line->jitter_ns,
		       line->packets, line->packets_unstamped, line->packets_read_late,
		       fifo_length(&line->held), line->held_most, line->release_lag_worst_ns);
	}
	printf("]\n");
}

/* `delay QUEUE DELAY_NS JITTER_NS REORDER SEED`; for the packets that arrive from now on. */
static bool set_delay(struct delayline *self, const char *command)
{
	int64_t delay_ns, jitter_ns;
	unsigned queue, reorder;
	uint64_t seed;

	if (sscanf(command, "delay %u %" SCNd64 " %" SCNd64 " %u %" SCNu64, &queue, &delay_ns,
		   &jitter_ns, &reorder, &seed) != 5 ||
	    jitter_ns < 0 || jitter_ns > delay_ns)
		return false;
	for (int i = 0; i < self->count; i++) {
		struct line *line = &self->lines[i];

		if (line->queue_number != queue)
			continue;
		line->delay_ns = delay_ns;
		line->jitter_ns = jitter_ns;
		line->may_reorder = reorder != 0;
		line->random_state = seed;
		return true;
	}
	return false;
}

/* Carry out the commands that wait on standard input; false after `quit`. At the end of the input
 * the controller has died: its packets are delayed as before, until somebody cleans up. */
static bool obey(struct delayline *self)
{
	char text[4096];
	char *rest = NULL;
	ssize_t length = read(STDIN_FILENO, text, sizeof(text) - 1);

	if (length <= 0) {
		self->orphaned = true;
		return true;
	}
	text[length] = 0;
	for (char *word = strtok_r(text, "\n", &rest); word; word = strtok_r(NULL, "\n", &rest)) {
		if (!strcmp(word, "quit"))
			return false;
		if (!strcmp(word, "stats"))
			print_stats(self);
		else
			printf(set_delay(self, word) ? "ok\n" : "error: bad command\n");
	}
	fflush(stdout);
	return true;
}

static int64_t next_due_ns(const struct delayline *self)
{
	int64_t due_ns = INT64_MAX;

	for (int i = 0; i < self->count; i++) {
		int64_t line_due_ns = line_next_due_ns(&self->lines[i]);

		due_ns = line_due_ns < due_ns ? line_due_ns : due_ns;
	}
	return due_ns;
}

/* Sleep until a packet is due, a command comes, or an idle line's first packet arrives. The
 * sockets of lines that hold packets are not watched: what arrives there is due later. */
static bool wait_for_work(struct delayline *self, bool *command)
{
	/* ppoll ignores a negative descriptor. */
	struct pollfd watched[LINES_MOST + 1] = {
		{.fd = self->orphaned ? -1 : STDIN_FILENO, .events = POLLIN}};
	int64_t left_ns = next_due_ns(self);
	struct timespec timeout;
	int watching = 1;

	for (int i = 0; i < self->count; i++)
		if (!fifo_length(&self->lines[i].held))
			watched[watching++] =
				(struct pollfd){.fd = self->lines[i].fd, .events = POLLIN};
	if (left_ns != INT64_MAX) {
		left_ns -= clock_ns(CLOCK_MONOTONIC);
		left_ns = left_ns < 0 ? 0 : left_ns > LOOK_INTERVAL_NS ? LOOK_INTERVAL_NS : left_ns;
		timeout = (struct timespec){.tv_nsec = left_ns};
	}
	if (ppoll(watched, watching, left_ns == INT64_MAX ? NULL : &timeout, NULL) < 0 &&
	    errno != EINTR)
		return false;
	*command = watched[0].revents != 0;
	return true;
}

static int run(struct delayline *self)
{
	bool command = false;

	while (!command || obey(self)) {
		int64_t now_ns = clock_ns(CLOCK_MONOTONIC);
		int64_t offset_ns = clock_ns(CLOCK_REALTIME) - now_ns;

		for (int i = 0; i < self->count; i++)
			if (admit_arrivals(&self->lines[i], now_ns, offset_ns) ||
			    release_due(&self->lines[i], clock_ns(CLOCK_MONOTONIC)))
				return 1;
		if (!wait_for_work(self, &command))
			return failed("wait");
	}
	return 0;
}

int main(int count, char **words)
{
	static struct delayline self = {
		.whole_gso = true, .awake_cpu = -1, .watched_cpu = -1};

	if (!parse_arguments(&self, count, words))
		return 2;
	if (self.awake_cpu >= 0)
		return keep_awake(self.awake_cpu);
	if (self.watched_cpu >= 0)
		return watch_processor(self.watched_cpu, self.priority);
	if (open_queues(&self) || become_real_time(self.priority))
		return 1;
	printf("ready\n");
	fflush(stdout);
	return run(&self);
}
