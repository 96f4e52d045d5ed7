/* SPDX-License-Identifier: Apache-2.0 */
/* model/logline and ctl/since: what is read out of a line, and which moments are understood. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "ctl/since.c"
#include "model/logline.h"

/* "severity facility|tag|pid|data|message" */
static char *describe(const struct logline *line)
{
#define SPAN(span) (int)(span).length, (span).at ? (span).at : ""
	return xasprintf("%s %.*s|%.*s|%.*s|%.*s|%.*s", logline_severities[line->severity],
			 SPAN(line->facility), SPAN(line->tag), SPAN(line->pid), SPAN(line->data),
			 SPAN(line->message));
}

static void test_texts(void **state)
{
	static const struct {
		const char *stream, *text, *want;
	} rows[] = {
		{ "stdout", "hello", "info ||||hello" },
		{ "stderr", "user.emerg x: hello", "err ||||user.emerg x: hello" },
		{ "console", "", "err ||||" },
		{ "init", "x", "notice ||||x" },
		{ "stoker", "x", "warning ||||x" },
		{ "kernel", "warning: Out of memory", "warning kern||||Out of memory" },
		{ "kernel", "odd: text", "info ||||odd: text" },
		{ "kernel", "no colon", "info ||||no colon" },
		{ "syslog", "daemon.info app[42]: hello", "info daemon|app|42||hello" },
		{ "syslog", "cron.debug cron: x: y", "debug cron|cron|||x: y" },
		{ "syslog", "user.notice no tag here", "notice user||||no tag here" },
		{ "syslog", "user.notice", "notice user||||" },
		{ "syslog", "user.notice a[b c]: d", "notice user||||a[b c]: d" },
		{ "syslog", "user.notice a[b", "notice user||||a[b" },
		{ "syslog", "user.notice a[b] c", "notice user||||a[b] c" },
		{ "syslog", "user.loud x: y", "notice ||||user.loud x: y" },
		{ "syslog", "mine.info x: y", "notice ||||mine.info x: y" },
		{ "syslog", "", "notice ||||" },
		{ "syslog", "local4.err a[1]: [x@1 k=\"v\\\"]\"][y z=\"\"] text",
		  "err local4|a|1|[x@1 k=\"v\\\"]\"][y z=\"\"]|text" },
		{ "syslog", "local4.err a: [x@1 k=\"v\"]", "err local4|a||[x@1 k=\"v\"]|" },
		{ "syslog", "local4.err a: [ok] done", "err local4|a|||[ok] done" },
		{ "syslog", "local4.err a: [x k=\"v", "err local4|a|||[x k=\"v" },
		{ "syslog", "local4.err a: [[x k=\"v\"]", "err local4|a|||[[x k=\"v\"]" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		/* Exactly its size, so that the sanitizer sees a byte read too many. */
		size_t length = strlen(rows[i].text);
		char *copy = malloc(length ? length : 1), *got;
		struct logline line;

		memcpy(copy, rows[i].text, length);
		logline_parse_text(rows[i].stream, copy, length, &line);
		got = describe(&line);
		assert_string_equal(got, rows[i].want);
		free(got);
		free(copy);
	}
}

static void test_lines(void **state)
{
	static const char good[] = "2026-11-26T06:30:00.123Z syslog auth.crit su: no";
	static const char *const bad[] = { "",
					   "x",
					   "2026-11-26T06:30:00.123Z",
					   "2026-11-26T06:30:00.123Z stdout",
					   "2026-11-26T06:30:00.123Z stdou x",
					   "2026-11-26T06:30:00Z stdout x",
					   "... stdout x" };
	struct logline line;

	(void)state;
	assert_true(logline_parse(good, strlen(good), &line));
	assert_ptr_equal(line.time.at, good);
	assert_int_equal(line.time.length, LOGLINE_TIME_LENGTH);
	assert_string_equal(line.stream.at, "syslog");
	assert_int_equal(line.severity, 2);
	assert_memory_equal(line.message.at, "no", line.message.length);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(logline_parse(bad[i], strlen(bad[i]), &line));
}

static void test_times(void **state)
{
	char text[LOGLINE_TIME_LENGTH + 1];

	(void)state;
	logline_print_time(0, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000Z");
	logline_print_time(UINT64_C(1795674600123), text);
	assert_string_equal(text, "2026-11-26T06:30:00.123Z");
	logline_print_time(UINT64_MAX, text);
	assert_memory_equal(text, "9999-12-31T23:59:59.", 20);
}

static void test_unescape(void **state)
{
	static const char text[] = "a\\x1b[2J\\\\x1b\\x0g\\x1";
	struct strbuf out = { 0 };

	(void)state;
	logline_unescape((struct span){ text, strlen(text) }, &out);
	assert_string_equal(strbuf_text(&out), "a\x1b[2J\\x1b\\x0g\\x1");
	strbuf_reset(&out);
}

/* --- since ----------------------------------------------------------------------------------- */

#define NOW UINT64_C(1795674600000) /* 2026-11-26 06:30:00 UTC, 12:00:00 there */

static void test_moments(void **state)
{
	static const struct {
		const char *text;
		int64_t want_s; /* before NOW */
	} rows[] = {
		{ "now", 0 },
		{ "10m", 600 },
		{ "-10m", 600 },
		{ "10 min ago", 600 },
		{ "1h30m", 5400 },
		{ "1h 30min 5sec ago", 5405 },
		{ "2 days ago", 172800 },
		{ "1w", 604800 },
		{ "0s", 0 },
		{ "today", 43200 },
		{ "yesterday", 43200 + 86400 },
		{ "2026-11-26", 43200 },
		{ "2026-11-26 11:00", 3600 },
		{ "2026-11-26 11:59:59", 1 },
		{ "2026-11-26T06:29:58Z", 2 },
		{ "2026-11-26 06:29:58 UTC", 2 },
		{ "2026-11-26T07:29:58+01:00", 2 },
		{ "2026-11-26T05:29:58-0100", 2 },
		{ "11:59", 60 },
		{ "11:59:58", 2 },
		{ "12:00:01", -1 },
		{ "@1795674590", 10 },
		{ "2024-02-29T00:00:00Z", 1795674600 - 1709164800 },
	};
	uint64_t ms;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct error err;

		assert_int_equal(since_parse(rows[i].text, NOW, &ms, &err), 0);
		assert_int_equal((int64_t)(NOW / 1000) - (int64_t)(ms / 1000), rows[i].want_s);
	}
	assert_int_equal(since_parse("2026-11-26T06:30:00.0259Z", NOW, &ms, NULL), 0);
	assert_int_equal(ms, NOW + 25);
	assert_int_equal(since_parse("1500ms", NOW, &ms, NULL), 0);
	assert_int_equal(ms, NOW - 1500);
	assert_int_equal(since_parse("999999999w", NOW, &ms, NULL), 0);
	assert_int_equal(ms, 0);
}

static void test_no_moments(void **state)
{
	static const char *const rows[] = {
		"",
		" ",
		"10",
		"m",
		"10x",
		"+10m",
		"-10m ago",
		"10m ago ago",
		"tomorrowish",
		"@",
		"@-1",
		"@1x",
		"26-11-26",
		"2026-13-01",
		"2026-00-01",
		"2026-02-30",
		"2025-02-29",
		"2026-11-26T",
		"2026-11-26 24:00",
		"2026-11-26 1:00",
		"2026-11-26 06:60",
		"2026-11-26 06:30:60",
		"2026-11-26 06:30:",
		"2026-11-26 06:30:00.",
		"2026-11-26 06:30:00 CET",
		"2026-11-26T06:30:00+1",
		"2026-11-26T06:30:00Zx",
		"2026-11-26x06:30:00",
		"06:30x",
		"1900-01-01",
	};
	uint64_t ms = 77;
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_int_equal(since_parse(rows[i], NOW, &ms, &err), -1);
	assert_int_equal(since_parse("soon", NOW, &ms, &err), -1);
	assert_string_equal(err.text, "'soon' is not a time (such as 10m, '2 days ago', 06:30, "
				      "2026-11-26, '2026-11-26 06:30:00', 2026-11-26T06:30:00Z, "
				      "today, @1700000000)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),	cmocka_unit_test(test_lines),
		cmocka_unit_test(test_times),	cmocka_unit_test(test_unescape),
		cmocka_unit_test(test_moments), cmocka_unit_test(test_no_moments),
	};

	setenv("TZ", "XXX-05:30", 1);
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
