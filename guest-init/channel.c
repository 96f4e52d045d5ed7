/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of protocol.h over whatever leads to the host. A virtserialport stays open while the
 * daemon behind it goes and comes back: the kernel says POLLHUP (drivers/char/virtio_console.c,
 * port_fops_poll) as long as nobody is there, so its events are edge-triggered. A vsock connection
 * ends with the daemon and is made anew.
 */
#include "guest-init/channel.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "guest-init/sysfs.h"

/* One read of a pipe becomes one frame. */
enum { ROOM_WANTED = 16 << 10 };

void channel_init(struct channel *channel, int epoll, uint64_t token,
		  const struct channel_verbs *verbs)
{
	channel->verbs = *verbs;
	channel->epoll = epoll;
	channel->epoll_token = token;
	channel->fd = -1;
	channel->ring = (struct ring){ .bytes = channel->ring_bytes,
				       .capacity = sizeof(channel->ring_bytes) };
}

/* --- connecting ----------------------------------------------------------------------------- */

static bool port_has_name(const char *port, const char *name)
{
	char path[300];

	snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", port);
	return sysfs_text_is(path, name);
}

/* The names of ports are a matter of the order in which devices were found. */
static int open_port(void)
{
	DIR *dir = opendir("/sys/class/virtio-ports");
	const struct dirent *entry;
	int fd = -1;

	while (dir && fd < 0 && (entry = readdir(dir))) {
		char path[300];

		if (entry->d_name[0] == '.' || !port_has_name(entry->d_name, CHANNEL_PORT_NAME))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	}
	if (dir)
		closedir(dir);
	return fd;
}

static int open_vsock(void)
{
	struct sockaddr_vm address = { .svm_family = AF_VSOCK,
				       .svm_cid = VMADDR_CID_HOST,
				       .svm_port = CHANNEL_VSOCK_PORT };
	int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 && errno != EINPROGRESS) {
		close(fd);
		return -1;
	}
	return fd;
}

/* What they still had to say is for nobody, and they end. */
static void forget_sessions(struct channel *channel)
{
	if (!channel->greeted || !channel->verbs.gone)
		return;
	channel->verbs.gone(channel->verbs.data);
	channel->sessions_length = channel->sessions_sent = 0;
}

static void forget_host(struct channel *channel)
{
	forget_sessions(channel);
	channel->greeted = channel->is_pong_due = false;
	channel->in_length = 0;
	channel->control_length = channel->control_sent = 0;
	ring_rewind(&channel->ring, 0);
}

/* A port is kept: the next host is announced on it. */
static void disconnect(struct channel *channel)
{
	forget_host(channel);
	if (channel->backend == BACKEND_PORT)
		return;
	close(channel->fd);
	channel->fd = -1;
}

static void connect_host(struct channel *channel)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				     .data.u64 = channel->epoll_token };

	channel->fd = open_port();
	channel->backend = BACKEND_PORT;
	if (channel->fd < 0) {
		channel->fd = open_vsock();
		channel->backend = channel->fd < 0 ? BACKEND_NONE : BACKEND_VSOCK;
	}
	if (channel->fd >= 0)
		epoll_ctl(channel->epoll, EPOLL_CTL_ADD, channel->fd, &event);
}

/* --- writing -------------------------------------------------------------------------------- */

static void set_control(struct channel *channel, enum frame_type type, const void *payload,
			size_t length)
{
	struct frame_header header = { .length = htole32((uint32_t)length), .type = htole16(type) };

	memcpy(channel->control, &header, sizeof(header));
	if (length)
		memcpy(channel->control + sizeof(header), payload, length);
	channel->control_length = sizeof(header) + length;
	channel->control_sent = 0;
}

/* The run of bytes that is due: control frames first, then sessions between two log frames, then
 * logs, the exit report last. */
static size_t next_bytes(struct channel *channel, const void **ret_bytes)
{
	size_t length;

	if (channel->control_sent == channel->control_length) {
		if (channel->sessions_sent < channel->sessions_length) {
			length = channel->sessions_sent ? 0
							: ring_peek_rest(&channel->ring, ret_bytes);
			if (length)
				return length;
			*ret_bytes = channel->sessions + channel->sessions_sent;
			return channel->sessions_length - channel->sessions_sent;
		}
		length = ring_peek(&channel->ring, ret_bytes);
		if (length)
			return length;
		if (channel->is_pong_due) {
			channel->is_pong_due = false;
			set_control(channel, FRAME_PONG, NULL, 0);
			*ret_bytes = channel->control;
			return channel->control_length;
		}
		if (!channel->has_exit || channel->exit_sent)
			return 0;
		set_control(channel, FRAME_EXIT, &channel->exit, sizeof(channel->exit));
		channel->exit_sent = true;
	}
	*ret_bytes = channel->control + channel->control_sent;
	return channel->control_length - channel->control_sent;
}

static bool is_session(const struct channel *channel, const uint8_t *bytes)
{
	return bytes >= channel->sessions && bytes < channel->sessions + sizeof(channel->sessions);
}

static void sent_sessions(struct channel *channel, size_t length)
{
	channel->sessions_sent += length;
	if (channel->sessions_sent == channel->sessions_length)
		channel->sessions_length = channel->sessions_sent = 0;
}

static void flush(struct channel *channel)
{
	const void *bytes;
	size_t length;

	while (channel->greeted && (length = next_bytes(channel, &bytes)) > 0) {
		ssize_t n = write(channel->fd, bytes, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			/* A port without a host is told by POLLHUP, not by the write. */
			if (n < 0 && errno != EAGAIN)
				disconnect(channel);
			return;
		}
		if (channel->control_sent < channel->control_length)
			channel->control_sent += (size_t)n;
		else if (is_session(channel, bytes))
			sent_sessions(channel, (size_t)n);
		else
			ring_advance(&channel->ring, (size_t)n);
	}
}

void channel_log(struct channel *channel, enum log_stream stream, const void *bytes, size_t length)
{
	if (!channel->greeted)
		ring_force(&channel->ring, stream, bytes, length);
	else if (!ring_put(&channel->ring, stream, bytes, length))
		channel->ring.dropped[stream] += length;
}

void channel_say(struct channel *channel, const char *format, ...)
{
	char line[512];
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	if (length < 0)
		return;
	if ((size_t)length > sizeof(line) - 2)
		length = sizeof(line) - 2;
	line[length] = '\n';
	channel_log(channel, STREAM_INIT, line, (size_t)length + 1);
}

bool channel_has_room(const struct channel *channel, enum log_stream stream)
{
	return !channel->greeted || ring_is_fair(&channel->ring, stream, ROOM_WANTED);
}

void channel_set_begun(struct channel *channel, uint64_t init_us)
{
	channel->init_us = init_us;
}

void channel_set_running(struct channel *channel, bool running, uint64_t boot_us)
{
	channel->running = running;
	channel->boot_us = boot_us;
}

void channel_set_key(struct channel *channel, const uint8_t key[CHANNEL_KEY_SIZE])
{
	memcpy(channel->key, key, CHANNEL_KEY_SIZE);
}

size_t channel_session_room(const struct channel *channel)
{
	size_t left = sizeof(channel->sessions) - channel->sessions_length;

	if (!channel->greeted || left <= sizeof(struct frame_header))
		return 0;
	return left - sizeof(struct frame_header);
}

void channel_session_send(struct channel *channel, enum frame_type type, uint16_t number,
			  const void *payload, size_t length)
{
	struct frame_header header = { .length = htole32((uint32_t)length),
				       .type = htole16(type),
				       .stream = htole16(number) };
	uint8_t *to = channel->sessions + channel->sessions_length;

	if (!channel->greeted || channel_session_room(channel) < length)
		return;
	memcpy(to, &header, sizeof(header));
	if (length)
		memcpy(to + sizeof(header), payload, length);
	channel->sessions_length += sizeof(header) + length;
}

void channel_report(struct channel *channel, const struct frame_exit *report)
{
	channel->exit = *report;
	channel->has_exit = true;
	channel->exit_sent = false;
}

/* --- greeting ------------------------------------------------------------------------------- */

static void tell_drops(struct channel *channel)
{
	static const char *const names[STREAM_COUNT] = {
		[STREAM_STDOUT] = "stdout", [STREAM_STDERR] = "stderr", [STREAM_KERNEL] = "kernel",
		[STREAM_SYSLOG] = "syslog", [STREAM_INIT] = "init",
	};

	for (int i = 0; i < STREAM_COUNT; i++) {
		uint64_t bytes = channel->ring.dropped[i];

		if (!bytes || ring_room(&channel->ring) < 512)
			continue;
		channel->ring.dropped[i] = 0;
		channel_say(channel, "%llu bytes of %s were dropped: nobody read them in time",
			    (unsigned long long)bytes, names[i]);
	}
}

static void on_greet(struct channel *channel, const uint8_t *payload)
{
	struct frame_greet greeting;
	struct frame_hello hello = { .version = htole32(CHANNEL_VERSION),
				     .running = htole32(channel->running),
				     .init_us = htole64(channel->init_us),
				     .boot_us = htole64(channel->boot_us) };

	memcpy(&greeting, payload, sizeof(greeting));
	/* The host repeats itself until it hears us. */
	if (channel->greeted && !memcmp(channel->nonce, greeting.nonce, sizeof(channel->nonce)))
		return;
	forget_sessions(channel);
	memcpy(channel->nonce, greeting.nonce, sizeof(channel->nonce));
	memcpy(hello.magic, CHANNEL_MAGIC, sizeof(hello.magic));
	memcpy(hello.nonce, greeting.nonce, sizeof(hello.nonce));
	channel->greeted = true;
	channel->exit_sent = false;
	ring_rewind(&channel->ring, le64toh(greeting.log_seen));
	hello.log_place = htole64(channel->ring.place);
	memcpy(hello.key, channel->key, sizeof(hello.key));
	set_control(channel, FRAME_HELLO, &hello, sizeof(hello));
}

/* --- reading -------------------------------------------------------------------------------- */

static void on_stop(struct channel *channel, const uint8_t *payload)
{
	struct frame_stop stop;

	memcpy(&stop, payload, sizeof(stop));
	channel->verbs.stop(channel->verbs.data, (int)(le32toh(stop.signal) & 0x7f),
			    le64toh(stop.grace_ms));
}

static void on_log_seen(struct channel *channel, const uint8_t *payload)
{
	struct frame_log_seen seen;

	memcpy(&seen, payload, sizeof(seen));
	ring_seen(&channel->ring, le64toh(seen.place));
}

/* `payload` may be changed. False: nothing that a host says. */
static bool on_frame(struct channel *channel, unsigned type, uint16_t stream, uint8_t *payload,
		     size_t length)
{
	uint8_t after = payload[length];

	if (type == FRAME_GREET && length == sizeof(struct frame_greet) &&
	    !memcmp(payload, CHANNEL_MAGIC, 16)) {
		on_greet(channel, payload);
	} else if (!channel->greeted) {
		return false;
	} else if (type == FRAME_STOP && length == sizeof(struct frame_stop)) {
		on_stop(channel, payload);
	} else if (type == FRAME_HOSTS) {
		payload[length] = '\0';
		channel->verbs.hosts(channel->verbs.data, (const char *)payload);
		payload[length] = after;
	} else if (type == FRAME_LOG_SEEN && length == sizeof(struct frame_log_seen)) {
		on_log_seen(channel, payload);
	} else if (type >= FRAME_EXEC && type <= FRAME_EXEC_KILL) {
		return !channel->verbs.session ||
		       channel->verbs.session(channel->verbs.data, type, stream, payload, length);
	} else if (type == FRAME_HEALTH || type == FRAME_HEALTH_SEEN) {
		return !channel->verbs.health ||
		       channel->verbs.health(channel->verbs.data, type, payload, length);
	} else if (type == FRAME_CLOCK) {
		return !channel->verbs.clock ||
		       channel->verbs.clock(channel->verbs.data, payload, length);
	} else if (type == FRAME_STATS_ASK && !length) {
		if (channel->verbs.stats)
			channel->verbs.stats(channel->verbs.data);
	} else if (type == FRAME_PING && !length) {
		channel->is_pong_due = true;
	} else if (type == FRAME_EXIT_SEEN && !length) {
		channel->verbs.exit_seen(channel->verbs.data);
	} else {
		return false;
	}
	return true;
}

/* Where the next greeting begins; else the end, less what may be its first bytes. */
static size_t find_greeting(const struct channel *channel, size_t from)
{
	struct frame_header header = { .length = htole32(sizeof(struct frame_greet)),
				       .type = htole16(FRAME_GREET) };
	uint8_t pattern[sizeof(header) + 16];
	const uint8_t *found;
	size_t tail = sizeof(pattern) - 1;

	memcpy(pattern, &header, sizeof(header));
	memcpy(pattern + sizeof(header), CHANNEL_MAGIC, 16);
	found = memmem(channel->in + from, channel->in_length - from, pattern, sizeof(pattern));
	if (found)
		return (size_t)(found - channel->in);
	return channel->in_length - from > tail ? channel->in_length - tail : from;
}

static void consume(struct channel *channel, size_t length)
{
	channel->in_length -= length;
	memmove(channel->in, channel->in + length, channel->in_length);
}

static void deliver(struct channel *channel)
{
	for (;;) {
		struct frame_header header;
		size_t length, next;

		if (!channel->greeted)
			consume(channel, find_greeting(channel, 0));
		if (channel->in_length < sizeof(header))
			return;
		memcpy(&header, channel->in, sizeof(header));
		length = le32toh(header.length);
		next = sizeof(header) + length;
		if (length <= FRAME_PAYLOAD_MAX && channel->in_length < next)
			return;
		if (length > FRAME_PAYLOAD_MAX ||
		    !on_frame(channel, le16toh(header.type), le16toh(header.stream),
			      channel->in + sizeof(header), length))
			next = find_greeting(channel, 1);
		consume(channel, next);
	}
}

void channel_on_event(struct channel *channel, uint32_t events)
{
	while (channel->fd >= 0) {
		ssize_t n = read(channel->fd, channel->in + channel->in_length,
				 CHANNEL_IN_SIZE - channel->in_length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		/* vsock: the connection is still being made. */
		if (n < 0 && errno == ENOTCONN && !(events & (EPOLLERR | EPOLLHUP)))
			return;
		/* A port reads 0 when its host is away and nothing of it is left. */
		if (n <= 0) {
			disconnect(channel);
			return;
		}
		channel->in_length += (size_t)n;
		deliver(channel);
	}
}

void channel_tend(struct channel *channel, uint64_t now_ms)
{
	if (channel->fd < 0 && now_ms >= channel->next_connect_ms) {
		channel->next_connect_ms = now_ms + CHANNEL_TEND_MS;
		connect_host(channel);
	}
	if (channel->greeted)
		tell_drops(channel);
	flush(channel);
}

bool channel_wants_tending(const struct channel *channel)
{
	const void *bytes;

	return channel->fd < 0 ||
	       (channel->greeted && (channel->control_sent < channel->control_length ||
				     channel->sessions_sent < channel->sessions_length ||
				     ring_peek(&channel->ring, &bytes) > 0));
}
