/* SPDX-License-Identifier: Apache-2.0 */
/* The host's end of the channel, what is asked of it: the bytes that the guest gets, and
 * being freed from each of its own callbacks. */
#include "channel_host.h"

enum { OUT_LIMIT = 4 * FRAME_PAYLOAD_MAX }; /* of what waits for a guest that does not read */

static void takes_stop(struct host *host, uint32_t signal, uint64_t grace_ms)
{
	struct frame_stop stop = { htole32(signal), 0, htole64(grace_ms) };

	guest_takes_frame(host, FRAME_STOP, &stop, sizeof(stop));
}

static void takes_hosts(struct host *host, const char *lines)
{
	guest_takes_frame(host, FRAME_HOSTS, lines, strlen(lines));
}

static void takes_seen(struct host *host, uint64_t place)
{
	struct frame_log_seen seen = { htole64(place) };

	guest_takes_frame(host, FRAME_LOG_SEEN, &seen, sizeof(seen));
}

/* --- the guest's end ------------------------------------------------------------------------ */

static void the_bytes_of_stop_and_hosts(void **state)
{
	static const uint8_t expected[] = {
		16,   0,    0,	 0,   2,   0,	0,    0, /* a header: 16 bytes, FRAME_STOP */
		15,   0,    0,	 0,   0,   0,	0,    0, /* SIGTERM */
		0x10, 0x27, 0,	 0,   0,   0,	0,    0, /* 10000 ms */
		7,    0,    0,	 0,   3,   0,	0,    0, /* a header: 7 bytes, FRAME_HOSTS */
		':',  ':',  '1', ' ', 'a', 'b', '\n', 0,
		0,    0,    0,	 3,   0,   0,	0, /* no lines: none are left */
	};
	uint8_t got[sizeof(expected)];
	struct host host;

	(void)state;
	open_host(&host);
	guest_answers(&host);
	channel_stop(host.channel, 15, 10000);
	channel_hosts(host.channel, "::1 ab\n");
	channel_hosts(host.channel, "");
	guest_takes(&host, got, sizeof(got));
	assert_memory_equal(got, expected, sizeof(expected));
	close_host(&host);
}

/* Asked for while the guest still boots: nothing is said before its hello. */
static void what_is_asked_early_waits_for_the_hello(void **state)
{
	struct frame_hello hello;
	struct host host;
	char byte;

	(void)state;
	open_host(&host);
	channel_hosts(host.channel, "10.20.0.10 web\n");
	channel_stop(host.channel, 0, UINT64_MAX);
	guest_takes_greeting(&host);
	run_for(&host, 20);
	assert_int_equal(recv(host.guest_fd, &byte, 1, MSG_DONTWAIT), -1);
	hello = make_hello(&host);
	guest_sends_frame(&host, FRAME_HELLO, 0, &hello, sizeof(hello));
	run_until(&host, &host.hellos, 1);
	channel_stop(host.channel, 64, 0);
	takes_hosts(&host, "10.20.0.10 web\n");
	takes_stop(&host, 0, UINT64_MAX);
	takes_stop(&host, 64, 0);
	close_host(&host);
}

static void hosts_are_cut_at_a_line(void **state)
{
	static char lines[FRAME_PAYLOAD_MAX + 3];
	struct host host;

	(void)state;
	open_host(&host);
	guest_answers(&host);
	memset(lines, 'h', sizeof(lines) - 1);
	channel_hosts(host.channel, lines); /* one line, and too long */
	takes_hosts(&host, "");
	lines[FRAME_PAYLOAD_MAX] = '\n'; /* one byte too far */
	lines[999] = '\n';
	channel_hosts(host.channel, lines);
	guest_takes_frame(&host, FRAME_HOSTS, lines, 1000);
	lines[FRAME_PAYLOAD_MAX - 1] = '\n';
	channel_hosts(host.channel, lines);
	guest_takes_frame(&host, FRAME_HOSTS, lines, FRAME_PAYLOAD_MAX);
	close_host(&host);
}

/* What a guest does not read is bounded, and cut between frames only. */
static void a_guest_that_does_not_read_is_not_waited_for(void **state)
{
	static char lines[60000];
	struct frame_header header;
	struct host host;
	size_t taken = 0;

	(void)state;
	open_host(&host);
	guest_answers(&host);
	memset(lines, 'h', sizeof(lines) - 2);
	lines[sizeof(lines) - 2] = '\n';
	for (int i = 0; i < 100; i++)
		channel_hosts(host.channel, lines);
	/* All was queued before the loop could write any of it. */
	for (int i = 0; i < 4; i++) {
		guest_takes_frame(&host, FRAME_HOSTS, lines, strlen(lines));
		taken += sizeof(header) + strlen(lines);
	}
	assert_true(taken <= OUT_LIMIT && taken + sizeof(header) + strlen(lines) > OUT_LIMIT);
	run_for(&host, 20);
	assert_int_equal(recv(host.guest_fd, &header, sizeof(header), MSG_DONTWAIT), -1);
	channel_stop(host.channel, 9, 0);
	takes_stop(&host, 9, 0);
	close_host(&host);
}

static void a_lost_channel_ignores_what_is_asked(void **state)
{
	struct host host;
	char byte;

	(void)state;
	open_host(&host);
	guest_answers(&host);
	host.keep = true;
	guest_sends_frame(&host, 77, 0, "", 0);
	guest_logs(&host, STREAM_STDOUT, "after");
	lost_because(&host, "guest sent a frame of unknown type 77");
	assert_non_null(host.channel);
	channel_stop(host.channel, 15, 1);
	channel_hosts(host.channel, "10.20.0.10 web\n");
	run_for(&host, 20);
	assert_int_equal(recv(host.guest_fd, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(host.losses, 1);
	assert_int_equal(host.logs, 0);
	host.channel = channel_free(host.channel);
	assert_true(recv(host.guest_fd, &byte, 1, MSG_DONTWAIT) == 0);
	close_host(&host);
}

/* --- the log's places ----------------------------------------------------------------------- */

static void what_was_seen_of_the_log_is_told(void **state)
{
	static char much[FRAME_PAYLOAD_MAX / 2];
	struct host host;

	(void)state;
	open_host(&host);
	guest_answers(&host);
	assert_int_equal(channel_log_seen(host.channel), LOG_PLACE);
	guest_logs(&host, STREAM_STDOUT, "a line\n");
	guest_logs(&host, STREAM_STDERR, "another\n");
	takes_seen(&host, LOG_PLACE + 8 + 7 + 8 + 8); /* after a while, and once for both */
	guest_sends_frame(&host, FRAME_LOG, STREAM_STDOUT, much, sizeof(much));
	takes_seen(&host, LOG_PLACE + 31 + 8 + sizeof(much));
	assert_int_equal(channel_log_seen(host.channel), LOG_PLACE + 31 + 8 + sizeof(much));
	close_host(&host);
}

/* One that is deaf to what it is told of its log, and writes on. */
static void a_guest_that_logs_beyond_its_credit_is_lost(void **state)
{
	static char lines[60000], much[FRAME_PAYLOAD_MAX];
	struct host host;

	(void)state;
	open_host(&host);
	guest_answers(&host);
	memset(lines, 'h', sizeof(lines) - 2);
	lines[sizeof(lines) - 2] = '\n';
	for (int i = 0; i < 100; i++) { /* until the socket is full too */
		channel_hosts(host.channel, lines);
		run_for(&host, 2);
	}
	for (int i = 0; i < 64; i++)
		guest_sends_frame(&host, FRAME_LOG, STREAM_STDOUT, much, sizeof(much));
	lost_because(&host, "guest logs faster than it is allowed to (262176 bytes ahead, at most "
			    "262144)");
	assert_int_equal(host.logs, 3);
	close_host(&host);
}

/* --- guests that say nothing ---------------------------------------------------------------- */

static void a_guest_that_answers_pings_stays(void **state)
{
	struct host host;

	(void)state;
	open_host(&host);
	guest_answers(&host);
	channel_watch(host.channel, 90);
	for (int i = 0; i < 8; i++) {
		guest_takes_frame(&host, FRAME_PING, "", 0);
		guest_sends_frame(&host, FRAME_PONG, 0, "", 0);
		run_for(&host, 5);
	}
	assert_int_equal(host.losses, 0);
	channel_watch(host.channel, 0);
	run_for(&host, 200);
	assert_int_equal(host.losses, 0);
	close_host(&host);
}

static void a_guest_that_logs_is_not_asked(void **state)
{
	struct frame_header header;
	struct host host;

	(void)state;
	open_host(&host);
	guest_answers(&host);
	channel_watch(host.channel, 3000);
	guest_logs(&host, STREAM_STDOUT, "busy");
	run_for(&host, 1100);
	takes_seen(&host, LOG_PLACE + 8 + 4);
	assert_int_equal(recv(host.guest_fd, &header, sizeof(header), MSG_DONTWAIT), -1);
	assert_int_equal(host.losses, 0);
	close_host(&host);
}

static void a_silent_guest_is_lost(void **state)
{
	struct host host;

	(void)state;
	open_host(&host);
	guest_answers(&host);
	channel_watch(host.channel, 3000);
	for (int i = 0; i < 3; i++)
		guest_takes_frame(&host, FRAME_PING, "", 0);
	lost_because(&host, "the guest has said nothing for 3 s");
	close_host(&host);
}

static void a_pong_is_empty(void **state)
{
	struct host host;

	(void)state;
	open_host(&host);
	guest_answers(&host);
	guest_sends_frame(&host, FRAME_PONG, 0, "x", 1);
	lost_because(&host, "guest sent a pong of 1 bytes");
	close_host(&host);
}

/* --- freed from inside ---------------------------------------------------------------------- */

static void expect_told(const struct host *host, unsigned hellos, unsigned logs, unsigned exits,
			unsigned losses)
{
	assert_int_equal(host->hellos, hellos);
	assert_int_equal(host->logs, logs);
	assert_int_equal(host->exits, exits);
	assert_int_equal(host->losses, losses);
}

/* Hello, log, report and a broken frame arrive in one read; the callee frees at one of them. */
static void free_at(enum told what, struct host *host)
{
	struct frame_hello hello;

	open_host(host);
	host->free_at = what;
	guest_takes_greeting(host);
	hello = make_hello(host);
	guest_sends_frame(host, FRAME_HELLO, 0, &hello, sizeof(hello));
	guest_logs(host, STREAM_STDOUT, "one");
	guest_reports(host, EXIT_SIGNAL, 9, "");
	guest_sends_frame(host, 77, 0, "", 0);
	guest_logs(host, STREAM_STDOUT, "two");
	for (int i = 0; host->channel && i < 1000; i++)
		run_for(host, 20);
	assert_null(host->channel);
	run_for(host, 20);
}

static void freed_at_each_callback(void **state)
{
	struct host host;
	char byte;

	(void)state;
	free_at(TOLD_HELLO, &host);
	expect_told(&host, 1, 0, 0, 0);
	assert_true(recv(host.guest_fd, &byte, 1, MSG_DONTWAIT) == 0);
	close_host(&host);
	free_at(TOLD_LOG, &host);
	expect_told(&host, 1, 1, 0, 0);
	close_host(&host);
	free_at(TOLD_EXIT, &host);
	expect_told(&host, 1, 1, 1, 0);
	guest_takes_frame(&host, FRAME_EXIT_SEEN, NULL, 0); /* it was on its way before */
	close_host(&host);
	free_at(TOLD_LOST, &host);
	expect_told(&host, 1, 1, 1, 1);
	assert_string_equal(strbuf_text(&host.logged), "one");
	assert_string_equal(host.why.text, "guest sent a frame of unknown type 77");
	close_host(&host);
}

static void freed_before_anything_happened(void **state)
{
	struct host host;

	(void)state;
	open_host(&host);
	channel_stop(host.channel, 15, 1);
	host.channel = channel_free(host.channel);
	assert_null(channel_free(NULL));
	run_for(&host, 20);
	expect_told(&host, 0, 0, 0, 0);
	close_host(&host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_seen_of_the_log_is_told),
		cmocka_unit_test(a_guest_that_logs_beyond_its_credit_is_lost),
		cmocka_unit_test(a_guest_that_answers_pings_stays),
		cmocka_unit_test(a_guest_that_logs_is_not_asked),
		cmocka_unit_test(a_silent_guest_is_lost),
		cmocka_unit_test(a_pong_is_empty),
		cmocka_unit_test(the_bytes_of_stop_and_hosts),
		cmocka_unit_test(what_is_asked_early_waits_for_the_hello),
		cmocka_unit_test(hosts_are_cut_at_a_line),
		cmocka_unit_test(a_guest_that_does_not_read_is_not_waited_for),
		cmocka_unit_test(a_lost_channel_ignores_what_is_asked),
		cmocka_unit_test(freed_at_each_callback),
		cmocka_unit_test(freed_before_anything_happened),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
