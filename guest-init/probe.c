/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-init/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum {
	STATUS_LINE_MAX = 1024,
	DRAIN_MAX = 64 << 10, /* of an answer that is good already, so that its server is not cut */
	DRAIN_MS = 100,	      /* and no longer than that for each piece */
};

/* RFC 9112, 4: "HTTP/" DIGIT "." DIGIT SP 3DIGIT, then a reason that is for nobody. */
int probe_status(const char *bytes, size_t length)
{
	static const char pattern[] = "HTTP/d.d ddd";
	size_t count = sizeof(pattern) - 1;
	char after;

	for (size_t i = 0; i < count && i < length; i++) {
		bool is_digit = bytes[i] >= '0' && bytes[i] <= '9';

		if (pattern[i] == 'd' ? !is_digit : bytes[i] != pattern[i])
			return -1;
	}
	if (length <= count)
		return 0;
	after = bytes[count];
	if (after != ' ' && after != '\r' && after != '\n')
		return -1;
	if (!memchr(bytes, '\n', length))
		return length < STATUS_LINE_MAX ? 0 : -1;
	return (bytes[count - 3] - '0') * 100 + (bytes[count - 2] - '0') * 10 + bytes[count - 1] -
	       '0';
}

static int connect_to(const char *address, uint16_t port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	bool is_v4 = inet_pton(AF_INET, address, &v4.sin_addr) == 1;
	int fd, number;

	if (!is_v4 && inet_pton(AF_INET6, address, &v6.sin6_addr) != 1) {
		errno = EINVAL;
		return -1;
	}
	fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6,
		    is_v4 ? sizeof(v4) : sizeof(v6)) == 0)
		return fd;
	number = errno;
	close(fd);
	errno = number;
	return -1;
}

/* The first of loopback and own addresses that takes a connection; errno is the first one's. */
static int connect_any(const struct probe *probe)
{
	int fd = connect_to("127.0.0.1", probe->port), number = errno;

	if (fd < 0)
		fd = connect_to("::1", probe->port);
	for (size_t i = 0; fd < 0 && i < probe->addresses->count; i++)
		fd = connect_to(probe->addresses->items[i], probe->port);
	errno = number;
	return fd;
}

static void drain(int fd)
{
	const struct timeval limit = { .tv_usec = DRAIN_MS * 1000 };
	char bytes[4096];
	size_t taken = 0;
	ssize_t n;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	while (taken < DRAIN_MAX && (n = read(fd, bytes, sizeof(bytes))) > 0)
		taken += (size_t)n;
}

/* 0 to 999; -1: no HTTP. */
static int ask(int fd, const struct probe *probe)
{
	char request[512], answer[STATUS_LINE_MAX];
	size_t length = 0;
	int status = 0;
	ssize_t n;
	int size = snprintf(request, sizeof(request),
			    "GET %s HTTP/1.1\r\nHost: localhost:%u\r\nUser-Agent: stoker-init\r\n"
			    "Accept: */*\r\nConnection: close\r\n\r\n",
			    probe->path, probe->port);

	if (size < 0 || (size_t)size >= sizeof(request) ||
	    send(fd, request, (size_t)size, MSG_NOSIGNAL) != size)
		return -1;
	while (status == 0) {
		n = read(fd, answer + length, sizeof(answer) - length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		length += (size_t)n;
		status = probe_status(answer, length);
	}
	return status;
}

int probe_run(void *data)
{
	const struct probe *probe = data;
	int fd = connect_any(probe), status;

	if (fd < 0) {
		dprintf(2, "port %u: %s\n", probe->port, strerror(errno));
		return 1;
	}
	if (!probe->path)
		return 0;
	status = ask(fd, probe);
	if (status < 0)
		dprintf(2, "port %u: no HTTP answer\n", probe->port);
	else
		dprintf(2, "GET %.80s: status %d\n", probe->path, status);
	if (status < 200 || status >= 400)
		return 1;
	drain(fd);
	return 0;
}
