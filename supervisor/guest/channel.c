/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's end of the channel. The instance creates one per connection and hears through its
 * callbacks; the frames are those of guest-init/protocol.h.
 *
 * Nothing that arrives is believed: a length or type out of place ends the channel. Until the hello
 * that carries our nonce, bytes are leavings of an earlier connection and are skipped, up to
 * SKIP_MAX.
 */
#include "guest/channel.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/strbuf.h"
#include "guest-init/protocol.h"
#include "guest/channel_internal.h"
#include "guest/exec.h"
#include "guest/health.h"

enum {
	OUT_MAX = 4 * FRAME_PAYLOAD_MAX, /* a guest that reads nothing holds no more than this */
	SESSIONS_OUT_MAX = OUT_MAX + EXEC_SESSIONS_MAX * (EXEC_WINDOW + FRAME_PAYLOAD_MAX),
	SKIP_MAX = 8 << 20, /* queues of QEMU, the port and the socket, generously */
	GREET_EVERY_MS = 1000,
	PINGS = 3, /* in the time that a guest may be silent */
};

void channel_update_events(struct channel *channel)
{
	unsigned events = LOOP_READ;

	if (!channel->io)
		return;
	if (channel->out.length)
		events |= LOOP_WRITE;
	watch_set_events(channel->io, events);
}

static void silence(struct channel *channel)
{
	channel->io = watch_free(channel->io);
	channel->greeter = watch_free(channel->greeter);
	channel->teller = watch_free(channel->teller);
	channel->healer = watch_free(channel->healer);
	channel->keeper = watch_free(channel->keeper);
	exec_lose_all(&channel->execs);
}

int channel_lose(struct channel *channel, const struct error *why)
{
	channel->dead = true;
	silence(channel);
	channel->callbacks.lost(channel->data, why);
	return -1;
}

static void append_numbered(struct strbuf *to, unsigned type, unsigned number, const void *payload,
			    size_t length)
{
	struct frame_header header = { .length = htole32((uint32_t)length),
				       .type = htole16((uint16_t)type),
				       .stream = htole16((uint16_t)number) };

	strbuf_add(to, &header, sizeof(header));
	strbuf_add(to, payload, length);
}

void channel_append(struct strbuf *to, enum frame_type type, const void *payload, size_t length)
{
	append_numbered(to, type, 0, payload, length);
}

/* --- writing -------------------------------------------------------------------------------- */

/* After a write that fails comes the end of the stream. */
void channel_flush(struct channel *channel)
{
	while (channel->out.length) {
		ssize_t n = send(channel->fd, channel->out.data, channel->out.length, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			strbuf_reset(&channel->out);
		else
			strbuf_consume(&channel->out, (size_t)n);
	}
	channel_update_events(channel);
}

/* The stop and hosts verbs come from anywhere: only the queue is touched, the loop writes. */
static void queue(struct channel *channel, enum frame_type type, const void *payload, size_t length)
{
	struct strbuf *to = channel->greeted ? &channel->out : &channel->waiting;

	if (channel->dead)
		return;
	/* A guest that does not read gets nothing more; it is killed when its grace is over. */
	if (to->length + sizeof(struct frame_header) + length > OUT_MAX)
		return;
	channel_append(to, type, payload, length);
	channel_update_events(channel);
}

static void greet(struct watch *watch, unsigned events, void *data)
{
	struct channel *channel = data;
	struct frame_greet greeting = { .version = htole32(CHANNEL_VERSION) };

	(void)events;
	memcpy(greeting.magic, CHANNEL_MAGIC, sizeof(greeting.magic));
	memcpy(greeting.nonce, channel->nonce, sizeof(greeting.nonce));
	greeting.log_seen = htole64(channel->peer.log_seen);
	/* One unread greeting is enough: a guest that boots slowly finds it waiting. */
	if (!channel->out.length)
		channel_append(&channel->out, FRAME_GREET, &greeting, sizeof(greeting));
	channel_update_events(channel);
	if (watch)
		watch_rearm(watch, GREET_EVERY_MS);
}

/* --- reading -------------------------------------------------------------------------------- */

static void consume(struct channel *channel, size_t length)
{
	channel->in_length -= length;
	memmove(channel->in, channel->in + length, channel->in_length);
}

/* Drops what comes before the header, magic and nonce of our hello. */
static int skip_to_hello(struct channel *channel)
{
	uint8_t pattern[sizeof(struct frame_header) + 16 + 8];
	struct frame_header header = { .length = htole32(sizeof(struct frame_hello)),
				       .type = htole16(FRAME_HELLO) };
	struct error err;
	const uint8_t *found;
	size_t drop;

	memcpy(pattern, &header, sizeof(header));
	memcpy(pattern + sizeof(header), CHANNEL_MAGIC, 16);
	memcpy(pattern + sizeof(header) + 16, channel->nonce, 8);
	found = memmem(channel->in, channel->in_length, pattern, sizeof(pattern));
	if (found)
		drop = (size_t)(found - channel->in);
	else /* its beginning may be at the very end */
		drop = channel->in_length < sizeof(pattern)
			       ? 0
			       : channel->in_length - (sizeof(pattern) - 1);
	consume(channel, drop);
	channel->skipped += drop;
	if (channel->skipped > SKIP_MAX) {
		error_set(&err, "guest does not answer the greeting");
		return channel_lose(channel, &err);
	}
	return found ? 1 : 0;
}

/* -1: lost or freed by a callback. */
static int deliver(struct channel *channel)
{
	size_t at = 0;

	if (!channel->greeted) {
		int found = skip_to_hello(channel);

		if (found <= 0)
			return found;
	}
	while (channel->in_length - at >= sizeof(struct frame_header)) {
		struct frame_header header;
		size_t length;

		memcpy(&header, channel->in + at, sizeof(header));
		length = le32toh(header.length);
		if (length > FRAME_PAYLOAD_MAX) {
			struct error err;

			error_set(&err, "guest sent a frame of %zu bytes (at most %d)", length,
				  FRAME_PAYLOAD_MAX);
			return channel_lose(channel, &err);
		}
		if (channel->in_length - at - sizeof(header) < length)
			break;
		if (channel_on_frame(channel, &header, channel->in + at + sizeof(header)) < 0 ||
		    channel->freed)
			return -1;
		at += sizeof(header) + length;
	}
	consume(channel, at);
	return 0;
}

static int fill(struct channel *channel)
{
	struct error err;
	ssize_t n;

	n = read(channel->fd, channel->in + channel->in_length, IN_MAX - channel->in_length);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n > 0) {
		channel->has_spoken = true;
		channel->in_length += (size_t)n;
		return deliver(channel);
	}
	if (n == 0)
		error_set(&err, "the guest's end of the channel was closed");
	else
		error_errno(&err, errno, "read from the guest");
	return channel_lose(channel, &err);
}

static void destroy(struct channel *channel)
{
	strbuf_reset(&channel->out);
	strbuf_reset(&channel->waiting);
	free(channel);
}

static void enter(struct channel *channel)
{
	channel->depth++;
}

static void leave(struct channel *channel)
{
	if (--channel->depth == 0 && channel->freed)
		destroy(channel);
}

static void on_io(struct watch *watch, unsigned events, void *data)
{
	struct channel *channel = data;

	(void)watch;
	enter(channel);
	if (events & LOOP_WRITE)
		channel_flush(channel);
	if (events & LOOP_READ)
		fill(channel);
	leave(channel);
}

/* Counted in turns and not in time: a daemon that stood still itself must not blame the guest,
 * whose answers may wait to be read. */
static void on_keeper(struct watch *watch, unsigned events, void *data)
{
	struct channel *channel = data;
	struct error err;

	(void)events;
	enter(channel);
	if (channel->has_spoken) {
		channel->has_spoken = false;
		channel->unanswered = 0;
	} else if (channel->unanswered == PINGS) {
		error_set(&err, "the guest has said nothing for %llu s",
			  (unsigned long long)channel->silence_ms / 1000);
		channel_lose(channel, &err);
	} else {
		channel->unanswered++;
		queue(channel, FRAME_PING, NULL, 0);
	}
	if (!channel->dead)
		watch_rearm(watch, channel->silence_ms / PINGS);
	leave(channel);
}

/* --- the contract --------------------------------------------------------------------------- */

struct channel *channel_new(struct loop *loop, int fd, const struct channel_peer *peer,
			    const struct channel_callbacks *callbacks, void *data)
{
	struct channel *channel = xcalloc(1, sizeof(*channel));

	channel->loop = loop;
	channel->fd = fd;
	channel->peer = *peer;
	channel->callbacks = *callbacks;
	channel->data = data;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	/* A guest cannot forge it ahead of time; after the seed of a running host this cannot fail.
	 */
	if (getrandom(channel->nonce, sizeof(channel->nonce), 0) != sizeof(channel->nonce))
		abort();
	channel->io = loop_io(loop, fd, LOOP_READ, on_io, channel);
	channel->greeter = loop_timer(loop, GREET_EVERY_MS, greet, channel);
	greet(NULL, 0, channel);
	return channel;
}

struct channel *channel_free(struct channel *channel)
{
	if (!channel || channel->freed)
		return NULL;
	channel->freed = true;
	channel->dead = true;
	silence(channel);
	close(channel->fd);
	if (channel->depth == 0)
		destroy(channel);
	return NULL;
}

struct exec **channel_execs(struct channel *channel)
{
	return &channel->execs;
}

void channel_send_session(struct channel *channel, unsigned type, unsigned number,
			  const void *payload, size_t length)
{
	bool is_unmetered = type == FRAME_EXEC_SIGNAL || type == FRAME_EXEC_RESIZE;
	size_t limit = is_unmetered ? OUT_MAX : SESSIONS_OUT_MAX;

	if (channel->dead || !channel->greeted ||
	    channel->out.length + sizeof(struct frame_header) + length > limit)
		return;
	append_numbered(&channel->out, type, number, payload, length);
	channel_update_events(channel);
}

unsigned channel_protocol(void)
{
	return CHANNEL_VERSION;
}

bool channel_is_greeted(const struct channel *channel)
{
	return channel->greeted;
}

uint64_t channel_log_seen(const struct channel *channel)
{
	return channel->peer.log_seen;
}

void channel_hand_over(struct channel *channel, const struct channel_callbacks *callbacks,
		       void *data, struct channel *from)
{
	channel->callbacks = *callbacks;
	channel->data = data;
	if (!from)
		return;
	strbuf_add(channel->greeted ? &channel->out : &channel->waiting, from->waiting.data,
		   from->waiting.length);
	channel_update_events(channel);
	channel_free(from);
}

void channel_stop(struct channel *channel, int signal, uint64_t grace_ms)
{
	struct frame_stop stop = { .signal = htole32((uint32_t)signal),
				   .grace_ms = htole64(grace_ms) };

	queue(channel, FRAME_STOP, &stop, sizeof(stop));
}

void channel_check(struct channel *channel, const struct spec *spec)
{
	_cleanup_strbuf_ struct strbuf payload = { 0 };

	channel->health_serial++;
	health_put(spec, channel->health_serial, &payload);
	channel_send_session(channel, FRAME_HEALTH, 0, payload.data, payload.length);
}

void channel_tell_time_lost(struct channel *channel)
{
	const struct frame_clock clock = { 0 };

	channel_send_session(channel, FRAME_CLOCK, 0, &clock, sizeof(clock));
}

void channel_ask_stats(struct channel *channel)
{
	if (channel->awaits_stats || !channel->greeted)
		return;
	channel->awaits_stats = true;
	queue(channel, FRAME_STATS_ASK, NULL, 0);
}

void channel_hosts(struct channel *channel, const char *lines)
{
	size_t length = strlen(lines);

	/* Whole lines only. */
	if (length > FRAME_PAYLOAD_MAX) {
		const char *end = memrchr(lines, '\n', FRAME_PAYLOAD_MAX);

		length = end ? (size_t)(end - lines) + 1 : 0;
	}
	queue(channel, FRAME_HOSTS, lines, length);
}

void channel_watch(struct channel *channel, uint64_t silence_ms)
{
	channel->keeper = watch_free(channel->keeper);
	channel->silence_ms = silence_ms;
	channel->unanswered = 0;
	channel->has_spoken = true;
	if (silence_ms && !channel->dead)
		channel->keeper = loop_timer(channel->loop, silence_ms / PINGS, on_keeper, channel);
}
