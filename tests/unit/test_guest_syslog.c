/* SPDX-License-Identifier: Apache-2.0 */
/* guest-init/syslog.c and ring.c: datagrams and kernel records as lines, and the ring they wait in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "guest-init/ring.c"
#include "guest-init/syslog.c"

typedef size_t format_fn(const char *, size_t, char[SYSLOG_LINE_MAX]);

struct row {
	const char *in, *want;
};

static void check(format_fn *format, const struct row *rows, size_t count)
{
	char line[SYSLOG_LINE_MAX];

	for (size_t i = 0; i < count; i++) {
		/* Exactly its size, so that the sanitizer sees a byte read too many. */
		size_t length = strlen(rows[i].in);
		char *copy = malloc(length ? length : 1);
		size_t written;

		memcpy(copy, rows[i].in, length);
		written = format(copy, length, line);
		free(copy);
		assert_int_equal(written, strlen(rows[i].want));
		assert_memory_equal(line, rows[i].want, written);
	}
}

static void test_rfc3164(void **state)
{
	static const struct row rows[] = {
		{ "<13>Oct 11 22:14:15 su: hello", "user.notice su: hello\n" },
		{ "<30>Jan  1 00:00:00 app[42]: hello\n", "daemon.info app[42]: hello\n" },
		{ "<34>su: no time", "auth.crit su: no time\n" },
		{ "<191>x", "local7.debug x\n" },
		{ "<0>x", "kern.emerg x\n" },
		{ "<192>x", "user.notice <192>x\n" },
		{ "<>x", "user.notice <>x\n" },
		{ "<1", "user.notice <1\n" },
		{ "<12345>x", "user.notice <12345>x\n" },
		{ "", "user.notice\n" },
		{ "no priority", "user.notice no priority\n" },
		{ "<13>Oct 11 22:14", "user.notice Oct 11 22:14\n" },
		{ "<13>two\nlines\tand\x1b[31m", "user.notice two lines and [31m\n" },
		{ "<13>utf-8 \xc3\xa9", "user.notice utf-8 \xc3\xa9\n" },
	};

	(void)state;
	check(syslog_format, rows, sizeof(rows) / sizeof(*rows));
}

static void test_rfc5424(void **state)
{
	static const struct row rows[] = {
		{ "<34>1 2003-10-11T22:14:15.003Z host su - ID47 - 'su root' failed",
		  "auth.crit su: 'su root' failed\n" },
		{ "<165>1 2003-08-24T05:14:15-07:00 192.0.2.1 proc 8710 - - \xef\xbb\xbftext",
		  "local4.notice proc[8710]: text\n" },
		{ "<165>1 - h app 1 ID [a@1 k=\"v\\\"]\"][b x=\"y\"] text",
		  "local4.notice app[1]: [a@1 k=\"v\\\"]\"][b x=\"y\"] text\n" },
		{ "<165>1 - h app 1 ID [a x=\"y\"]", "local4.notice app[1]: [a x=\"y\"]\n" },
		{ "<165>1 - h app 1 ID [unended k=\"v", "local4.notice app[1]: [unended k=\"v\n" },
		{ "<165>1 - h app", "local4.notice app[]:\n" },
		{ "<165>1 ", "local4.notice []:\n" },
	};

	(void)state;
	check(syslog_format, rows, sizeof(rows) / sizeof(*rows));
}

static void test_kmsg(void **state)
{
	static const struct row rows[] = {
		{ "4,100,5000,-;Out of memory\n SUBSYSTEM=x\n", "warning: Out of memory\n" },
		{ "6,1,2,-,caller=T1;hello", "info: hello\n" },
		{ "30,1,2,-;from user space\n", "info: from user space\n" },
		{ "garbage", "info: garbage\n" },
		{ "", "info:\n" },
		{ "3", "err:\n" },
	};

	(void)state;
	check(kmsg_format, rows, sizeof(rows) / sizeof(*rows));
}

static void test_long_lines(void **state)
{
	char line[SYSLOG_LINE_MAX], *in = malloc(3 * SYSLOG_LINE_MAX);

	(void)state;
	memset(in, 'x', 3 * SYSLOG_LINE_MAX);
	assert_int_equal(syslog_format(in, 3 * SYSLOG_LINE_MAX, line), SYSLOG_LINE_MAX);
	assert_int_equal(line[SYSLOG_LINE_MAX - 1], '\n');
	assert_int_equal(kmsg_format(in, 3 * SYSLOG_LINE_MAX, line), SYSLOG_LINE_MAX);
	free(in);
}

/* --- the ring ------------------------------------------------------------------------------- */

enum { HEADER = sizeof(struct frame_header) };

/* Takes up to `most` bytes out, as a short write would; returns how many. */
static size_t take(struct ring *ring, uint8_t *to, size_t most)
{
	const void *bytes;
	size_t length = ring_peek(ring, &bytes);

	length = length < most ? length : most;
	memcpy(to, bytes, length);
	ring_advance(ring, length);
	return length;
}

static void test_ring_order(void **state)
{
	uint8_t storage[64], out[4096];
	struct ring ring = { .bytes = storage, .capacity = sizeof(storage) };
	size_t length = 0, sent = 0;

	(void)state;
	/* Many times round, in pieces that never fit the frames. */
	for (unsigned i = 0; i < 200; i++) {
		uint8_t payload[5] = { (uint8_t)i, 1, 2, 3, (uint8_t)~i };

		assert_true(ring_put(&ring, STREAM_STDERR, payload, sizeof(payload)));
		length += HEADER + sizeof(payload);
		while (ring.used - ring.sent > 30)
			sent += take(&ring, out + sent, 7);
		ring_seen(&ring, sent);
	}
	for (size_t n = 1; n;)
		sent += n = take(&ring, out + sent, 7);
	ring_seen(&ring, sent);
	assert_int_equal(sent, length);
	for (unsigned i = 0; i < 200; i++) {
		const uint8_t *frame = out + i * (HEADER + 5);

		assert_int_equal(frame[0], 5);
		assert_int_equal(frame[4], FRAME_LOG);
		assert_int_equal(frame[6], STREAM_STDERR);
		assert_int_equal(frame[HEADER], (uint8_t)i);
		assert_int_equal(frame[HEADER + 4], (uint8_t)~i);
	}
	assert_int_equal(ring.used, 0);
	assert_int_equal(ring.sent, 0);
}

static void test_ring_full(void **state)
{
	uint8_t storage[32];
	struct ring ring = { .bytes = storage, .capacity = sizeof(storage) };

	(void)state;
	assert_int_equal(ring_room(&ring), 24);
	assert_true(ring_put(&ring, STREAM_STDOUT, "12345678901234567890", 20));
	assert_int_equal(ring_room(&ring), 0);
	assert_false(ring_put(&ring, STREAM_STDOUT, "x", 1));
	assert_int_equal(ring.used, 28);
}

/* Four streams that take all they may leave room for one that has said nothing yet. */
static void test_ring_fair(void **state)
{
	static uint8_t storage[LOG_WINDOW], payload[16 << 10];
	struct ring ring = { .bytes = storage, .capacity = sizeof(storage) };
	size_t frames[STREAM_COUNT] = { 0 };

	(void)state;
	while (ring_is_fair(&ring, STREAM_STDOUT, sizeof(payload))) {
		assert_true(ring_put(&ring, STREAM_STDOUT, payload, sizeof(payload)));
		frames[STREAM_STDOUT]++;
	}
	assert_in_range(frames[STREAM_STDOUT], 9, 11); /* of 16, two thirds */
	assert_true(ring_is_fair(&ring, STREAM_STDERR, sizeof(payload)));
	for (enum log_stream stream = STREAM_STDERR; stream <= STREAM_SYSLOG; stream++)
		while (ring_is_fair(&ring, stream, sizeof(payload))) {
			assert_true(ring_put(&ring, stream, payload, sizeof(payload)));
			frames[stream]++;
		}
	assert_true(frames[STREAM_STDERR] >= 1);
	assert_true(ring_put(&ring, STREAM_INIT, payload, FRAME_MESSAGE_MAX));
	/* What is seen is everybody's again. */
	take(&ring, payload, sizeof(payload));
	take(&ring, payload, sizeof(payload));
	ring_seen(&ring, UINT64_MAX);
	assert_int_equal(ring.held[STREAM_STDOUT],
			 (frames[STREAM_STDOUT] - 1) * (HEADER + sizeof(payload)));
}

static void test_ring_drops_whole_frames(void **state)
{
	uint8_t storage[64], out[64];
	struct ring ring = { .bytes = storage, .capacity = sizeof(storage) };

	(void)state;
	ring_force(&ring, STREAM_STDOUT, "aaaaaaaaaa", 10);
	ring_force(&ring, STREAM_STDERR, "bbbbbbbbbb", 10);
	ring_force(&ring, STREAM_SYSLOG, "cccccccccc", 10);
	ring_force(&ring, STREAM_KERNEL, "dddddddddd", 10);
	assert_int_equal(ring.dropped[STREAM_STDOUT], 10);
	assert_int_equal(ring.dropped[STREAM_STDERR], 0);
	assert_int_equal(take(&ring, out, sizeof(out)), 46); /* up to the wrap */
	assert_int_equal(out[HEADER], 'b');
	/* What never fits is dropped by itself, and takes all others with it. */
	ring_rewind(&ring, 0);
	ring_force(&ring, STREAM_INIT, storage, 60);
	assert_int_equal(ring.dropped[STREAM_INIT], 60);
	assert_int_equal(ring.used, 0);
}

static void test_ring_rewind(void **state)
{
	uint8_t storage[64], out[64];
	struct ring ring = { .bytes = storage, .capacity = sizeof(storage) };

	(void)state;
	ring_put(&ring, STREAM_STDOUT, "first", 5);
	ring_put(&ring, STREAM_STDOUT, "second", 6);
	take(&ring, out, HEADER + 5 + 3); /* the first, and the start of the second */
	ring_seen(&ring, HEADER + 5 + 3); /* of what was only begun, nothing was seen */
	assert_int_equal(ring.place, HEADER + 5);
	ring_rewind(&ring, 0);
	assert_int_equal(take(&ring, out, sizeof(out)), HEADER + 6);
	assert_memory_equal(out + HEADER, "second", 6);
}

/* A host that acknowledges what it cannot have, and one that knows what an earlier one had. */
static void test_ring_seen(void **state)
{
	uint8_t storage[64], out[64];
	struct ring ring = { .bytes = storage, .capacity = sizeof(storage) };

	(void)state;
	ring_put(&ring, STREAM_STDOUT, "one", 3);
	ring_put(&ring, STREAM_STDOUT, "two", 3);
	ring_put(&ring, STREAM_STDOUT, "three", 5);
	take(&ring, out, HEADER + 3);
	ring_seen(&ring, UINT64_MAX);
	assert_int_equal(ring.place, HEADER + 3);
	assert_int_equal(ring.sent, 0);
	ring_seen(&ring, 1); /* an old word changes nothing */
	assert_int_equal(ring.place, HEADER + 3);
	take(&ring, out, sizeof(out));
	ring_rewind(&ring, 2 * (HEADER + 3));
	assert_int_equal(ring.place, 2 * (HEADER + 3));
	assert_int_equal(take(&ring, out, sizeof(out)), HEADER + 5);
	assert_memory_equal(out + HEADER, "three", 5);
	ring_rewind(&ring, 0);
	assert_int_equal(take(&ring, out, sizeof(out)), HEADER + 5);
}

/* More than the window is not sent, whatever waits. */
static void test_ring_window(void **state)
{
	enum { SIZE = 2 * LOG_WINDOW, PAYLOAD = 1024 };
	static uint8_t storage[SIZE], payload[PAYLOAD];
	struct ring ring = { .bytes = storage, .capacity = sizeof(storage) };
	const void *bytes;
	size_t sent = 0;

	(void)state;
	while (ring_put(&ring, STREAM_STDOUT, payload, sizeof(payload)))
		;
	for (size_t n; (n = ring_peek(&ring, &bytes)) > 0; sent += n)
		ring_advance(&ring, n);
	assert_int_equal(sent, LOG_WINDOW);
	ring_seen(&ring, HEADER + PAYLOAD);
	assert_int_equal(ring_peek(&ring, &bytes), HEADER + PAYLOAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc3164),	    cmocka_unit_test(test_rfc5424),
		cmocka_unit_test(test_kmsg),	    cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_ring_order),  cmocka_unit_test(test_ring_full),
		cmocka_unit_test(test_ring_fair),   cmocka_unit_test(test_ring_drops_whole_frames),
		cmocka_unit_test(test_ring_rewind), cmocka_unit_test(test_ring_seen),
		cmocka_unit_test(test_ring_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
