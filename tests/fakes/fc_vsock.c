/* SPDX-License-Identifier: Apache-2.0 */
/* See fc_vsock.h; the rules of the line are those of Firecracker's muxer. */
#include "tests/fakes/fc_vsock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

void vsock_init(struct vsock *vsock)
{
	vsock->last_port = (1u << 30) - 1;
	for (size_t i = 0; i < VSOCK_STREAMS_MAX; i++)
		vsock->streams[i].fd = -1;
}

struct vsock_stream *vsock_accept(struct vsock *vsock, int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return NULL;
	for (size_t i = 0; i < VSOCK_STREAMS_MAX; i++)
		if (vsock->streams[i].fd < 0) {
			vsock->streams[i] = (struct vsock_stream){ .fd = fd };
			return &vsock->streams[i];
		}
	close(fd);
	return NULL;
}

static void end_stream(struct vsock_stream *stream)
{
	close(stream->fd);
	stream->fd = -1;
}

/* A whole line: whom does it want? */
static void answer(struct vsock *vsock, struct vsock_stream *stream)
{
	char word[VSOCK_LINE_MAX], reply[VSOCK_LINE_MAX];
	unsigned port;

	if (sscanf(stream->line, "%31s %u", word, &port) != 2 || strcasecmp(word, "connect") != 0 ||
	    port != VSOCK_ECHO_PORT) {
		end_stream(stream);
		return;
	}
	snprintf(reply, sizeof(reply), "OK %u\n", ++vsock->last_port);
	stream->is_open = send(stream->fd, reply, strlen(reply), MSG_NOSIGNAL) > 0;
}

static void read_line(struct vsock *vsock, struct vsock_stream *stream)
{
	while (!stream->is_open && stream->fd >= 0) {
		ssize_t n = recv(stream->fd, stream->line + stream->length, 1, 0);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0 || stream->length == VSOCK_LINE_MAX - 2)
			end_stream(stream);
		else if (stream->line[stream->length++] == '\n')
			answer(vsock, stream);
	}
}

void vsock_on_event(struct vsock *vsock, struct vsock_stream *stream)
{
	char bytes[4096];
	ssize_t n;

	if (!stream->is_open)
		read_line(vsock, stream);
	if (stream->fd < 0 || !stream->is_open)
		return;
	n = recv(stream->fd, bytes, sizeof(bytes), 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || send(stream->fd, bytes, (size_t)n, MSG_NOSIGNAL) != n)
		end_stream(stream);
}
