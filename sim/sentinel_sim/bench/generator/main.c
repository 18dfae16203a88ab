// SPDX-License-Identifier: Apache-2.0
/*
 * The benchmark's load generator: frames of many flows from a packet socket, at a steady rate.
 *
 *     sentinel-generator --tag TAG --interface IF --cpu N
 *
 * Commands, a line each on standard input; a line of JSON answers each:
 *     template HEX PORT_OFFSET   the frame; each packet's flow is written at PORT_OFFSET (16 bits,
 *                                network order), the time it is sent into its last 8 bytes
 *     send COUNT RATE FLOWS SEED packets of a pseudo-random walk over FLOWS flows, RATE a second
 *                                (0: as fast as it goes)
 *
 * Pacing is open loop: packet i is due at start + i / RATE, whatever the receiver does. What is a
 * little late is sent at once; where the generator itself was held up for longer than BATCH_MAX
 * packets, the rest of its schedule moves, because catching up would be a burst that nobody asked
 * for. The answer tells the rate that was made: the caller judges whether it kept up. It spins
 * while it waits; the process belongs on a CPU of its own. PACKET_QDISC_BYPASS: a full ring at the receiver loses the packet (counted as
 * `refused`, and as sent) instead of holding the sender up.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

/* As in bpf/bench_abi.h; a unit test compares. */
#define WALK_FACTOR 1664525u
#define WALK_STEP 1013904223u
#define FIRST_PORT 1024
#define FLOWS_MAX 64000

#define FRAME_MAX 1514
#define BATCH_MAX 32
#define NS_PER_S 1000000000ull

struct generator {
	int socket;
	uint8_t template[FRAME_MAX];
	size_t frame_bytes;
	size_t port_offset;
	uint8_t frames[BATCH_MAX][FRAME_MAX];
	struct iovec parts[BATCH_MAX];
	struct mmsghdr messages[BATCH_MAX];
};

/* What one `send` came to. */
struct outcome {
	uint64_t sent, refused, elapsed_ns, late_max_ns;
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static int failed(const char *what)
{
	fprintf(stderr, "sentinel-generator: cannot %s: %s\n", what, strerror(errno));
	return -1;
}

static int open_socket(const char *interface)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET};
	int one = 1, fd;

	address.sll_ifindex = (int)if_nametoindex(interface);
	if (!address.sll_ifindex)
		return failed("find the interface");
	fd = socket(AF_PACKET, SOCK_RAW, 0); /* protocol 0: receives nothing */
	if (fd < 0)
		return failed("open a packet socket");
	if (setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)))
		return failed("bypass the queueing discipline");
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)))
		return failed("bind to the interface");
	return fd;
}

static void prepare_frames(struct generator *self)
{
	for (int i = 0; i < BATCH_MAX; i++) {
		memcpy(self->frames[i], self->template, self->frame_bytes);
		self->parts[i] = (struct iovec){self->frames[i], self->frame_bytes};
		memset(&self->messages[i], 0, sizeof(self->messages[i]));
		self->messages[i].msg_hdr.msg_iov = &self->parts[i];
		self->messages[i].msg_hdr.msg_iovlen = 1;
	}
}

static bool set_template(struct generator *self, const char *hex, size_t port_offset)
{
	size_t bytes = strlen(hex) / 2;

	if (bytes < 64 || bytes > FRAME_MAX || port_offset + 2 > bytes - 8)
		return false;
	for (size_t i = 0; i < bytes; i++) {
		unsigned int value;

		if (sscanf(hex + 2 * i, "%2x", &value) != 1)
			return false;
		self->template[i] = (uint8_t)value;
	}
	self->frame_bytes = bytes;
	self->port_offset = port_offset;
	prepare_frames(self);
	return true;
}

/* Write flow and time of sending into the first `count` frames of the batch. */
static void fill(struct generator *self, unsigned int count, uint32_t *walk, uint32_t flows)
{
	for (unsigned int i = 0; i < count; i++) {
		uint8_t *frame = self->frames[i];
		uint16_t port;
		uint64_t stamp_ns;

		*walk = *walk * WALK_FACTOR + WALK_STEP;
		port = htons((uint16_t)(FIRST_PORT + (((uint64_t)*walk * flows) >> 32)));
		memcpy(frame + self->port_offset, &port, sizeof(port));
		stamp_ns = now_ns();
		memcpy(frame + self->frame_bytes - sizeof(stamp_ns), &stamp_ns, sizeof(stamp_ns));
	}
}

/* Offer `count` frames once each; those that are refused are lost. Returns -1 on a real error. */
static int offer(struct generator *self, unsigned int count, uint64_t *refused)
{
	unsigned int done = 0;

	while (done < count) {
		int n = sendmmsg(self->socket, self->messages + done, count - done, 0);

		if (n > 0) {
			done += (unsigned int)n;
		} else if (errno == ENOBUFS || errno == EAGAIN) {
			done += 1;
			*refused += 1;
		} else if (errno != EINTR) {
			return failed("send");
		}
	}
	return 0;
}

/* How many packets are due at `elapsed_ns`, at least one while any is left to wait for. */
static uint64_t due_count(uint64_t elapsed_ns, uint64_t rate)
{
	return rate ? (uint64_t)((unsigned __int128)elapsed_ns * rate / NS_PER_S) + 1 : UINT64_MAX;
}

static int send_all(struct generator *self, uint64_t count, uint64_t rate, uint32_t flows,
		    uint32_t walk, struct outcome *outcome)
{
	const uint64_t began_ns = now_ns();
	uint64_t start_ns = began_ns;

	*outcome = (struct outcome){0};
	while (outcome->sent < count) {
		uint64_t elapsed_ns = now_ns() - start_ns;
		uint64_t due = due_count(elapsed_ns, rate);
		uint64_t batch, late_ns;

		if (due <= outcome->sent)
			continue;
		if (rate) {
			late_ns = elapsed_ns - (uint64_t)((unsigned __int128)outcome->sent *
							  NS_PER_S / rate);
			if (late_ns > outcome->late_max_ns)
				outcome->late_max_ns = late_ns;
		}
		batch = due - outcome->sent;
		if (batch > BATCH_MAX) {
			if (rate)
				start_ns += (batch - BATCH_MAX) * NS_PER_S / rate;
			batch = BATCH_MAX;
		}
		if (batch > count - outcome->sent)
			batch = count - outcome->sent;
		fill(self, (unsigned int)batch, &walk, flows);
		if (offer(self, (unsigned int)batch, &outcome->refused))
			return -1;
		outcome->sent += batch;
	}
	outcome->elapsed_ns = now_ns() - began_ns;
	return 0;
}

static int run_send(struct generator *self, const char *line)
{
	uint64_t count, rate;
	uint32_t flows, seed;
	struct outcome outcome;

	if (sscanf(line, "send %" SCNu64 " %" SCNu64 " %" SCNu32 " %" SCNu32, &count, &rate, &flows,
		   &seed) != 4 || !flows || flows > FLOWS_MAX || !self->frame_bytes) {
		printf("error send needs COUNT RATE FLOWS SEED, after a template\n");
		return 0;
	}
	if (send_all(self, count, rate, flows, seed, &outcome))
		return -1;
	printf("{\"sent\": %" PRIu64 ", \"refused\": %" PRIu64 ", \"elapsed_ns\": %" PRIu64
	       ", \"late_max_ns\": %" PRIu64 "}\n",
	       outcome.sent, outcome.refused, outcome.elapsed_ns, outcome.late_max_ns);
	return 0;
}

static int serve(struct generator *self)
{
	static char line[2 * FRAME_MAX + 64], hex[2 * FRAME_MAX + 1];
	size_t port_offset;

	printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "template %3028s %zu", hex, &port_offset) == 2) {
			if (set_template(self, hex, port_offset))
				printf("{}\n");
			else
				printf("error a template has 64 to %d bytes\n", FRAME_MAX);
		} else if (run_send(self, line)) {
			return EXIT_FAILURE;
		}
		fflush(stdout);
	}
	return EXIT_SUCCESS;
}

int main(int count, char **words)
{
	static struct generator self;
	const char *interface = NULL;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	for (int i = 1; i + 1 < count; i += 2) {
		if (!strcmp(words[i], "--interface"))
			interface = words[i + 1];
		else if (!strcmp(words[i], "--cpu"))
			CPU_SET(atoi(words[i + 1]), &cpus);
		else if (strcmp(words[i], "--tag"))
			return fprintf(stderr, "sentinel-generator: unknown %s\n", words[i]), 2;
	}
	if (!interface || !CPU_COUNT(&cpus))
		return fprintf(stderr, "usage: sentinel-generator --interface IF --cpu N\n"), 2;
	if (sched_setaffinity(0, sizeof(cpus), &cpus) || mlockall(MCL_CURRENT | MCL_FUTURE))
		return failed("pin to its CPU and lock memory"), EXIT_FAILURE;
	self.socket = open_socket(interface);
	return self.socket < 0 ? EXIT_FAILURE : serve(&self);
}
