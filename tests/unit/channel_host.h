/* SPDX-License-Identifier: Apache-2.0 */
/* A channel between the host's end, whose callbacks are recorded, and a guest that is a socket. For
 * test_channel.c and test_channel_calls.c. */
#ifndef STOKER_TESTS_CHANNEL_HOST_H
#define STOKER_TESTS_CHANNEL_HOST_H

#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/strbuf.h"
#include "guest-init/protocol.h"
#include "guest/channel.h"
#include "loop/loop.h"
#include "tests/unit/run_loop.h"

enum {
	PATIENCE_MS = 20000, /* of a test that is about to fail */
	LOG_PLACE = 1000,    /* where the guest's log goes on */
};

static const struct channel_peer test_peer = { .key = "thirty-one letters, and the NUL.",
					       .log_seen = 77 };

enum told { TOLD_NOTHING, TOLD_HELLO, TOLD_LOG, TOLD_EXIT, TOLD_LOST };

struct host {
	struct loop *loop;
	struct channel *channel;
	int guest_fd;
	unsigned hellos, logs, exits, losses;
	struct channel_hello hello;
	struct channel_exit report;
	enum channel_stream stream; /* of the last log */
	struct strbuf logged;
	struct error why;
	enum told free_at; /* what the callee does in this callback */
	bool keep;	   /* on_lost does not free the channel */

	uint8_t nonce[8];
	struct strbuf to_send;
	struct watch *pump;
};

/* --- the host ------------------------------------------------------------------------------- */

static inline void told(struct host *host, enum told what)
{
	if (host->free_at == what || (what == TOLD_LOST && !host->keep))
		host->channel = channel_free(host->channel);
	if (what != TOLD_LOG)
		loop_stop(host->loop);
}

static inline void on_hello(void *data, const struct channel_hello *hello)
{
	struct host *host = data;

	host->hellos++;
	host->hello = *hello;
	told(host, TOLD_HELLO);
}

static inline void on_log(void *data, enum channel_stream stream, const void *bytes, size_t length)
{
	struct host *host = data;

	host->logs++;
	host->stream = stream;
	strbuf_add(&host->logged, bytes, length);
	told(host, TOLD_LOG);
}

static inline void on_exited(void *data, const struct channel_exit *report)
{
	struct host *host = data;

	host->exits++;
	host->report = *report;
	told(host, TOLD_EXIT);
}

static inline void on_lost(void *data, const struct error *why)
{
	struct host *host = data;

	host->losses++;
	host->why = *why;
	told(host, TOLD_LOST);
}

static const struct channel_callbacks host_callbacks = { on_hello, on_log, on_exited, on_lost };

static inline void run_for(struct host *host, uint64_t time_ms)
{
	run_loop_for(host->loop, time_ms);
}

static inline void run_until(struct host *host, const unsigned *count, unsigned wanted)
{
	uint64_t end = loop_now_ms() + PATIENCE_MS;

	while (*count < wanted && loop_now_ms() < end)
		run_for(host, 50);
	assert_int_equal(*count, wanted);
}

static inline void open_host(struct host *host)
{
	int ends[2];

	*host = (struct host){ .loop = loop_new(NULL) };
	assert_non_null(host->loop);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	host->guest_fd = ends[1];
	host->channel = channel_new(host->loop, ends[0], &test_peer, &host_callbacks, host);
}

static inline void close_host(struct host *host)
{
	channel_free(host->channel);
	watch_free(host->pump);
	if (host->guest_fd >= 0)
		close(host->guest_fd);
	strbuf_reset(&host->logged);
	strbuf_reset(&host->to_send);
	loop_free(host->loop);
}

/* --- the guest ------------------------------------------------------------------------------ */

static inline void on_writable(struct watch *watch, unsigned events, void *data)
{
	struct host *host = data;
	ssize_t n = send(host->guest_fd, host->to_send.data, host->to_send.length,
			 MSG_NOSIGNAL | MSG_DONTWAIT);

	(void)events;
	if (n > 0)
		strbuf_consume(&host->to_send, (size_t)n);
	if (!host->to_send.length || (n < 0 && errno != EAGAIN))
		host->pump = watch_free(watch);
}

/* The bytes go out while the loop runs; all frames of a test that fit the socket arrive at once. */
static inline void guest_sends_bytes(struct host *host, const void *bytes, size_t length)
{
	strbuf_add(&host->to_send, bytes, length);
	if (!host->pump && host->to_send.length)
		host->pump = loop_io(host->loop, host->guest_fd, LOOP_WRITE, on_writable, host);
}

static inline void guest_sends_frame(struct host *host, uint16_t type, uint16_t stream,
				     const void *payload, size_t length)
{
	struct frame_header header = { htole32((uint32_t)length), htole16(type), htole16(stream) };

	guest_sends_bytes(host, &header, sizeof(header));
	guest_sends_bytes(host, payload, length);
}

static inline void guest_logs(struct host *host, uint16_t stream, const char *text)
{
	guest_sends_frame(host, FRAME_LOG, stream, text, strlen(text));
}

static inline void guest_reports(struct host *host, uint32_t kind, int32_t code,
				 const char *message)
{
	struct frame_exit report = { htole32(kind), (int32_t)htole32((uint32_t)code), { 0 } };

	for (size_t i = 0; i < sizeof(report.message) && message[i]; i++)
		report.message[i] = message[i];
	guest_sends_frame(host, FRAME_EXIT, 0, &report, sizeof(report));
}

static inline void guest_closes(struct host *host)
{
	while (host->pump)
		run_for(host, 20);
	close(host->guest_fd);
	host->guest_fd = -1;
}

/* Reads exactly `length` bytes of what the host sent. */
static inline void guest_takes(struct host *host, void *bytes, size_t length)
{
	uint64_t end = loop_now_ms() + PATIENCE_MS;
	size_t at = 0;

	while (at < length && loop_now_ms() < end) {
		ssize_t n = recv(host->guest_fd, (char *)bytes + at, length - at, MSG_DONTWAIT);

		if (n > 0)
			at += (size_t)n;
		else
			run_for(host, 5);
	}
	assert_int_equal(at, length);
}

static inline void guest_takes_frame(struct host *host, uint16_t type, const void *payload,
				     size_t length)
{
	struct frame_header header;
	char bytes[FRAME_PAYLOAD_MAX];

	guest_takes(host, &header, sizeof(header));
	assert_int_equal(le32toh(header.length), length);
	assert_int_equal(le16toh(header.type), type);
	assert_int_equal(header.stream, 0);
	guest_takes(host, bytes, length);
	if (length)
		assert_memory_equal(bytes, payload, length);
}

static inline void guest_takes_greeting(struct host *host)
{
	struct frame_header header;
	struct frame_greet greet;

	guest_takes(host, &header, sizeof(header));
	assert_int_equal(le32toh(header.length), 36);
	assert_int_equal(le16toh(header.type), FRAME_GREET);
	assert_int_equal(header.stream, 0);
	guest_takes(host, &greet, sizeof(greet));
	assert_memory_equal(greet.magic, "\xf5stoker\0channel\xfa", 16);
	assert_int_equal(le32toh(greet.version), CHANNEL_VERSION);
	assert_int_equal(le64toh(greet.log_seen), 77);
	memcpy(host->nonce, greet.nonce, sizeof(host->nonce));
}

static inline struct frame_hello make_hello(const struct host *host)
{
	struct frame_hello hello = { .version = htole32(CHANNEL_VERSION),
				     .running = htole32(1),
				     .init_us = htole64(1234567000000),
				     .boot_us = htole64(1234567890123),
				     .log_place = htole64(LOG_PLACE) };

	memcpy(hello.magic, CHANNEL_MAGIC, sizeof(hello.magic));
	memcpy(hello.nonce, host->nonce, sizeof(hello.nonce));
	memcpy(hello.key, test_peer.key, sizeof(hello.key));
	return hello;
}

/* Takes the greeting and answers it as stoker-init does. */
static inline void guest_answers(struct host *host)
{
	struct frame_hello hello;

	guest_takes_greeting(host);
	hello = make_hello(host);
	guest_sends_frame(host, FRAME_HELLO, 0, &hello, sizeof(hello));
	run_until(host, &host->hellos, 1);
}

static inline void lost_because(struct host *host, const char *text)
{
	run_until(host, &host->losses, 1);
	assert_string_equal(host->why.text, text);
}

#endif
