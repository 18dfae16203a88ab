/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "nfqueue.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BATCH 64
#define MESSAGE_BYTES 512		/* metadata of one packet; measured: about 100 */
#define SOCKET_BUFFER_BYTES (1 << 28)

struct request {
	struct nlmsghdr header;
	struct nfgenmsg generic;
	char attributes[64];
};

static void request_start(struct request *request, uint16_t type, uint16_t queue, uint16_t flags)
{
	memset(request, 0, sizeof(*request));
	request->header.nlmsg_len = NLMSG_LENGTH(sizeof(request->generic));
	request->header.nlmsg_type = (NFNL_SUBSYS_QUEUE << 8) | type;
	request->header.nlmsg_flags = NLM_F_REQUEST | flags;
	request->generic.nfgen_family = AF_UNSPEC;
	request->generic.version = NFNETLINK_V0;
	request->generic.res_id = htons(queue);
}

static void request_add(struct request *request, uint16_t type, const void *data, uint16_t length)
{
	struct nlattr *attribute =
		(struct nlattr *)((char *)request + NLMSG_ALIGN(request->header.nlmsg_len));

	attribute->nla_type = type;
	attribute->nla_len = NLA_HDRLEN + length;
	memcpy((char *)attribute + NLA_HDRLEN, data, length);
	request->header.nlmsg_len =
		NLMSG_ALIGN(request->header.nlmsg_len) + NLA_ALIGN(attribute->nla_len);
}

static bool request_send(int fd, const struct request *request)
{
	ssize_t sent;

	do {
		sent = send(fd, request, request->header.nlmsg_len, 0);
	} while (sent < 0 && errno == EINTR);
	return sent == (ssize_t)request->header.nlmsg_len;
}

/* Send a configuration request and wait for the kernel's answer. */
static bool request_confirmed(int fd, struct request *request)
{
	char answer[4096];
	struct nlmsghdr *header = (struct nlmsghdr *)answer;

	request->header.nlmsg_flags |= NLM_F_ACK;
	if (!request_send(fd, request))
		return false;
	for (;;) {
		ssize_t length = recv(fd, answer, sizeof(answer), 0);

		if (length < 0)
			return false;
		if (!NLMSG_OK(header, (size_t)length) || header->nlmsg_type != NLMSG_ERROR)
			continue;	/* a packet of an already bound queue */
		errno = -((struct nlmsgerr *)NLMSG_DATA(header))->error;
		return errno == 0;
	}
}

static bool queue_bind(int fd, const struct queue_settings *settings, const char **step)
{
	struct nfqnl_msg_config_cmd bind_command = {
		.command = NFQNL_CFG_CMD_BIND, .pf = htons(AF_INET)};
	struct nfqnl_msg_config_params parameters = {
		.copy_range = 0, .copy_mode = NFQNL_COPY_META};
	uint32_t max_packets = htonl(settings->max_packets);
	uint32_t mask = htonl(NFQA_CFG_F_GSO);
	uint32_t flags = htonl(settings->whole_gso ? NFQA_CFG_F_GSO : 0);
	struct request request;

	*step = "bind the queue";
	request_start(&request, NFQNL_MSG_CONFIG, settings->number, 0);
	request_add(&request, NFQA_CFG_CMD, &bind_command, sizeof(bind_command));
	if (!request_confirmed(fd, &request))
		return false;
	*step = "configure the queue";
	request_start(&request, NFQNL_MSG_CONFIG, settings->number, 0);
	request_add(&request, NFQA_CFG_PARAMS, &parameters, sizeof(parameters));
	request_add(&request, NFQA_CFG_QUEUE_MAXLEN, &max_packets, sizeof(max_packets));
	request_add(&request, NFQA_CFG_MASK, &mask, sizeof(mask));
	request_add(&request, NFQA_CFG_FLAGS, &flags, sizeof(flags));
	return request_confirmed(fd, &request);
}

int queue_open(const struct queue_settings *settings, const char **step)
{
	int on = 1;
	int buffer_bytes = SOCKET_BUFFER_BYTES;
	struct sockaddr_nl address = {.nl_family = AF_NETLINK};
	int fd;

	*step = "open a netlink socket";
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	if (fd < 0)
		return -1;
	*step = "set up the netlink socket";
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes, sizeof(buffer_bytes)) ||
	    setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof(on)) ||
	    !queue_bind(fd, settings, step)) {
		int reason = errno;

		close(fd);
		errno = reason;
		return -1;
	}
	return fd;
}

int arrival_stamps_enable(void)
{
	int on = 1;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* One metadata message. Returns false if it is not a packet. */
static bool parse_packet(const char *message, size_t length, struct queued_packet *packet)
{
	const struct nlmsghdr *header = (const struct nlmsghdr *)message;
	size_t offset = NLMSG_LENGTH(sizeof(struct nfgenmsg));
	bool have_id = false;

	if (length < offset || header->nlmsg_type != ((NFNL_SUBSYS_QUEUE << 8) | NFQNL_MSG_PACKET))
		return false;
	packet->arrival_real_ns = 0;
	while (offset + NLA_HDRLEN <= length) {
		const struct nlattr *attribute = (const struct nlattr *)(message + offset);
		const char *data = message + offset + NLA_HDRLEN;

		if (attribute->nla_len < NLA_HDRLEN || offset + attribute->nla_len > length)
			break;
		if ((attribute->nla_type & NLA_TYPE_MASK) == NFQA_PACKET_HDR) {
			packet->id = ntohl(((const struct nfqnl_msg_packet_hdr *)data)->packet_id);
			have_id = true;
		} else if ((attribute->nla_type & NLA_TYPE_MASK) == NFQA_TIMESTAMP) {
			struct nfqnl_msg_packet_timestamp stamp;

			memcpy(&stamp, data, sizeof(stamp));
			packet->arrival_real_ns = (int64_t)be64toh(stamp.sec) * 1000000000 +
						  (int64_t)be64toh(stamp.usec) * 1000;
		}
		offset += NLA_ALIGN(attribute->nla_len);
	}
	return have_id;
}

int queue_read(int fd, struct queued_packet *packets, int capacity)
{
	static char buffers[READ_BATCH][MESSAGE_BYTES] __attribute__((aligned(8)));
	static struct iovec vectors[READ_BATCH];
	static struct mmsghdr messages[READ_BATCH];
	int wanted = capacity < READ_BATCH ? capacity : READ_BATCH;
	int received, parsed = 0;

	for (int i = 0; i < wanted; i++) {
		vectors[i] = (struct iovec){buffers[i], MESSAGE_BYTES};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
	}
	received = recvmmsg(fd, messages, wanted, MSG_DONTWAIT, NULL);
	if (received < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	for (int i = 0; i < received; i++)
		if (parse_packet(buffers[i], messages[i].msg_len, &packets[parsed]))
			parsed++;
	return parsed;
}

static bool give_verdict(int fd, uint16_t number, uint16_t type, uint32_t id)
{
	struct nfqnl_msg_verdict_hdr verdict = {.verdict = htonl(NF_ACCEPT), .id = htonl(id)};
	struct request request;

	request_start(&request, type, number, 0);
	request_add(&request, NFQA_VERDICT_HDR, &verdict, sizeof(verdict));
	return request_send(fd, &request);
}

bool queue_accept_up_to(int fd, uint16_t number, uint32_t last_id)
{
	return give_verdict(fd, number, NFQNL_MSG_VERDICT_BATCH, last_id);
}

bool queue_accept_one(int fd, uint16_t number, uint32_t id)
{
	return give_verdict(fd, number, NFQNL_MSG_VERDICT, id);
}
