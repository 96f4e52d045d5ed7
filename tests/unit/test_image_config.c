/* SPDX-License-Identifier: Apache-2.0 */
/* The image's configuration: the record that comes out, and what is refused in which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "guest-init/protocol.h"
#include "image/config.h"
#include "image/notes.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static int parse(const char *text, struct image_config *config, struct error *err)
{
	return image_config_parse(text, strlen(text), config, err);
}

/* "TAG=value TAG=value ..." */
static char *list_record(const struct strbuf *record)
{
	struct strbuf out = { 0 };
	size_t at = 0;

	while (at < record->length) {
		struct config_entry head;

		memcpy(&head, record->data + at, sizeof(head));
		at += sizeof(head);
		strbuf_printf(&out, "%s%u=%.*s", out.length ? " " : "", head.tag, (int)head.length,
			      record->data + at);
		at += head.length;
	}
	assert_int_equal(at, record->length);
	return strbuf_take(&out);
}

static void test_record(void **state)
{
	struct image_config config = { 0 };
	struct error err = { 0 };
	char *listing;

	(void)state;
	assert_int_equal(
		parse("{\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":["
		      "\"sha256:" HEX "\",\"sha256:" HEX "\"]},\"config\":{"
		      "\"Entrypoint\":[\"/a\"],\"Cmd\":[\"b\",\"\"],\"Env\":[\"A=1\",\"B=\"],"
		      "\"User\":\"www-data:33\",\"WorkingDir\":\"/process\","
		      "\"StopSignal\":\"SIGRTMIN+3\",\"Volumes\":{\"/x\":{},\"rel\":{},\"/proc/"
		      "1\":{},"
		      "\"/a/../b\":{}}}}",
		      &config, &err),
		0);
	assert_int_equal(config.diff_ids.count, 2);
	assert_string_equal(config.diff_ids.items[1], HEX);
	listing = list_record(&config.record);
	assert_string_equal(listing,
			    "1=/a 2=b 2= 3=A=1 3=B= 4=www-data:33 5=/process 6=SIGRTMIN+3 17=/x");
	free(listing);
	/* As Docker writes it: absent, null and empty mean the same. */
	assert_int_equal(parse("{\"rootfs\":{\"diff_ids\":[]},\"config\":{\"Entrypoint\":null,"
			       "\"User\":\"\",\"WorkingDir\":\"\",\"Env\":[]}}",
			       &config, &err),
			 0);
	assert_int_equal(config.record.length, 0);
	assert_int_equal(config.diff_ids.count, 0);
	assert_int_equal(parse("{\"rootfs\":{\"diff_ids\":[]}}", &config, &err), 0);
	image_config_reset(&config);
}

struct bad_config {
	const char *config; /* inside "config":{...}; NULL: `document` is the whole */
	const char *document;
	const char *message;
};

static const struct bad_config bad[] = {
	{ "\"User\":\"4294967296\"", NULL, "user '4294967296': a number beyond 4294967294" },
	{ "\"User\":\"4294967295\"", NULL, "user '4294967295': a number beyond 4294967294" },
	{ "\"User\":\"99999999999999999999999\"", NULL,
	  "user '99999999999999999999999': a number beyond 4294967294" },
	{ "\"User\":\"1:4294967296\"", NULL, "user '1:4294967296': a number beyond 4294967294" },
	{ "\"User\":\"-1\"", NULL, "user '-1': not a name or number" },
	{ "\"User\":\"a:b:c\"", NULL, "user 'a:b:c': not a name or number" },
	{ "\"User\":\":0\"", NULL, "user ':0': an empty name" },
	{ "\"User\":\"0:\"", NULL, "user '0:': an empty name" },
	{ "\"User\":\"a b\"", NULL, "user 'a b': not a name or number" },
	{ "\"User\":7", NULL, "'User' is not a string" },
	{ "\"WorkingDir\":\"srv\"", NULL, "working directory 'srv': not absolute" },
	{ "\"WorkingDir\":\"/proc/self/fd/8\"", NULL,
	  "working directory '/proc/self/fd/8': lies in /proc" },
	{ "\"WorkingDir\":\"//./proc\"", NULL, "working directory '//./proc': lies in /proc" },
	{ "\"WorkingDir\":\"/srv/../proc\"", NULL,
	  "working directory '/srv/../proc': has '..' in it" },
	{ "\"StopSignal\":\"kill me\"", NULL,
	  "stop signal 'kill me': not the name or number of one" },
	{ "\"Env\":[\"NOVALUE\"]", NULL, "environment 'NOVALUE': not NAME=VALUE" },
	{ "\"Env\":[\"=x\"]", NULL, "environment '=x': not NAME=VALUE" },
	{ "\"Cmd\":\"sh\"", NULL, "'Cmd' is not a list" },
	{ "\"Cmd\":[1]", NULL, "'Cmd' holds something else than strings" },
	{ NULL, "[]", "not a JSON object" },
	{ NULL, "{}", "'rootfs': 'diff_ids' is missing" },
	{ NULL, "{\"os\":\"windows\"}", "made for 'windows', not for linux" },
	{ NULL, "{\"rootfs\":{\"diff_ids\":[\"sha256:../../x\"]}}",
	  "'sha256:../../x' is not a diffID (sha256:, 64 hex digits)" },
	{ NULL, "{\"rootfs\":{\"diff_ids\":[]},\"config\":[]}", "'config' is not an object" },
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct image_config config = { 0 };
		struct error err = { 0 };
		char *text = bad[i].config
				     ? xasprintf("{\"rootfs\":{\"diff_ids\":[]},\"config\":{%s}}",
						 bad[i].config)
				     : xstrdup(bad[i].document);
		char *expected = xasprintf("image config: %s", bad[i].message);

		assert_int_equal(parse(text, &config, &err), -1);
		assert_string_equal(err.text, expected);
		free(text);
		free(expected);
	}
}

static void test_notes(void **state)
{
	struct image_config config = { 0 };
	struct error err = { 0 };
	char *listing;

	(void)state;
	assert_int_equal(
		parse("{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v7\","
		      "\"created\":\"2024-02-29T23:59:59.123456789Z\",\"author\":\"A \\u001b[2J\","
		      "\"rootfs\":{\"diff_ids\":[]},"
		      "\"config\":{\"ExposedPorts\":{\"80/tcp\":{},\"53/udp\":{}},"
		      "\"Volumes\":{\"/data\":{}},\"Labels\":{\"a\":\"b=c\",\"n\":1}},"
		      "\"history\":[{\"created_by\":\"ADD x\"},{\"empty_layer\":true},7]}",
		      &config, &err),
		0);
	listing = list_record(&config.notes);
	assert_string_equal(listing, "128=2024-02-29T23:59:59.123456789Z 129=linux/arm/v7 "
				     "130=A \033[2J 131=80/tcp 131=53/udp 132=/data 133=a=b=c "
				     "134=ADD x");
	free(listing);
	image_config_reset(&config);
}

/* What is not as it should be is left out, and is no reason to refuse the image. */
static void test_odd_notes(void **state)
{
	static const char *const dates[] = {
		"",
		"yesterday",
		"2024-02-29",
		"2024-02-29T23:59:59",
		"2024-02-29T23:59:59.Z",
		"2024-02-29T23:59:59.1234567890Z",
		"2024-02-29T23:59:59+1:00",
		"2024-02-29T23:59:59+01:00Z",
		"\\u001b]0;x\\u0007",
	};
	struct image_config config = { 0 };
	struct error err = { 0 };
	char *listing;

	(void)state;
	for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++) {
		char *text = xasprintf("{\"created\":\"%s\",\"rootfs\":{\"diff_ids\":[]}}",
				       dates[i]);

		assert_int_equal(parse(text, &config, &err), 0);
		listing = list_record(&config.notes);
		assert_string_equal(listing, "129=?/?");
		free(listing);
		free(text);
	}
	assert_int_equal(parse("{\"author\":[1],\"rootfs\":{\"diff_ids\":[]},\"history\":\"x\","
			       "\"config\":{\"ExposedPorts\":[\"80\"],\"Volumes\":3,"
			       "\"Labels\":null}}",
			       &config, &err),
			 0);
	listing = list_record(&config.notes);
	assert_string_equal(listing, "129=?/?");
	free(listing);
	image_config_reset(&config);
}

static void test_many_notes(void **state)
{
	struct strbuf text = { 0 };
	struct image_config config = { 0 };
	struct error err = { 0 };
	char *listing, *longest = xcalloc(1, 9001);

	(void)state;
	memset(longest, 'x', 9000);
	strbuf_puts(&text, "{\"rootfs\":{\"diff_ids\":[]},\"config\":{\"Labels\":{");
	for (int i = 0; i < 200; i++)
		strbuf_printf(&text, "%s\"label%d\":\"%s\"", i ? "," : "", i, longest);
	strbuf_puts(&text, "}}}");
	assert_int_equal(parse(strbuf_text(&text), &config, &err), 0);
	assert_in_range(config.notes.length, NOTES_MAX - 2 * NOTE_MAX, NOTES_MAX);
	listing = list_record(&config.notes);
	assert_string_equal(listing + strlen(listing) - 11, "xxx... 135=");
	free(listing);
	free(longest);
	image_config_reset(&config);
	strbuf_reset(&text);
}

static void note_seen(void *data, uint32_t tag, const char *text, size_t length)
{
	struct strbuf *seen = data;
	_cleanup_json_ json_t *shown = notes_text(text, length);

	strbuf_printf(seen, "%u=%s ", tag, json_string_value(shown));
}

static void test_read_notes(void **state)
{
	static const struct {
		const char *bytes;
		size_t length;
		const char *seen, *error;
	} cases[] = {
		{ "", 0, "", "" },
		{ "\x80\0\0\0\5\0\0\0a\\\0\33\xc3", 13, "128=a\\\\\\x00\\x1b\\xc3 ", "" },
		{ "\x80\0\0\0\0\0\0\0\1\0\0\0\1\0\0\0b", 17, "128= 1=b ", "" },
		{ "\x80\0\0\0\0\0\0", 7, "", "7 bytes after the last entry" },
		{ "\x80\0\0\0\2\0\0\0a", 9, "", "an entry of 2 bytes, where 1 are left" },
		{ "\x80\0\0\0\xff\xff\xff\xff"
		  "a",
		  9, "", "an entry of 4294967295 bytes, where 1 are left" },
	};
	char path[] = "/tmp/stoker-notes-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *expected = xasprintf("%s: %s", path, cases[i].error);
		struct strbuf seen = { 0 };
		struct error err = { 0 };
		int result;

		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, cases[i].bytes, cases[i].length, 0), cases[i].length);
		result = notes_read(path, note_seen, &seen, &err);
		assert_string_equal(strbuf_text(&seen), cases[i].seen);
		assert_int_equal(result, *cases[i].error ? -1 : 0);
		if (result < 0)
			assert_string_equal(err.text, expected);
		strbuf_reset(&seen);
		free(expected);
	}
	close(fd);
	unlink(path);
}

static void test_sizes(void **state)
{
	struct image_config config = { 0 };
	struct strbuf text = { 0 };
	struct error err = { 0 };

	(void)state;
	strbuf_puts(&text, "{\"rootfs\":{\"diff_ids\":[]},\"config\":{\"Cmd\":[\"");
	for (int i = 0; i <= CONFIG_ENTRY_MAX; i++)
		strbuf_putc(&text, 'x');
	strbuf_puts(&text, "\"]}}");
	assert_int_equal(parse(strbuf_text(&text), &config, &err), -1);
	assert_string_equal(err.text, "image config: 'Cmd': a value of 1048577 bytes (1048576 are "
				      "allowed)");
	assert_int_equal(image_config_parse("", IMAGE_CONFIG_MAX + 1, &config, &err), -1);
	assert_string_equal(err.text, "image config: larger than 8388608 bytes");
	assert_int_equal(parse("{\"config\":{\"Cmd\":[\"a\\u0000b\"]}}", &config, &err), -1);
	assert_non_null(strstr(err.text, "not valid JSON"));
	strbuf_reset(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_record),	   cmocka_unit_test(test_bad),
		cmocka_unit_test(test_notes),	   cmocka_unit_test(test_odd_notes),
		cmocka_unit_test(test_many_notes), cmocka_unit_test(test_read_notes),
		cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
