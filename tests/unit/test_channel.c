/* SPDX-License-Identifier: Apache-2.0 */
/* The host's end of the channel, what comes in: greeting, resynchronisation, reports, and frames
 * that no stoker-init would send. */
#include "channel_host.h"

enum {
	FLOOD_FRAMES = 50000,
	SKIP_LIMIT = 8 << 20, /* of the channel, before the hello */
};

/* --- greeting ------------------------------------------------------------------------------- */

static void the_greeting_is_answered(void **state)
{
	struct host one, other;

	(void)state;
	open_host(&one);
	open_host(&other);
	guest_answers(&one);
	assert_int_equal(one.hello.protocol, CHANNEL_VERSION);
	assert_int_equal(one.hello.init_us, 1234567000000);
	assert_int_equal(one.hello.boot_us, 1234567890123);
	assert_true(one.hello.workload_running);
	guest_answers(&other);
	assert_memory_not_equal(one.nonce, other.nonce, sizeof(one.nonce));
	close_host(&one);
	close_host(&other);
}

static void the_greeting_is_repeated_until_answered(void **state)
{
	struct host host;
	uint8_t first[8];

	(void)state;
	open_host(&host);
	guest_takes_greeting(&host);
	memcpy(first, host.nonce, sizeof(first));
	guest_answers(&host);
	assert_memory_equal(first, host.nonce, sizeof(first));
	close_host(&host);
}

static void another_version_is_refused(void **state)
{
	struct frame_hello hello;
	struct host host;

	(void)state;
	open_host(&host);
	guest_takes_greeting(&host);
	hello = make_hello(&host);
	hello.version = htole32(0xfffffffe);
	guest_sends_frame(&host, FRAME_HELLO, 0, &hello, sizeof(hello));
	lost_because(&host, "guest speaks channel protocol 4294967294, not 7 (restart the VM)");
	assert_int_equal(host.hellos, 0);
	close_host(&host);
}

/* The rest of a frame, a frame of its own, an answer to somebody else, half an answer to us. */
static void a_stream_may_begin_in_the_middle_of_a_frame(void **state)
{
	struct frame_hello hello, foreign;
	struct host host;
	char rest[999];

	(void)state;
	open_host(&host);
	guest_takes_greeting(&host);
	hello = foreign = make_hello(&host);
	foreign.nonce[7] ^= 1;
	hello.running = 0;
	memset(rest, 0xff, sizeof(rest));
	guest_sends_bytes(&host, rest, sizeof(rest));
	guest_logs(&host, STREAM_STDOUT, "of an earlier connection\n");
	guest_sends_frame(&host, FRAME_HELLO, 0, &foreign, sizeof(foreign));
	guest_sends_frame(&host, FRAME_HELLO, 0, &hello, 20);
	for (size_t i = 0; i < sizeof(hello); i++) {
		struct frame_header header = { htole32(sizeof(hello)), htole16(FRAME_HELLO), 0 };

		if (i == 0)
			guest_sends_bytes(&host, &header, sizeof(header));
		assert_int_equal(host.hellos, 0);
		guest_sends_bytes(&host, (char *)&hello + i, 1);
		run_for(&host, 2);
	}
	guest_logs(&host, STREAM_STDERR, "ours\n");
	run_until(&host, &host.logs, 1);
	assert_int_equal(host.hellos, 1);
	assert_false(host.hello.workload_running);
	assert_int_equal(host.stream, CHANNEL_STDERR);
	assert_string_equal(strbuf_text(&host.logged), "ours\n");
	close_host(&host);
}

static void another_nonce_is_no_answer(void **state)
{
	struct frame_hello hello;
	struct host host;

	(void)state;
	open_host(&host);
	guest_takes_greeting(&host);
	hello = make_hello(&host);
	hello.nonce[0] ^= 0x80;
	guest_sends_frame(&host, FRAME_HELLO, 0, &hello, sizeof(hello));
	guest_logs(&host, STREAM_STDOUT, "believe me\n");
	guest_reports(&host, EXIT_CODE, 0, "");
	guest_closes(&host);
	lost_because(&host, "the guest's end of the channel was closed");
	assert_int_equal(host.hellos + host.logs + host.exits, 0);
	close_host(&host);
}

/* Each of its bytes counts. */
static void another_key_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < CHANNEL_KEY_SIZE; i++) {
		struct frame_hello hello;
		struct host host;

		open_host(&host);
		guest_takes_greeting(&host);
		hello = make_hello(&host);
		hello.key[i] ^= 1;
		guest_sends_frame(&host, FRAME_HELLO, 0, &hello, sizeof(hello));
		guest_logs(&host, STREAM_STDOUT, "believe me\n");
		lost_because(&host, "whoever speaks for the guest has not its key");
		assert_int_equal(host.hellos + host.logs, 0);
		close_host(&host);
	}
}

static void an_endless_prelude_is_cut(void **state)
{
	struct host host;

	(void)state;
	open_host(&host);
	for (size_t i = 0; i < SKIP_LIMIT / 64 + 1024; i++)
		guest_sends_bytes(&host, (char[64]){ FRAME_HELLO }, 64);
	lost_because(&host, "guest does not answer the greeting");
	assert_int_equal(host.hellos, 0);
	close_host(&host);
}

/* --- frames --------------------------------------------------------------------------------- */

static void each_stream_is_told_apart(void **state)
{
	static const enum channel_stream expected[] = { CHANNEL_STDOUT, CHANNEL_STDERR,
							CHANNEL_KERNEL, CHANNEL_SYSLOG,
							CHANNEL_INIT };
	struct host host;

	(void)state;
	open_host(&host);
	guest_answers(&host);
	for (uint16_t stream = 0; stream < STREAM_COUNT; stream++) {
		guest_logs(&host, stream, "x");
		run_until(&host, &host.logs, stream + 1u);
		assert_int_equal(host.stream, expected[stream]);
	}
	close_host(&host);
}

static void hostile_frames_end_the_channel(void **state)
{
	static const char zeros[400] = { 0 };
	static const char no_sense[] = "guest sent an exit report that makes no sense";
	static const struct {
		uint32_t length;
		uint16_t type, stream;
		size_t sent; /* of the payload; the guest's end closes when that is not all */
		const char *text;
	} cases[] = {
		{ FRAME_PAYLOAD_MAX + 1, FRAME_LOG, 0, 400,
		  "guest sent a frame of 65537 bytes (at most 65536)" },
		{ UINT32_MAX, FRAME_EXIT, 0, 0,
		  "guest sent a frame of 4294967295 bytes (at most 65536)" },
		{ 0, 0, 0, 0, "guest sent a frame of unknown type 0" },
		{ 4, 99, 0, 4, "guest sent a frame of unknown type 99" },
		{ 36, FRAME_GREET, 0, 36, "guest sent a frame of unknown type 1" },
		{ 0, UINT16_MAX, 0, 0, "guest sent a frame of unknown type 65535" },
		{ 80, FRAME_HELLO, 0, 80, "guest sent a hello out of place" },
		{ 3, FRAME_HELLO, 0, 3, "guest sent a hello out of place" },
		{ 1, FRAME_LOG, STREAM_COUNT, 1,
		  "guest sent a log frame of stream 5 with 1 bytes" },
		{ 7, FRAME_LOG, UINT16_MAX, 7,
		  "guest sent a log frame of stream 65535 with 7 bytes" },
		{ 0, FRAME_LOG, STREAM_KERNEL, 0,
		  "guest sent a log frame of stream 2 with 0 bytes" },
		{ 0, FRAME_EXIT, 0, 0, no_sense },
		{ 207, FRAME_EXIT, 0, 207, no_sense },
		{ 209, FRAME_EXIT, 0, 209, no_sense },
		{ 208, FRAME_EXIT, 0, 207, "the guest's end of the channel was closed" },
		{ FRAME_PAYLOAD_MAX, FRAME_LOG, 0, 400,
		  "the guest's end of the channel was closed" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct frame_header header = { htole32(cases[i].length), htole16(cases[i].type),
					       htole16(cases[i].stream) };
		struct host host;

		open_host(&host);
		guest_answers(&host);
		guest_logs(&host, STREAM_STDOUT, "before");
		guest_sends_bytes(&host, &header, sizeof(header));
		guest_sends_bytes(&host, zeros, cases[i].sent);
		if (cases[i].sent == cases[i].length)
			guest_logs(&host, STREAM_STDOUT, "after");
		else if (cases[i].length <= FRAME_PAYLOAD_MAX)
			guest_closes(&host);
		lost_because(&host, cases[i].text);
		assert_string_equal(strbuf_text(&host.logged), "before");
		assert_int_equal(host.exits, 0);
		close_host(&host);
	}
}

static void half_a_header_is_no_frame(void **state)
{
	struct host host;

	(void)state;
	open_host(&host);
	guest_answers(&host);
	guest_sends_bytes(&host, "\1\0\0\0A\0\0", 7);
	guest_closes(&host);
	lost_because(&host, "the guest's end of the channel was closed");
	assert_int_equal(host.logs, 0);
	close_host(&host);
}

/* A guest that does nothing but send its smallest frames: all arrive, in order. */
static void a_flood_of_small_frames_arrives(void **state)
{
	struct host host;

	(void)state;
	open_host(&host);
	guest_answers(&host);
	for (unsigned i = 0; i < FLOOD_FRAMES; i++)
		guest_sends_frame(&host, FRAME_LOG, STREAM_STDOUT, &"0123456789"[i % 10], 1);
	run_until(&host, &host.logs, FLOOD_FRAMES);
	for (unsigned i = 0; i < FLOOD_FRAMES; i++)
		assert_int_equal(host.logged.data[i], "0123456789"[i % 10]);
	assert_int_equal(host.losses, 0);
	close_host(&host);
}

static void the_largest_frame_fits(void **state)
{
	static char bytes[FRAME_PAYLOAD_MAX];
	struct host host;

	(void)state;
	open_host(&host);
	guest_answers(&host);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 7);
	guest_logs(&host, STREAM_STDOUT, "a");
	guest_sends_frame(&host, FRAME_LOG, STREAM_STDOUT, bytes, sizeof(bytes));
	run_until(&host, &host.logs, 2);
	assert_int_equal(host.logged.length, 1 + sizeof(bytes));
	assert_memory_equal(host.logged.data + 1, bytes, sizeof(bytes));
	close_host(&host);
}

/* --- exit reports --------------------------------------------------------------------------- */

static void a_report_is_acknowledged(void **state)
{
	struct host host;

	(void)state;
	open_host(&host);
	guest_answers(&host);
	guest_reports(&host, EXIT_CODE, 7, "");
	run_until(&host, &host.exits, 1);
	assert_int_equal(host.report.kind, CHANNEL_EXITED);
	assert_int_equal(host.report.code, 7);
	assert_string_equal(host.report.message, "");
	guest_takes_frame(&host, FRAME_EXIT_SEEN, NULL, 0);
	guest_reports(&host, EXIT_CODE, 7, "");
	lost_because(&host, "guest sent an exit report that makes no sense");
	assert_int_equal(host.exits, 1);
	close_host(&host);
}

static void reports_are_judged(void **state)
{
	static const struct {
		uint32_t kind;
		int32_t code;
		int told; /* -1: it makes no sense */
	} cases[] = {
		{ EXIT_CODE, 0, CHANNEL_EXITED },
		{ EXIT_CODE, 255, CHANNEL_EXITED },
		{ EXIT_CODE, 256, -1 },
		{ EXIT_CODE, -1, -1 },
		{ EXIT_SIGNAL, 9, CHANNEL_SIGNALLED },
		{ EXIT_SIGNAL, 64, CHANNEL_SIGNALLED },
		{ EXIT_SIGNAL, 65, -1 },
		{ EXIT_SIGNAL, INT32_MIN, -1 },
		{ EXIT_OOM, 9, CHANNEL_OOM },
		{ EXIT_OOM, 65, -1 },
		{ EXIT_INIT_ERROR, 0, CHANNEL_INIT_ERROR },
		{ EXIT_INIT_ERROR, 1, -1 },
		{ 0, 0, -1 },
		{ EXIT_DAEMONISED, 0, CHANNEL_DAEMONISED },
		{ EXIT_DAEMONISED, 1, -1 },
		{ EXIT_DAEMONISED + 1, 0, -1 },
		{ UINT32_MAX, 0, -1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct host host;

		open_host(&host);
		guest_answers(&host);
		guest_reports(&host, cases[i].kind, cases[i].code, "");
		if (cases[i].told < 0) {
			lost_because(&host, "guest sent an exit report that makes no sense");
			assert_int_equal(host.exits, 0);
		} else {
			run_until(&host, &host.exits, 1);
			assert_int_equal(host.report.kind, cases[i].told);
			assert_int_equal(host.report.code, cases[i].code);
		}
		close_host(&host);
	}
}

/* What a guest says of its failure goes to terminals and log files. */
static void messages_are_made_printable(void **state)
{
	char endless[FRAME_MESSAGE_MAX + 1] = { 0 }, cut[FRAME_MESSAGE_MAX] = { 0 };
	struct host host;

	(void)state;
	open_host(&host);
	guest_answers(&host);
	guest_reports(&host, EXIT_INIT_ERROR, 0, "\x1b[31mred\r\n\t\x7f\xc3\xa9~ end");
	run_until(&host, &host.exits, 1);
	assert_string_equal(host.report.message, "?[31mred??????~ end");
	close_host(&host);

	memset(endless, 'A', sizeof(endless) - 1);
	memset(cut, 'A', sizeof(cut) - 1);
	open_host(&host);
	guest_answers(&host);
	guest_reports(&host, EXIT_INIT_ERROR, 0, endless);
	run_until(&host, &host.exits, 1);
	assert_string_equal(host.report.message, cut);
	close_host(&host);
}

/* The daemon was busy while the guest reported and its VMM ended: nobody is there any more to take
 * the acknowledgement, but the report counts. */
static void a_report_outlives_the_guests_end(void **state)
{
	struct host host;

	(void)state;
	open_host(&host);
	guest_answers(&host);
	guest_reports(&host, EXIT_CODE, 0, "");
	assert_int_equal(send(host.guest_fd, host.to_send.data, host.to_send.length, 0),
			 host.to_send.length);
	strbuf_reset(&host.to_send);
	host.pump = watch_free(host.pump);
	channel_hosts(host.channel, "10.20.0.10 web\n");
	guest_closes(&host);
	run_until(&host, &host.losses, 1);
	assert_int_equal(host.exits, 1);
	assert_int_equal(host.report.kind, CHANNEL_EXITED);
	assert_null(host.channel);
	close_host(&host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_greeting_is_answered),
		cmocka_unit_test(the_greeting_is_repeated_until_answered),
		cmocka_unit_test(another_version_is_refused),
		cmocka_unit_test(a_stream_may_begin_in_the_middle_of_a_frame),
		cmocka_unit_test(another_nonce_is_no_answer),
		cmocka_unit_test(another_key_is_refused),
		cmocka_unit_test(an_endless_prelude_is_cut),
		cmocka_unit_test(each_stream_is_told_apart),
		cmocka_unit_test(hostile_frames_end_the_channel),
		cmocka_unit_test(half_a_header_is_no_frame),
		cmocka_unit_test(a_flood_of_small_frames_arrives),
		cmocka_unit_test(the_largest_frame_fits),
		cmocka_unit_test(a_report_is_acknowledged),
		cmocka_unit_test(reports_are_judged),
		cmocka_unit_test(messages_are_made_printable),
		cmocka_unit_test(a_report_outlives_the_guests_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
