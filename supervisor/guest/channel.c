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
#include "guest/exec.h"
#include "guest/health.h"

enum {
	IN_MAX = sizeof(struct frame_header) + FRAME_PAYLOAD_MAX,
	OUT_MAX = 4 * FRAME_PAYLOAD_MAX, /* a guest that reads nothing holds no more than this */
	SESSIONS_OUT_MAX = OUT_MAX + EXEC_SESSIONS_MAX * (EXEC_WINDOW + FRAME_PAYLOAD_MAX),
	SKIP_MAX = 8 << 20, /* queues of QEMU, the port and the socket, generously */
	GREET_EVERY_MS = 1000,
	SEEN_AFTER_MS = 50,		   /* when little was logged */
	SEEN_AFTER_BYTES = LOG_WINDOW / 8, /* or as soon as this much was */
	HEALTH_SEEN_AFTER_MS = 1000,	   /* so that a guest changes its health no faster */
	PINGS = 3,			   /* in the time that a guest may be silent */
};

struct channel {
	struct loop *loop; /* borrowed */
	int fd;		   /* owned */
	struct channel_callbacks callbacks;
	void *data;

	struct watch *io;
	struct watch *greeter; /* until the hello */
	struct watch *teller;  /* has to say soon what was seen of the log; NULL: nothing new */
	struct watch *healer;  /* lets the guest tell another result; NULL: it may */
	struct watch *keeper;  /* asks a guest that is silent; NULL: nobody does */

	struct channel_peer peer;
	uint64_t log_told; /* of log_seen, to the guest */
	uint8_t nonce[8];
	bool greeted; /* the hello has come */
	bool exit_seen;
	bool dead;
	size_t skipped;
	bool has_spoken;     /* since the keeper looked last */
	unsigned unanswered; /* pings */
	uint64_t silence_ms;

	struct exec *execs;	/* list; exec.c */
	uint32_t health_serial; /* of the definition that was sent last; 0: none */

	uint8_t in[IN_MAX];
	size_t in_length;
	struct strbuf out;     /* being written */
	struct strbuf waiting; /* frames that go out after the hello */

	unsigned depth; /* inside a dispatch: channel_free only marks */
	bool freed;
};

static void update_events(struct channel *channel)
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

/* The last callback. Returns -1 so that the caller stops looking at the channel. */
static int lose(struct channel *channel, const struct error *why)
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

static void append_frame(struct strbuf *to, enum frame_type type, const void *payload,
			 size_t length)
{
	append_numbered(to, type, 0, payload, length);
}

/* --- writing -------------------------------------------------------------------------------- */

/* A write that fails is no end yet: what the guest said last may still wait to be read, and after
 * it comes the end of the stream. */
static void flush(struct channel *channel)
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
	update_events(channel);
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
	append_frame(to, type, payload, length);
	update_events(channel);
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
		append_frame(&channel->out, FRAME_GREET, &greeting, sizeof(greeting));
	update_events(channel);
	if (watch)
		watch_rearm(watch, GREET_EVERY_MS);
}

/* Says up to where the guest's log was taken. One that does not read is not told again and again.
 */
static void tell_seen(struct channel *channel)
{
	struct frame_log_seen seen = { .place = htole64(channel->peer.log_seen) };

	if (channel->out.length > FRAME_PAYLOAD_MAX)
		return;
	channel->teller = watch_free(channel->teller);
	channel->log_told = channel->peer.log_seen;
	append_frame(&channel->out, FRAME_LOG_SEEN, &seen, sizeof(seen));
	update_events(channel);
}

static void on_teller(struct watch *watch, unsigned events, void *data)
{
	struct channel *channel = data;

	(void)events;
	watch_rearm(watch, SEEN_AFTER_MS); /* when tell_seen has to wait */
	tell_seen(channel);
}

/* --- frames --------------------------------------------------------------------------------- */

/* In the same time wherever they differ. */
static bool has_key(const struct channel *channel, const uint8_t key[CHANNEL_KEY_SIZE])
{
	volatile uint8_t difference = 0;

	_Static_assert(sizeof(channel->peer.key) == CHANNEL_KEY_SIZE, "one size");
	for (size_t i = 0; i < CHANNEL_KEY_SIZE; i++)
		difference |= channel->peer.key[i] ^ key[i];
	return !difference;
}

static int on_hello(struct channel *channel, const uint8_t *payload, size_t length)
{
	struct frame_hello hello;
	struct channel_hello told;
	struct error err;

	if (length != sizeof(hello) || channel->greeted) {
		error_set(&err, "guest sent a hello out of place");
		return lose(channel, &err);
	}
	memcpy(&hello, payload, sizeof(hello));
	told = (struct channel_hello){ .protocol = le32toh(hello.version),
				       .init_us = le64toh(hello.init_us),
				       .boot_us = le64toh(hello.boot_us),
				       .workload_running = hello.running != 0 };
	if (told.protocol != CHANNEL_VERSION) {
		error_set(&err, "guest speaks channel protocol %u, not %d (restart the VM)",
			  told.protocol, CHANNEL_VERSION);
		return lose(channel, &err);
	}
	if (!has_key(channel, hello.key)) {
		error_set(&err, "whoever speaks for the guest has not its key");
		return lose(channel, &err);
	}
	channel->greeted = true;
	channel->peer.log_seen = channel->log_told = le64toh(hello.log_place);
	channel->greeter = watch_free(channel->greeter);
	strbuf_add(&channel->out, channel->waiting.data, channel->waiting.length);
	strbuf_reset(&channel->waiting);
	update_events(channel);
	channel->callbacks.hello(channel->data, &told);
	return 0;
}

static int on_log(struct channel *channel, unsigned stream, const uint8_t *payload, size_t length)
{
	static const enum channel_stream streams[STREAM_COUNT] = {
		[STREAM_STDOUT] = CHANNEL_STDOUT, [STREAM_STDERR] = CHANNEL_STDERR,
		[STREAM_KERNEL] = CHANNEL_KERNEL, [STREAM_SYSLOG] = CHANNEL_SYSLOG,
		[STREAM_INIT] = CHANNEL_INIT,
	};
	struct error err;
	uint64_t unseen;

	if (stream >= STREAM_COUNT || !length) {
		error_set(&err, "guest sent a log frame of stream %u with %zu bytes", stream,
			  length);
		return lose(channel, &err);
	}
	channel->peer.log_seen += sizeof(struct frame_header) + length;
	unseen = channel->peer.log_seen - channel->log_told;
	if (unseen > LOG_WINDOW) {
		error_set(&err,
			  "guest logs faster than it is allowed to (%" PRIu64
			  " bytes ahead, at most %d)",
			  unseen, LOG_WINDOW);
		return lose(channel, &err);
	}
	if (!channel->teller)
		channel->teller = loop_timer(channel->loop, SEEN_AFTER_MS, on_teller, channel);
	if (unseen >= SEEN_AFTER_BYTES)
		tell_seen(channel);
	channel->callbacks.log(channel->data, streams[stream], payload, length);
	return 0;
}

static bool exit_is_sane(const struct frame_exit *report)
{
	int32_t code = (int32_t)le32toh((uint32_t)report->code);

	switch ((enum exit_kind)le32toh(report->kind)) {
	case EXIT_CODE:
		return code >= 0 && code <= 255;
	case EXIT_SIGNAL:
	case EXIT_OOM:
		return code >= 0 && code <= 64;
	case EXIT_INIT_ERROR:
		return code == 0;
	}
	return false;
}

void channel_make_printable(char *text)
{
	for (; *text; text++)
		*text = *text >= 0x20 && *text < 0x7f ? *text : '?';
}

/* The end of the workload, or of a session. -1: it makes no sense. */
static int read_exit(const uint8_t *payload, size_t length, struct channel_exit *ret)
{
	struct frame_exit report = { 0 };
	struct channel_exit told = { 0 };

	if (length == sizeof(report))
		memcpy(&report, payload, sizeof(report));
	if (!exit_is_sane(&report))
		return -1;
	switch ((enum exit_kind)le32toh(report.kind)) {
	case EXIT_CODE:
		told.kind = CHANNEL_EXITED;
		break;
	case EXIT_SIGNAL:
		told.kind = CHANNEL_SIGNALLED;
		break;
	case EXIT_OOM:
		told.kind = CHANNEL_OOM;
		break;
	case EXIT_INIT_ERROR:
		told.kind = CHANNEL_INIT_ERROR;
		break;
	}
	told.code = (int)le32toh((uint32_t)report.code);
	_Static_assert(sizeof(told.message) == sizeof(report.message), "one limit");
	memcpy(told.message, report.message, sizeof(told.message) - 1);
	channel_make_printable(told.message);
	*ret = told;
	return 0;
}

static int on_exit_report(struct channel *channel, const uint8_t *payload, size_t length)
{
	struct channel_exit told;
	struct error err;

	if (channel->exit_seen || read_exit(payload, length, &told) < 0) {
		error_set(&err, "guest sent an exit report that makes no sense");
		return lose(channel, &err);
	}
	channel->exit_seen = true;
	/* Written at once: the callee may well free the channel, and the guest waits for this. */
	append_frame(&channel->out, FRAME_EXIT_SEEN, NULL, 0);
	flush(channel);
	channel->callbacks.exited(channel->data, &told);
	return 0;
}

static int on_session(struct channel *channel, const struct frame_header *header,
		      const uint8_t *payload)
{
	size_t length = le32toh(header->length);
	unsigned type = le16toh(header->type), number = le16toh(header->stream);
	struct frame_credit room = { 0 };
	struct channel_exit how;
	struct error err;
	int result;

	if (type == FRAME_EXEC_END && read_exit(payload, length, &how) < 0) {
		result = error_set(&err, "guest sent an end of session %u that makes no sense",
				   number);
	} else if (type == FRAME_EXEC_END) {
		result = exec_on_end(channel->execs, number, &how, &err);
	} else if (type == FRAME_EXEC_ROOM) {
		if (length == sizeof(room))
			memcpy(&room, payload, sizeof(room));
		result = exec_on_room(channel->execs, number, le32toh(room.bytes), &err);
	} else {
		result = exec_on_output(channel->execs, number, type == FRAME_EXEC_STDERR, payload,
					length, &err);
	}
	return result < 0 ? lose(channel, &err) : 0;
}

static void on_healer(struct watch *watch, unsigned events, void *data)
{
	struct channel *channel = data;

	(void)events;
	watch_rearm(watch, HEALTH_SEEN_AFTER_MS); /* when there is no room */
	if (channel->out.length > FRAME_PAYLOAD_MAX)
		return;
	channel->healer = watch_free(watch);
	append_frame(&channel->out, FRAME_HEALTH_SEEN, NULL, 0);
	update_events(channel);
}

static int on_health(struct channel *channel, const uint8_t *payload, size_t length)
{
	struct channel_health told;
	struct error err;
	int result;

	if (channel->healer || !channel->health_serial)
		result = error_set(&err, "guest tells its health without being asked");
	else
		result = health_read(payload, length, channel->health_serial, &told, &err);
	if (result < 0)
		return lose(channel, &err);
	channel->healer = loop_timer(channel->loop, HEALTH_SEEN_AFTER_MS, on_healer, channel);
	if (result > 0)
		channel->callbacks.health(channel->data, &told);
	return 0;
}

static int on_frame(struct channel *channel, const struct frame_header *header,
		    const uint8_t *payload)
{
	size_t length = le32toh(header->length);
	struct error err;

	switch (le16toh(header->type)) {
	case FRAME_HELLO:
		return on_hello(channel, payload, length);
	case FRAME_LOG:
		return on_log(channel, le16toh(header->stream), payload, length);
	case FRAME_EXIT:
		return on_exit_report(channel, payload, length);
	case FRAME_EXEC_STDOUT:
	case FRAME_EXEC_STDERR:
	case FRAME_EXEC_ROOM:
	case FRAME_EXEC_END:
		return on_session(channel, header, payload);
	case FRAME_HEALTH_RESULT:
		return on_health(channel, payload, length);
	case FRAME_PONG:
		if (length == 0)
			return 0;
		error_set(&err, "guest sent a pong of %zu bytes", length);
		return lose(channel, &err);
	default:
		error_set(&err, "guest sent a frame of unknown type %u", le16toh(header->type));
		return lose(channel, &err);
	}
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
		return lose(channel, &err);
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
			return lose(channel, &err);
		}
		if (channel->in_length - at - sizeof(header) < length)
			break;
		if (on_frame(channel, &header, channel->in + at + sizeof(header)) < 0 ||
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
	return lose(channel, &err);
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
		flush(channel);
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
		lose(channel, &err);
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
	update_events(channel);
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
	update_events(channel);
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
