/* SPDX-License-Identifier: Apache-2.0 */
/* What each frame of a guest means, once it is whole. None is believed: see channel.c. */
#include "guest/channel_internal.h"

#include <endian.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "guest/exec.h"
#include "guest/health.h"
#include "guest/stats.h"

enum {
	SEEN_AFTER_MS = 50,		   /* when little was logged */
	SEEN_AFTER_BYTES = LOG_WINDOW / 8, /* or as soon as this much was */
	HEALTH_SEEN_AFTER_MS = 1000,	   /* so that a guest changes its health no faster */
};

/* Says up to where the guest's log was taken. One that does not read is not told again and again.
 */
static void tell_seen(struct channel *channel)
{
	struct frame_log_seen seen = { .place = htole64(channel->peer.log_seen) };

	if (channel->out.length > FRAME_PAYLOAD_MAX)
		return;
	channel->teller = watch_free(channel->teller);
	channel->log_told = channel->peer.log_seen;
	channel_append(&channel->out, FRAME_LOG_SEEN, &seen, sizeof(seen));
	channel_update_events(channel);
}

static void on_teller(struct watch *watch, unsigned events, void *data)
{
	struct channel *channel = data;

	(void)events;
	watch_rearm(watch, SEEN_AFTER_MS); /* when tell_seen has to wait */
	tell_seen(channel);
}

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
		return channel_lose(channel, &err);
	}
	memcpy(&hello, payload, sizeof(hello));
	told = (struct channel_hello){ .protocol = le32toh(hello.version),
				       .init_us = le64toh(hello.init_us),
				       .boot_us = le64toh(hello.boot_us),
				       .workload_running = hello.running != 0 };
	if (told.protocol != CHANNEL_VERSION) {
		error_set(&err, "guest speaks channel protocol %u, not %d (restart the VM)",
			  told.protocol, CHANNEL_VERSION);
		return channel_lose(channel, &err);
	}
	if (!has_key(channel, hello.key)) {
		error_set(&err, "whoever speaks for the guest has not its key");
		return channel_lose(channel, &err);
	}
	channel->greeted = true;
	channel->peer.log_seen = channel->log_told = le64toh(hello.log_place);
	channel->greeter = watch_free(channel->greeter);
	strbuf_add(&channel->out, channel->waiting.data, channel->waiting.length);
	strbuf_reset(&channel->waiting);
	channel_update_events(channel);
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
		return channel_lose(channel, &err);
	}
	channel->peer.log_seen += sizeof(struct frame_header) + length;
	unseen = channel->peer.log_seen - channel->log_told;
	if (unseen > LOG_WINDOW) {
		error_set(&err,
			  "guest logs faster than it is allowed to (%" PRIu64
			  " bytes ahead, at most %d)",
			  unseen, LOG_WINDOW);
		return channel_lose(channel, &err);
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
	case EXIT_DAEMONISED:
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
	case EXIT_DAEMONISED:
		told.kind = CHANNEL_DAEMONISED;
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
		return channel_lose(channel, &err);
	}
	channel->exit_seen = true;
	/* Written at once: the callee may well free the channel, and the guest waits for this. */
	channel_append(&channel->out, FRAME_EXIT_SEEN, NULL, 0);
	channel_flush(channel);
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
	return result < 0 ? channel_lose(channel, &err) : 0;
}

static void on_healer(struct watch *watch, unsigned events, void *data)
{
	struct channel *channel = data;

	(void)events;
	watch_rearm(watch, HEALTH_SEEN_AFTER_MS); /* when there is no room */
	if (channel->out.length > FRAME_PAYLOAD_MAX)
		return;
	channel->healer = watch_free(watch);
	channel_append(&channel->out, FRAME_HEALTH_SEEN, NULL, 0);
	channel_update_events(channel);
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
		return channel_lose(channel, &err);
	channel->healer = loop_timer(channel->loop, HEALTH_SEEN_AFTER_MS, on_healer, channel);
	if (result > 0)
		channel->callbacks.health(channel->data, &told);
	return 0;
}

/* A guest that reads nothing, or asks without end, gets no answer. */
static int on_clock_ask(struct channel *channel, const uint8_t *payload, size_t length)
{
	struct frame_clock clock;
	struct timespec now;
	struct error err;

	if (length != sizeof(clock)) {
		error_set(&err, "guest asked for the time in %zu bytes", length);
		return channel_lose(channel, &err);
	}
	if (channel->out.length > FRAME_PAYLOAD_MAX)
		return 0;
	memcpy(&clock, payload, sizeof(clock));
	clock_gettime(CLOCK_REALTIME, &now);
	clock.time_ns =
		htole64((uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec);
	channel_append(&channel->out, FRAME_CLOCK, &clock, sizeof(clock));
	channel_update_events(channel);
	return 0;
}

static int on_stats(struct channel *channel, const uint8_t *payload, size_t length)
{
	struct guest_stats stats;
	struct error err;
	int result;

	if (channel->awaits_stats)
		result = stats_decode(payload, length, &stats, &err);
	else
		result = error_set(&err, "guest tells how it is doing without being asked");
	if (result < 0)
		return channel_lose(channel, &err);
	channel->awaits_stats = false;
	stats.heard_ms = loop_now_ms();
	channel->callbacks.stats(channel->data, &stats);
	return 0;
}

int channel_on_frame(struct channel *channel, const struct frame_header *header,
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
	case FRAME_CLOCK_ASK:
		return on_clock_ask(channel, payload, length);
	case FRAME_STATS:
		return on_stats(channel, payload, length);
	case FRAME_PONG:
		if (length == 0)
			return 0;
		error_set(&err, "guest sent a pong of %zu bytes", length);
		return channel_lose(channel, &err);
	default:
		error_set(&err, "guest sent a frame of unknown type %u", le16toh(header->type));
		return channel_lose(channel, &err);
	}
}
