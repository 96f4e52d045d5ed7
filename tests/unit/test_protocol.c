/* SPDX-License-Identifier: Apache-2.0 */
/* control/protocol: requests there and back, what is refused, lines, and text that is not UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "control/protocol.h"

static int parse(const char *line, struct request *ret, struct error *err)
{
	return protocol_parse_request(line, strlen(line), ret, err);
}

static void test_round_trip(void **state)
{
	(void)state;
	for (int command = 0; command < COMMAND_COUNT; command++) {
		struct request request = { .command = (enum protocol_command)command };
		struct request parsed;
		char *line;

		strcpy(request.name, "acme/web.2");
		strcpy(request.image, "localhost:5000/a/b@sha256:00");
		request.is_dry_run = command == COMMAND_IMAGE_PRUNE;
		request.follow = command == COMMAND_LOGS || command == COMMAND_EVENTS;
		request.lines = command == COMMAND_LOGS ? 25 : 0;
		request.timeout_ms = command == COMMAND_RELOAD ? 1500 : 0;
		if (command == COMMAND_EXEC)
			request.session = json_pack("{s:[s]}", "command", "ls");
		line = protocol_format_request(&request);
		assert_int_equal(line[strlen(line) - 1], '\n');
		assert_int_equal(parse(line, &parsed, NULL), 0);
		assert_int_equal(parsed.command, command);
		assert_int_equal(parsed.follow, request.follow);
		assert_int_equal(parsed.is_dry_run, request.is_dry_run);
		if (command == COMMAND_IMAGE_PULL || command == COMMAND_IMAGE_INSPECT)
			assert_string_equal(parsed.image, request.image);
		assert_int_equal(parsed.lines, request.lines);
		assert_int_equal(parsed.since_ms, request.since_ms);
		assert_int_equal(parsed.timeout_ms, request.timeout_ms);
		assert_true(json_equal(parsed.session, request.session) ||
			    (!parsed.session && !request.session));
		request_reset(&parsed);
		request_reset(&request);
		free(line);
	}
}

static void test_the_text_of_a_request(void **state)
{
	struct request request = { .command = COMMAND_LOGS, .name = "a/b", .lines = 10 };
	char *line = protocol_format_request(&request);

	(void)state;
	assert_string_equal(
		line, "{\"command\":\"logs\",\"name\":\"a/b\",\"follow\":false,\"lines\":10}\n");
	free(line);
	request.since_ms = 1795674600123;
	line = protocol_format_request(&request);
	assert_string_equal(line, "{\"command\":\"logs\",\"name\":\"a/b\",\"follow\":false,"
				  "\"lines\":10,\"since_ms\":1795674600123}\n");
	free(line);
}

static void test_refused(void **state)
{
	static const struct {
		const char *line, *message;
	} cases[] = {
		{ "[]", "the request is not an object" },
		{ "{}", "'command' is missing" },
		{ "{\"command\":7}", "'command' is not a string" },
		{ "{\"command\":\"halt\"}",
		  "unknown command 'halt' (are stokerctl and stokerd of one version?)" },
		{ "{\"command\":\"plan\",\"name\":\"a/b\"}", "'plan' has no member 'name'" },
		{ "{\"command\":\"guard\"}", "'guard' needs the name of an instance" },
		{ "{\"command\":\"guard\",\"name\":\"\"}",
		  "'name' is not the name of an instance (tenant/vm)" },
		{ "{\"command\":\"guard\",\"name\":3}",
		  "'name' is not the name of an instance (tenant/vm)" },
		{ "{\"command\":\"events\",\"follow\":1}", "'follow' is not true or false" },
		{ "{\"command\":\"image-pull\"}", "'image-pull' needs the name of an image" },
		{ "{\"command\":\"image-pull\",\"image\":\"\"}",
		  "'image' is not the name of an image" },
		{ "{\"command\":\"image-list\",\"image\":\"x\"}",
		  "'image-list' has no member 'image'" },
		{ "{\"command\":\"image-prune\",\"dry_run\":\"yes\"}",
		  "'dry_run' is not true or false" },
		{ "{\"command\":\"logs\",\"name\":\"a/b\",\"lines\":-1}",
		  "'lines' is not a number from 0 to 100000" },
		{ "{\"command\":\"logs\",\"name\":\"a/b\",\"lines\":100001}",
		  "'lines' is not a number from 0 to 100000" },
		{ "{\"command\":\"logs\",\"name\":\"a/b\",\"lines\":1.5}",
		  "'lines' is not a number from 0 to 100000" },
		{ "{\"command\":\"exec\",\"name\":\"a/b\"}", "'exec' needs a session" },
		{ "{\"command\":\"exec\",\"name\":\"a/b\",\"session\":[]}",
		  "'session' is not an object" },
		{ "{\"command\":\"exec\",\"session\":{}}", "'exec' needs the name of an instance" },
		{ "{\"command\":\"logs\",\"name\":\"a/b\",\"session\":{}}",
		  "'logs' has no member 'session'" },
		{ "{\"command\":\"logs\",\"name\":\"a/b\",\"since_ms\":-1}",
		  "'since_ms' is not a number from 0 to 9223372036854775807" },
		{ "{\"command\":\"events\",\"since_ms\":1}", "'events' has no member 'since_ms'" },
		{ "{\"command\":\"reload\",\"timeout_ms\":86400001}",
		  "'timeout_ms' is not a number from 0 to 86400000" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct request untouched = { .command = COMMAND_VERSION, .lines = 77 };
		struct error err = { 0 };

		assert_int_equal(parse(cases[i].line, &untouched, &err), -1);
		assert_string_equal(err.text, cases[i].message);
		assert_int_equal(untouched.lines, 77);
	}
}

static void test_not_json(void **state)
{
	static const char *const lines[] = { "",
					     "{",
					     "{\"command\":\"plan\"} x",
					     "{\"command\":\"plan\",\"command\":\"reload\"}",
					     "{\"command\":\"guard\",\"name\":\"a\\u0000b\"}",
					     "{\"command\":\"\xff\"}" };

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct error err = { 0 };
		struct request request;

		assert_int_equal(parse(lines[i], &request, &err), -1);
		assert_memory_equal(err.text, "request:1:", 10);
	}
}

static void test_long_name(void **state)
{
	char line[512], name[PROTOCOL_NAME_MAX + 2];
	struct request request;
	struct error err = { 0 };

	(void)state;
	memset(name, 'n', sizeof(name));
	name[PROTOCOL_NAME_MAX] = '\0';
	snprintf(line, sizeof(line), "{\"command\":\"guard\",\"name\":\"%s\"}", name);
	assert_int_equal(parse(line, &request, &err), 0);
	assert_string_equal(request.name, name);
	name[PROTOCOL_NAME_MAX] = 'n';
	name[PROTOCOL_NAME_MAX + 1] = '\0';
	snprintf(line, sizeof(line), "{\"command\":\"guard\",\"name\":\"%s\"}", name);
	assert_int_equal(parse(line, &request, &err), -1);
	assert_string_equal(err.text, "'name' is longer than 128 bytes");
}

static void test_lines(void **state)
{
	_cleanup_strbuf_ struct strbuf in = { 0 };
	size_t length;
	char *line = NULL;

	(void)state;
	assert_int_equal(protocol_take_line(&in, 4, &line, &length), 0);
	strbuf_puts(&in, "ab");
	assert_int_equal(protocol_take_line(&in, 4, &line, &length), 0);
	strbuf_puts(&in, "cd\n\nxyz");
	assert_int_equal(protocol_take_line(&in, 4, &line, &length), 1);
	assert_string_equal(line, "abcd");
	assert_int_equal(length, 4);
	free(line);
	assert_int_equal(protocol_take_line(&in, 4, &line, &length), 1);
	assert_string_equal(line, "");
	free(line);
	assert_int_equal(protocol_take_line(&in, 4, &line, &length), 0);
	assert_string_equal(strbuf_text(&in), "xyz");
	strbuf_puts(&in, "45");
	assert_int_equal(protocol_take_line(&in, 4, &line, &length), -1);
	strbuf_puts(&in, "\n");
	assert_int_equal(protocol_take_line(&in, 4, &line, &length), -1);
}

static void test_a_line_keeps_its_zero_bytes(void **state)
{
	_cleanup_strbuf_ struct strbuf in = { 0 };
	struct request request;
	size_t length;
	char *line = NULL;

	(void)state;
	strbuf_add(&in, "{\"command\":\"plan\"}\0{}\n", 22);
	assert_int_equal(protocol_take_line(&in, 100, &line, &length), 1);
	assert_int_equal(length, 21);
	assert_int_equal(protocol_parse_request(line, length, &request, NULL), -1);
	free(line);
}

static void test_text(void **state)
{
	static const struct {
		const char *bytes, *text;
	} cases[] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
		{ "\xf0\x9f\x94\xa5", "\xf0\x9f\x94\xa5" },
		{ "\xff\xfe", "??" },
		{ "cut \xf0\x9f\x94", "cut ???" },
		{ "\xc0\xaf overlong", "?? overlong" },
		{ "\xe0\x80\xaf", "???" },
		{ "\xed\xa0\x80 surrogate", "??? surrogate" },
		{ "\xf4\x90\x80\x80", "????" },
		{ "\xe2\x82"
		  "A",
		  "??A" },
	};
	json_t *value;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		value = protocol_text(cases[i].bytes, strlen(cases[i].bytes));
		assert_string_equal(json_string_value(value), cases[i].text);
		json_decref(value);
	}
	value = protocol_text("a\0b", 3);
	assert_string_equal(json_string_value(value), "a?b");
	json_decref(value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_the_text_of_a_request),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_not_json),
		cmocka_unit_test(test_long_name),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_a_line_keeps_its_zero_bytes),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
