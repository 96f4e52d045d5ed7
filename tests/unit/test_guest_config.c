/* SPDX-License-Identifier: Apache-2.0 */
/* guest-init/config.c and names.c: entries of protocol.h, the rules of merging, signal names, the
 * hosts file. stoker-init is built for musl; here its files are compiled into the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/strbuf.h"
#include "guest-init/config.c"
#include "guest-init/failure.c"
#include "guest-init/names.c"
#include "guest-init/root.c"
#include "guest-init/verity.c"

static void add(struct strbuf *out, uint32_t tag, const void *bytes, size_t length)
{
	struct config_entry entry = { htole32(tag), htole32((uint32_t)length) };

	strbuf_add(out, &entry, sizeof(entry));
	strbuf_add(out, bytes, length);
}

static void add_text(struct strbuf *out, uint32_t tag, const char *text)
{
	add(out, tag, text, strlen(text));
}

static void refuse(const struct strbuf *in, enum config_file file, const char *message)
{
	struct config config = { 0 };
	struct failure why = { "" };
	int result = config_parse(in->data, in->length, file, &config, &why);

	config_reset(&config);
	assert_int_equal(result, -1);
	assert_string_equal(why.text, message);
}

static void refuse_entry(uint32_t tag, const char *text, size_t length, enum config_file file,
			 const char *message)
{
	_cleanup_strbuf_ struct strbuf in = { 0 };

	add(&in, tag, text, length);
	refuse(&in, file, message);
}

static void test_refusals(void **state)
{
	_cleanup_strbuf_ struct strbuf in = { 0 };
	struct config_entry huge = { htole32(CONFIG_USER), htole32(CONFIG_ENTRY_MAX + 1) };

	(void)state;
	refuse_entry(999, "x", 1, CONFIG_FROM_MANIFEST,
		     "configuration: entry 999 does not belong here");
	refuse_entry(CONFIG_HOSTNAME, "x", 1, CONFIG_FROM_IMAGE,
		     "image record: entry 34 does not belong here");
	refuse_entry(CONFIG_VERITY, "x", 1, CONFIG_FROM_MANIFEST,
		     "configuration: entry 16 does not belong here");
	refuse_entry(CONFIG_VERIFY, "", 0, CONFIG_FROM_IMAGE,
		     "image record: entry 45 does not belong here");
	refuse_entry(CONFIG_MODULE, "/x.ko", 5, CONFIG_FROM_MANIFEST,
		     "configuration: entry 64 does not belong here");
	refuse_entry(CONFIG_USER, "a\0b", 3, CONFIG_FROM_IMAGE,
		     "image record: entry 4 has a NUL in its text");
	refuse_entry(CONFIG_READ_ONLY, "x", 1, CONFIG_FROM_MANIFEST,
		     "configuration: entry 41 is not empty");
	refuse_entry(CONFIG_GATEWAY_MAC, "12345", 5, CONFIG_FROM_MANIFEST,
		     "configuration: gateway address has 5 bytes");
	refuse_entry(CONFIG_ENVIRONMENT, "NOVALUE", 7, CONFIG_FROM_IMAGE,
		     "image record: environment entry 'NOVALUE' is not KEY=value");
	refuse_entry(CONFIG_ENVIRONMENT, "=x", 2, CONFIG_FROM_IMAGE,
		     "image record: environment entry '=x' is not KEY=value");
	refuse_entry(CONFIG_VOLUME_PATH, "/x", 2, CONFIG_FROM_MANIFEST,
		     "configuration: entry 17 does not belong here");
	refuse_entry(CONFIG_FILE, "1234567", 7, CONFIG_FROM_MANIFEST,
		     "configuration: entry 46 is cut short");
	refuse_entry(CONFIG_FILE, "\0\0\0\0\0\0\0\0x", 9, CONFIG_FROM_MANIFEST,
		     "configuration: entry 46 does not describe a file"); /* no path */
	refuse_entry(CONFIG_FILE, "\0\0\0\0\2\0\0\0x", 9, CONFIG_FROM_MANIFEST,
		     "configuration: entry 46 does not describe a file");
	refuse_entry(CONFIG_SECRET, "\0\0\0\0\1\0\1\0x", 9, CONFIG_FROM_MANIFEST,
		     "configuration: entry 47 does not describe a file");
	refuse_entry(CONFIG_SECRET, "\0\0\0\0\1\0\0\0\0y", 10, CONFIG_FROM_MANIFEST,
		     "configuration: entry 47 does not describe a file");
	refuse_entry(CONFIG_FILE, "\0\2\0\0\1\0\0\0x", 9, CONFIG_FROM_MANIFEST,
		     "configuration: entry 46 does not describe a file"); /* mode 01000 */
	strbuf_add(&in, &huge, sizeof(huge));
	refuse(&in, CONFIG_FROM_MANIFEST,
	       "configuration: entry 4 has 1048577 bytes (at most 1048576)");
}

static void test_cut_short(void **state)
{
	_cleanup_strbuf_ struct strbuf in = { 0 };

	(void)state;
	add_text(&in, CONFIG_USER, "app");
	for (size_t length = 1; length < in.length; length++) {
		/* A copy of its exact size lets the sanitizer see a byte read too many. */
		char *copy = malloc(length);
		struct strbuf cut = { .data = copy, .length = length };

		memcpy(copy, in.data, length);
		refuse(&cut, CONFIG_FROM_IMAGE, "image record: cut short");
		free(copy);
	}
}

static void parse(struct config *config, const struct strbuf *in, enum config_file file)
{
	struct failure why = { "" };

	assert_int_equal(config_parse(in->data, in->length, file, config, &why), 0);
}

static void test_files(void **state)
{
	_cleanup_strbuf_ struct strbuf in = { 0 };
	struct config config = { 0 };
	const struct config_file_item *items;

	(void)state;
	add(&in, CONFIG_FILE, "\xa0\1\0\0\2\0\0\0/fa\0b", 8 + 5);
	add(&in, CONFIG_SECRET, "\0\1\0\0\3\0\3\0keyapp", 8 + 6);
	add_text(&in, CONFIG_ULIMIT, "nofile=1:2");
	add_text(&in, CONFIG_SYSCTL, "a.b=c d");
	parse(&config, &in, CONFIG_FROM_MANIFEST);
	items = config.files.items;
	assert_int_equal(config.files.count, 2);
	assert_string_equal(items[0].path, "/f");
	assert_string_equal(items[0].user, "");
	assert_int_equal(items[0].mode, 0640);
	assert_int_equal(items[0].length, 3);
	assert_memory_equal(items[0].content, "a\0b", 3);
	assert_false(items[0].is_secret);
	assert_string_equal(items[1].path, "key");
	assert_string_equal(items[1].user, "app");
	assert_int_equal(items[1].mode, 0400);
	assert_int_equal(items[1].length, 0);
	assert_true(items[1].is_secret);
	assert_string_equal(config.ulimits.items[0], "nofile=1:2");
	assert_string_equal(config.sysctls.items[0], "a.b=c d");
	config_forget_files(&config);
	assert_int_equal(config.files.count, 0);
	config_reset(&config);
}

static void load_image(struct config *image)
{
	_cleanup_strbuf_ struct strbuf in = { 0 };

	add_text(&in, CONFIG_ENTRYPOINT, "entry");
	add_text(&in, CONFIG_COMMAND, "one");
	add_text(&in, CONFIG_COMMAND, "");
	add_text(&in, CONFIG_ENVIRONMENT, "A=image");
	add_text(&in, CONFIG_ENVIRONMENT, "B=image");
	add_text(&in, CONFIG_USER, "app");
	add_text(&in, CONFIG_WORKING_DIR, "/srv");
	add_text(&in, CONFIG_VERITY, "1 2 sha256 a b");
	parse(image, &in, CONFIG_FROM_IMAGE);
}

static void test_image_alone(void **state)
{
	struct config config = { 0 }, image = { 0 };

	(void)state;
	load_image(&image);
	config_merge(&config, &image);
	assert_int_equal(config.entrypoint.count, 1);
	assert_int_equal(config.command.count, 2);
	assert_string_equal(config.command.items[1], "");
	assert_string_equal(config.user, "app");
	assert_string_equal(config.working_dir, "/srv");
	assert_null(config.stop_signal);
	assert_string_equal(config.verity, "1 2 sha256 a b");
	assert_false(config.verify);
	config_reset(&config);
	config_reset(&image);
}

/* Each row: what the manifest sets, and the words that run. */
static void test_compose_rules(void **state)
{
	static const struct {
		bool has_entrypoint, has_command;
		const char *entrypoint, *command;
		const char *want;
	} rows[] = {
		{ false, false, NULL, NULL, "entry one  " },
		{ false, true, NULL, "mine", "entry mine " },
		{ false, true, NULL, NULL, "entry " },
		{ true, false, "other", NULL, "other " },
		{ true, true, "other", "mine", "other mine " },
		{ true, false, NULL, NULL, "" },
		{ true, true, NULL, "mine", "mine " },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		_cleanup_strbuf_ struct strbuf in = { 0 }, got = { 0 };
		struct config config = { 0 }, image = { 0 };

		load_image(&image);
		if (rows[i].has_entrypoint)
			add(&in, CONFIG_HAS_ENTRYPOINT, NULL, 0);
		if (rows[i].entrypoint)
			add_text(&in, CONFIG_ENTRYPOINT, rows[i].entrypoint);
		if (rows[i].has_command)
			add(&in, CONFIG_HAS_COMMAND, NULL, 0);
		if (rows[i].command)
			add_text(&in, CONFIG_COMMAND, rows[i].command);
		if (in.length)
			parse(&config, &in, CONFIG_FROM_MANIFEST);
		config_merge(&config, &image);
		for (size_t k = 0; k < config.entrypoint.count; k++)
			strbuf_printf(&got, "%s ", config.entrypoint.items[k]);
		for (size_t k = 0; k < config.command.count; k++)
			strbuf_printf(&got, "%s ", config.command.items[k]);
		assert_string_equal(strbuf_text(&got), rows[i].want);
		config_reset(&config);
		config_reset(&image);
	}
}

static void test_environment(void **state)
{
	_cleanup_strbuf_ struct strbuf in = { 0 };
	struct config config = { 0 }, image = { 0 };

	(void)state;
	load_image(&image);
	add_text(&in, CONFIG_ENVIRONMENT, "B=manifest=x");
	add_text(&in, CONFIG_ENVIRONMENT, "C=");
	add_text(&in, CONFIG_USER, "0");
	parse(&config, &in, CONFIG_FROM_MANIFEST);
	config_merge(&config, &image);
	assert_int_equal(config.environment.count, 3);
	assert_null(config.environment.items[3]);
	assert_string_equal(config_environment(&config.environment, "A"), "image");
	assert_string_equal(config_environment(&config.environment, "B"), "manifest=x");
	assert_string_equal(config_environment(&config.environment, "C"), "");
	assert_null(config_environment(&config.environment, "D"));
	assert_string_equal(config.user, "0");
	config_reset(&config);
	config_reset(&image);
}

static void test_signals(void **state)
{
	static const struct {
		const char *text;
		int number;
	} rows[] = {
		{ "SIGTERM", 15 }, { "TERM", 15 },	 { "15", 15 },	       { "SIGQUIT", 3 },
		{ "WINCH", 28 },   { "SIGRTMIN+3", 37 }, { "RTMIN", 34 },      { "RTMAX-1", 63 },
		{ "0", 0 },	   { "65", 0 },		 { "SIG15", 0 },       { "", 0 },
		{ "SIG", 0 },	   { "term", 0 },	 { "RTMIN+31", 0 },    { "RTMIN-1", 0 },
		{ "+5", 0 },	   { "5x", 0 },		 { "SIGRTMIN+3x", 0 }, { "SIGSIGTERM", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_int_equal(config_signal(rows[i].text), rows[i].number);
}

static void test_hosts(void **state)
{
	char *address = "10.0.0.1", *host = "192.0.2.1 other";
	struct config config = { .hostname = "web",
				 .addresses = { &address, 1 },
				 .hosts = { &host, 1 },
				 .peers = "10.0.0.2 db" };
	char *first, *again;

	(void)state;
	first = names_hosts_text("1.2.3.4 old", &config);
	assert_string_equal(first, BLOCK_BEGIN
			    "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
			    "10.0.0.1 web\n192.0.2.1 other\n10.0.0.2 db\n" BLOCK_END
			    "1.2.3.4 old\n");
	/* A second time the block is replaced, not added. */
	config.peers = NULL;
	again = names_hosts_text(first, &config);
	assert_null(strstr(again, " db\n"));
	assert_non_null(strstr(again, BLOCK_END "1.2.3.4 old\n"));
	assert_null(strstr(strstr(again, BLOCK_BEGIN) + 1, BLOCK_BEGIN));
	free(first);
	free(again);
}

/* Only the kernel's own word counts: what a process writes to /dev/kmsg has another facility. */
static void test_damage(void **state)
{
	static const struct {
		const char *record, *message;
	} cases[] = {
		{ "3,301,90,-;device-mapper: verity: 254:0: data block 7 is corrupted\n "
		  "SUBSYSTEM=x\n",
		  "the image is damaged: data block 7 is not what its hash says" },
		{ "3,301,90,-;device-mapper: verity: 254:0: metadata block 9 is corrupted\n",
		  "the image is damaged: metadata block 9 is not what its hash says" },
		{ "11,301,90,-;device-mapper: verity: 254:0: data block 7 is corrupted\n", NULL },
		{ "3,301,90,-;device-mapper: verity: 254:0: reached maximum errors\n", NULL },
		{ "3,301,90,-;something else is corrupted\n", NULL },
		{ "3,301,90,-;x device-mapper: verity: 254:0: data block 7 is corrupted\n", NULL },
		{ "3;device-mapper: verity:  is corrupted", NULL },
		{ " is corrupted", NULL },
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct failure why = { "" };
		bool found = verity_is_damage(cases[i].record, strlen(cases[i].record), &why);

		assert_int_equal(found, cases[i].message != NULL);
		assert_string_equal(why.text, found ? cases[i].message : "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals),      cmocka_unit_test(test_cut_short),
		cmocka_unit_test(test_files),	      cmocka_unit_test(test_image_alone),
		cmocka_unit_test(test_compose_rules), cmocka_unit_test(test_environment),
		cmocka_unit_test(test_signals),	      cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
