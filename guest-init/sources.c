/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-init/sources.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "guest-init/syslog.h"

enum { READ_SIZE = 16 << 10, RECORDS_PER_TURN = 64 };

void sources_init(struct sources *sources, struct channel *channel, int epoll,
		  void (*hear_kernel)(void *data, const char *record, size_t length), void *data)
{
	*sources = (struct sources){
		.channel = channel, .epoll = epoll, .hear_kernel = hear_kernel, .data = data
	};
	for (int source = 0; source < SOURCE_COUNT; source++)
		sources->fds[source] = -1;
}

void sources_watch(struct sources *sources, enum source source, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = source };

	sources->fds[source] = fd;
	if (fd >= 0)
		epoll_ctl(sources->epoll, EPOLL_CTL_ADD, fd, &event);
}

static void unwatch(struct sources *sources, enum source source)
{
	close(sources->fds[source]);
	sources->fds[source] = -1;
}

/* A slow host holds up those who write, never the reaping. Taken out of the set, not masked: a pipe
 * whose writer is gone would go on to report its end, and be read without room for what it holds.
 */
void sources_pace(struct sources *sources)
{
	static const enum log_stream streams[SOURCE_COUNT] = {
		[SOURCE_STDOUT] = STREAM_STDOUT,
		[SOURCE_STDERR] = STREAM_STDERR,
		[SOURCE_SYSLOG] = STREAM_SYSLOG,
		[SOURCE_KERNEL] = STREAM_KERNEL,
	};

	for (int source = SOURCE_STDOUT; source < SOURCE_COUNT; source++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u64 = (uint64_t)source };
		bool pause = !channel_has_room(sources->channel, streams[source]);

		if (sources->fds[source] < 0 || pause == sources->paused[source])
			continue;
		sources->paused[source] = pause;
		epoll_ctl(sources->epoll, pause ? EPOLL_CTL_DEL : EPOLL_CTL_ADD,
			  sources->fds[source], &event);
	}
}

static void read_pipe(struct sources *sources, enum source source, enum log_stream stream)
{
	char bytes[READ_SIZE];
	ssize_t n;

	/* An earlier source of this turn may have taken the room; the next turn pauses. */
	if (!channel_has_room(sources->channel, stream))
		return;
	n = read(sources->fds[source], bytes, sizeof(bytes));
	if (n > 0)
		channel_log(sources->channel, stream, bytes, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		unwatch(sources, source);
}

/* One read, one record, for /dev/log and /dev/kmsg alike. */
static void read_records(struct sources *sources, enum source source, enum log_stream stream,
			 size_t (*format)(const char *, size_t, char[SYSLOG_LINE_MAX]))
{
	char record[SYSLOG_LINE_MAX], line[SYSLOG_LINE_MAX];

	for (int i = 0; i < RECORDS_PER_TURN && channel_has_room(sources->channel, stream); i++) {
		ssize_t n = read(sources->fds[source], record, sizeof(record));

		/* EPIPE: the kernel overwrote records before they were read; go on. */
		if (n < 0 && errno == EPIPE)
			continue;
		if (n < 0)
			return;
		if (source == SOURCE_KERNEL)
			sources->hear_kernel(sources->data, record, (size_t)n);
		channel_log(sources->channel, stream, line, format(record, (size_t)n, line));
	}
}

void sources_read(struct sources *sources, enum source source)
{
	/* An earlier event of this turn may have closed it. */
	if (sources->fds[source] < 0)
		return;
	if (source == SOURCE_STDOUT)
		read_pipe(sources, source, STREAM_STDOUT);
	else if (source == SOURCE_STDERR)
		read_pipe(sources, source, STREAM_STDERR);
	else if (source == SOURCE_SYSLOG)
		read_records(sources, source, STREAM_SYSLOG, syslog_format);
	else if (source == SOURCE_KERNEL)
		read_records(sources, source, STREAM_KERNEL, kmsg_format);
}

bool sources_have_output(const struct sources *sources)
{
	return sources->fds[SOURCE_STDOUT] >= 0 || sources->fds[SOURCE_STDERR] >= 0;
}
