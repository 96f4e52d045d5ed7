/* SPDX-License-Identifier: Apache-2.0 */
/* forward/: lines of guests as targets get them, to the byte, and what guests may not say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "forward/message.h"
#include "forward/queue.h"
#include "forward/structured.h"
#include "model/target.h"

/* 2026-11-26 06:30:00.042 UTC */
#define TIME_MS UINT64_C(1795674600042)
#define HEAD	"1 2026-11-26T06:30:00.042Z host acme/web "
#define OURS	"[stoker@32473 tenant=\"acme\" vm=\"web\" stream=\""

enum format { RFC3164, RFC5424, JOURNAL };

static char *print(const char *stream, const char *text, size_t length, enum format format,
		   size_t max)
{
	struct forward_line line = { .name = "acme/web",
				     .stream = stream,
				     .text = text,
				     .length = length,
				     .time_ms = TIME_MS };
	struct strbuf out = { 0 };
	struct message message;

	message_parse(&line, &message);
	if (format == RFC3164)
		message_add_rfc3164(&message, &out);
	else if (format == RFC5424)
		message_add_rfc5424(&message, "host", max, &out);
	else
		message_add_journal(&message, &out);
	message_reset(&message);
	return strbuf_take(&out);
}

struct row {
	const char *stream, *text, *expected;
};

static void check(const struct row *rows, size_t count, enum format format)
{
	for (size_t i = 0; i < count; i++) {
		_cleanup_free_ char *got = print(rows[i].stream, rows[i].text, strlen(rows[i].text),
						 format, MESSAGE_MAX);

		assert_string_equal(got, rows[i].expected);
	}
}

static void test_rfc5424(void **state)
{
	static const struct row rows[] = {
		{ "stdout", "hello", "<30>" HEAD "- - " OURS "stdout\"] hello" },
		{ "stderr", "", "<27>" HEAD "- - " OURS "stderr\"] " },
		{ "init", "mounted", "<29>" HEAD "- - " OURS "init\"] mounted" },
		{ "kernel", "crit: oops",
		  "<10>" HEAD "- - " OURS "kernel\" facility=\"kern\"] oops" },
		{ "syslog", "mail.warning postfix[12]: full",
		  "<20>" HEAD "12 - " OURS "syslog\" facility=\"mail\" tag=\"postfix\"] full" },
		{ "syslog", "local7.debug a[x-1]: [e@1 k=\"v\\\"\\]\"][f@1] text",
		  "<191>" HEAD "x-1 - " OURS
		  "syslog\" facility=\"local7\" tag=\"a\"][e@1 k=\"v\\\"\\]\"] [f@1] text" },
		/* The text is UTF-8, and says so. */
		{ "stdout", "gr\xc3\xbc\xc3\x9f",
		  "<30>" HEAD "- - " OURS "stdout\"] \xef\xbb\xbfgr\xc3\xbc\xc3\x9f" },
	};

	(void)state;
	check(rows, sizeof(rows) / sizeof(*rows), RFC5424);
}

static void test_hostile(void **state)
{
	static const struct row rows[] = {
		/* None of the host's facilities, and no emergency. */
		{ "kernel", "emerg: BUG",
		  "<9>" HEAD "- - " OURS "kernel\" facility=\"kern\"] BUG" },
		{ "syslog", "authpriv.emerg sshd[1]: root",
		  "<9>" HEAD "1 - " OURS "syslog\" facility=\"authpriv\" tag=\"sshd\"] root" },
		/* Data that poses as ours, that speaks of the sender, that comes twice, that is
		 * none to the letter. */
		{ "syslog", "user.info a: [stoker@32473 tenant=\"other\"] x",
		  "<14>" HEAD "- - " OURS
		  "syslog\" facility=\"user\" tag=\"a\"] [stoker@32473 tenant=\"other\"] x" },
		{ "syslog", "user.info a: [origin ip=\"10.0.0.1\"] x",
		  "<14>" HEAD "- - " OURS
		  "syslog\" facility=\"user\" tag=\"a\"] [origin ip=\"10.0.0.1\"] x" },
		{ "syslog", "user.info a: [e@1 k=\"1\"][e@1 k=\"2\"] x",
		  "<14>" HEAD "- - " OURS
		  "syslog\" facility=\"user\" tag=\"a\"] [e@1 k=\"1\"][e@1 k=\"2\"] x" },
		{ "syslog", "user.info a: [e@1  k=\"1\"] x",
		  "<14>" HEAD "- - " OURS
		  "syslog\" facility=\"user\" tag=\"a\"] [e@1  k=\"1\"] x" },
		/* Tags and ids that would end what they stand in. */
		{ "syslog", "user.info a\"]\\b[1]: x",
		  "<14>" HEAD "1 - " OURS "syslog\" facility=\"user\" tag=\"a\\\"\\]\\\\b\"] x" },
		{ "syslog", "user.info a[\xc3\xbc]: x",
		  "<14>" HEAD "- - " OURS "syslog\" facility=\"user\" tag=\"a\"] x" },
		/* Bytes that steer, and that are none of UTF-8: an overlong one, a surrogate, one
		 * cut short, one beyond the last. */
		{ "stdout",
		  "\x1b[2J\r\x7f\tx\xc2\x9b"
		  "2J\\",
		  "<30>" HEAD "- - " OURS "stdout\"] \\x1b[2J\\x0d\\x7f\tx\\x9b2J\\" },
		{ "stdout", "\xc0\xaf \xed\xa0\x80 \xf4\x90\x80\x80 \xe2\x82",
		  "<30>" HEAD "- - " OURS "stdout\"] \xef\xbb\xbf"
		  "\xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd "
		  "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd" },
		{ "stdout", "<0>1 - other - - - - x",
		  "<30>" HEAD "- - " OURS "stdout\"] <0>1 - other - - - - x" },
	};
	_cleanup_free_ char *nul = print("stdout", "a\0b\nc", 5, RFC5424, MESSAGE_MAX);

	(void)state;
	check(rows, sizeof(rows) / sizeof(*rows), RFC5424);
	assert_string_equal(nul, "<30>" HEAD "- - " OURS "stdout\"] a\\x00b\\x0ac");
}

static void test_lengths(void **state)
{
	_cleanup_free_ char *text = xcalloc(1, 20001), *cut, *data, *pid;
	size_t length;

	(void)state;
	/* Of two bytes each: it is cut between them. */
	for (size_t i = 0; i < 20000; i += 2)
		memcpy(text + i, "\xc3\xbc", 2);
	for (size_t max = MESSAGE_UDP_MAX; max < MESSAGE_UDP_MAX + 2; max++) {
		cut = print("stdout", text, 20000, RFC5424, max);
		length = strlen(cut);
		assert_in_range(length, max - 1, max);
		assert_string_equal(cut + length - 5, "\xc3\xbc...");
		free(cut);
	}
	cut = print("stdout", text, 20000, RFC3164, 0);
	assert_in_range(strlen(cut), MESSAGE_MAX - 1, MESSAGE_MAX);
	/* Data that has no room is text. */
	memset(text, 'x', 20000);
	memcpy(text, "user.info a: [e@1 k=\"", 21);
	memcpy(text + 1500, "\"] and", 6);
	text[1506] = '\0';
	data = print("syslog", text, 1506, RFC5424, MESSAGE_UDP_MAX);
	assert_non_null(strstr(data, "tag=\"a\"] [e@1 k=\"xxx"));
	assert_non_null(strstr(data, "xxx\"] and"));
	memset(text, '1', 20000);
	memcpy(text, "user.info a[", 12);
	memcpy(text + 300, "]: x", 4);
	pid = print("syslog", text, 304, RFC5424, MESSAGE_MAX);
	assert_string_equal(pid, "<14>" HEAD "- - " OURS "syslog\" facility=\"user\" tag=\"a\"] x");
}

static void test_rfc3164(void **state)
{
	static const struct row rows[] = {
		{ "stdout", "hello", "<30>Nov 26 06:30:00 acme/web: hello" },
		{ "syslog", "cron.info crond[7]: [e@1 k=\"v\"] ran",
		  "<78>Nov 26 06:30:00 acme/web: crond[7]: [e@1 k=\"v\"] ran" },
		{ "syslog", "kern.emerg a\x01: b", "<9>Nov 26 06:30:00 acme/web: a\\x01: b" },
	};

	(void)state;
	check(rows, sizeof(rows) / sizeof(*rows), RFC3164);
}

static void test_journal(void **state)
{
	static const char expected[] = "PRIORITY=1\nSYSLOG_FACILITY=1\nSYSLOG_IDENTIFIER=acme/web\n"
				       "STOKER_TENANT=acme\nSTOKER_VM=web\nSTOKER_STREAM=syslog\n"
				       "SYSLOG_PID\n\2\0\0\0\0\0\0\0"
				       "12\n"
				       "STOKER_FACILITY\n\4\0\0\0\0\0\0\0"
				       "auth\n"
				       "STOKER_TAG\n\4\0\0\0\0\0\0\0"
				       "sshd\n"
				       "STOKER_DATA\n\13\0\0\0\0\0\0\0"
				       "[e@1 k=\"v\"]\n"
				       "MESSAGE\n\5\0\0\0\0\0\0\0"
				       "hello\n";
	static const char text[] = "auth.emerg sshd[12]: [e@1 k=\"v\"] hello";
	_cleanup_free_ char *got = print("syslog", text, strlen(text), JOURNAL, 0);
	_cleanup_free_ char *word = print("syslog", "user.info a[b]: x", 17, JOURNAL, 0);
	_cleanup_free_ char *empty = print("stdout", "", 0, JOURNAL, 0);

	(void)state;
	assert_memory_equal(got, expected, sizeof(expected) - 1);
	assert_null(strstr(word, "SYSLOG_PID"));
	assert_non_null(strstr(empty, "STOKER_STREAM=stdout\nMESSAGE\n"));
}

static void test_structured(void **state)
{
	static const struct {
		const char *text;
		bool is_fit;
	} rows[] = {
		{ "[a@1]", true },
		{ "[a@1 b=\"\"]", true },
		{ "[a@1 b=\"c\"][d@2 e=\"f\" g=\"h\"]", true },
		{ "[a@1 b=\"\\x\\\\\\]\\\"\"]", true },
		{ "[a@1 b=\"\xc3\xbc\"]", true },
		{ "", false },
		{ "[]", false },
		{ "[a]", false },
		{ "[a@1", false },
		{ "[a@1 ]", false },
		{ "[a@1 b]", false },
		{ "[a@1 b=c]", false },
		{ "[a@1 b=\"c]", false },
		{ "[a@1 b=\"c]\"]", false },
		{ "[a@1 b=\"c\"", false },
		{ "[a@1 b=\"\\", false },
		{ "[a@1 =\"c\"]", false },
		{ "[a@1 b\"=\"c\"]", false },
		{ "[a@1] ", false },
		{ "[a@1][a@1]", false },
		{ "[\xc3\xbc@1]", false },
		{ "[stoker@32473 tenant=\"x\"]", false },
		{ "[a2345678901234567890123456789@12]", true },
		{ "[a23456789012345678901234567890@12]", false },
	};
	struct strbuf many = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (structured_is_fit(rows[i].text, strlen(rows[i].text)) != rows[i].is_fit)
			fail_msg("%s", rows[i].text);
	for (int i = 0; i < 40; i++) {
		strbuf_printf(&many, "[a@%d]", i);
		assert_int_equal(structured_is_fit(many.data, many.length), i < 16);
	}
	strbuf_reset(&many);
}

/* One that takes all it may leaves room for others, however late they come. */
static void test_queue(void **state)
{
	struct queue *queue = queue_new(100000);
	size_t length, own = 0, others = 0;
	char bytes[100];

	(void)state;
	memset(bytes, 'a', sizeof(bytes));
	while (queue_push(queue, "acme", bytes, sizeof(bytes)))
		own++;
	assert_in_range(own, 300, 450);
	for (int i = 0; i < 5; i++) {
		char name[16];

		snprintf(name, sizeof(name), "t%d", i);
		assert_true(queue_push(queue, name, name, 3));
		while (queue_push(queue, name, bytes, sizeof(bytes)))
			others++;
	}
	assert_true(others > own / 2);
	assert_false(queue_push(queue, "acme", bytes, 1));
	assert_false(queue_push(queue, "new", bytes, 100000));
	/* In their order. */
	for (size_t i = 0; i < own; i++) {
		assert_memory_equal(queue_first(queue, &length), bytes, sizeof(bytes));
		queue_pop(queue);
	}
	assert_string_equal(queue_first(queue, &length), "t0");
	assert_int_equal(queue_count(queue), others + 5);
	while (queue_first(queue, &length))
		queue_pop(queue);
	assert_true(queue_push(queue, "acme", bytes, sizeof(bytes)));
	queue_free(queue);
}

static void test_targets(void **state)
{
	static const struct {
		const char *text, *host;
		enum target_kind kind;
		uint16_t port;
	} good[] = {
		{ "off", "", TARGET_OFF, 0 },
		{ "syslog", "", TARGET_SYSLOG, 0 },
		{ "journald", "", TARGET_JOURNAL, 0 },
		{ "udp://192.0.2.1:514", "192.0.2.1", TARGET_UDP, 514 },
		{ "udp://[2001:db8::1]:514", "2001:db8::1", TARGET_UDP, 514 },
		{ "tcp://logs.example.com:601", "logs.example.com", TARGET_TCP, 601 },
		{ "tls://[::1]:65535", "::1", TARGET_TLS, 65535 },
		{ "tls://a-b.c1:1", "a-b.c1", TARGET_TLS, 1 },
	};
	static const char *const bad[] = {
		"",
		"Syslog",
		"http://a:1",
		"tcp://",
		"tcp://a",
		"tcp://a:",
		"tcp://:1",
		"tcp://a:0",
		"tcp://a:01",
		"tcp://a:65536",
		"tcp://a:1/",
		"tcp://a:1 ",
		"tcp://-a:1",
		"tcp://a-:1",
		"tcp://a..b:1",
		"tcp://a-.b:1",
		"tcp://.a:1",
		"tcp://a.:1",
		"tcp://a_b:1",
		"tcp://u@a:1",
		"tcp://300.1.1.1:1",
		"tcp://::1:1",
		"tcp://[::1:1",
		"tcp://[127.0.0.1]:1",
		"tcp://[a]:1",
		"tcp://[]:1",
		"udp://logs.example.com:514",
	};
	struct target target;
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_int_equal(target_parse(good[i].text, &target, &err), 0);
		assert_int_equal(target.kind, good[i].kind);
		assert_string_equal(target.host, good[i].host);
		assert_int_equal(target.port, good[i].port);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (target_parse(bad[i], &target, &err) == 0)
			fail_msg("%s", bad[i]);
	assert_string_equal(err.text,
			    "'logs.example.com' is not an address (names are for tcp:// and "
			    "tls://)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc5424), cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_lengths), cmocka_unit_test(test_rfc3164),
		cmocka_unit_test(test_journal), cmocka_unit_test(test_structured),
		cmocka_unit_test(test_queue),	cmocka_unit_test(test_targets),
	};

	setenv("TZ", "UTC", 1);
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
