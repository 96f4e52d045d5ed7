/* SPDX-License-Identifier: Apache-2.0 */
/* One table per parser of config/scalar: what it reads, and the exact words of what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "config/scalar.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

static void test_size(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
		const char *printed;
	} good[] = {
		{ "0B", 0, "0B" },
		{ "1B", 1, "1B" },
		{ "4K", 4096, "4KiB" },
		{ "4KiB", 4096, "4KiB" },
		{ "256MiB", 268435456, "256MiB" },
		{ "1024M", 1073741824, "1GiB" },
		{ "1536MiB", 1610612736, "1536MiB" },
		{ "2G", 2147483648, "2GiB" },
		{ "3TiB", 3298534883328, "3TiB" },
		{ "8388607T", 9223370937343148032U, "8388607TiB" },
	};
	static const char *const bad[][2] = {
		{ "", "'' is not a size (write a whole number and a unit: 256MiB)" },
		{ "MiB", "'MiB' is not a size (write a whole number and a unit: 256MiB)" },
		{ "-1K", "'-1K' is not a size (write a whole number and a unit: 256MiB)" },
		{ " 1K", "' 1K' is not a size (write a whole number and a unit: 256MiB)" },
		{ "256", "'256' has no unit (write 256MiB, or 256B for bytes)" },
		{ "256mb", "'256mb' has an unknown unit (write 256MiB)" },
		{ "1gib", "'1gib' has an unknown unit (write 1GiB)" },
		{ "1 G", "'1 G' is not a size (write a whole number and B, KiB, MiB, GiB or TiB)" },
		{ "8388608T", "'8388608T' is too large" },
		{ "18446744073709551616B",
		  "'18446744073709551616B' is not a size (write a whole number and a unit: "
		  "256MiB)" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		_cleanup_strbuf_ struct strbuf printed = { 0 };
		uint64_t bytes = 1, again = 2;

		assert_int_equal(scalar_size(good[i].text, &bytes, NULL), 0);
		assert_true(bytes == good[i].bytes);
		scalar_print_size(bytes, &printed);
		assert_string_equal(strbuf_text(&printed), good[i].printed);
		assert_int_equal(scalar_size(strbuf_text(&printed), &again, NULL), 0);
		assert_true(again == bytes);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		uint64_t bytes = 77;
		struct error err;

		assert_int_equal(scalar_size(bad[i][0], &bytes, &err), -1);
		assert_string_equal(err.text, bad[i][1]);
		assert_true(bytes == 77);
	}
}

static void test_bits(void **state)
{
	static const struct {
		const char *text;
		uint64_t bits;
		const char *printed;
	} good[] = {
		{ "0bit", 0, "0bit" },
		{ "7bit", 7, "7bit" },
		{ "64kbit", 64000, "64kbit" },
		{ "1500kbit", 1500000, "1500kbit" },
		{ "1000kbit", 1000000, "1Mbit" },
		{ "100Gbit", 100000000000, "100Gbit" },
		{ "2000Gbit", 2000000000000, "2000Gbit" },
	};
	static const char *const bad[][2] = {
		{ "", "'' is not a bit rate (write a whole number and a unit: 100Mbit)" },
		{ "-1Mbit",
		  "'-1Mbit' is not a bit rate (write a whole number and a unit: 100Mbit)" },
		{ "100", "'100' has no unit (write 100Mbit, or 100bit for bits)" },
		{ "1MBIT", "'1MBIT' has an unknown unit (write 1Mbit)" },
		{ "1Kb", "'1Kb' has an unknown unit (write 1kbit)" },
		{ "1g", "'1g' has an unknown unit (write 1Gbit)" },
		{ "1MiB",
		  "'1MiB' is not a bit rate (write a whole number and bit, kbit, Mbit or Gbit)" },
		{ "18446744074Gbit", "'18446744074Gbit' is too large" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		_cleanup_strbuf_ struct strbuf printed = { 0 };
		uint64_t bits = 1;

		assert_int_equal(scalar_bits(good[i].text, &bits, NULL), 0);
		assert_true(bits == good[i].bits);
		scalar_print_bits(bits, &printed);
		assert_string_equal(strbuf_text(&printed), good[i].printed);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		uint64_t bits = 77;
		struct error err;

		assert_int_equal(scalar_bits(bad[i][0], &bits, &err), -1);
		assert_string_equal(err.text, bad[i][1]);
		assert_true(bits == 77);
	}
}

static void test_duration(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} good[] = {
		{ "0s", 0 },	    { "1ms", 1 },	  { "500ms", 500 },
		{ "10s", 10000 },   { "1m30s", 90000 },	  { "1h", 3600000 },
		{ "90m", 5400000 }, { "1h1ms", 3600001 }, { "2h3m4s5ms", 7384005 },
		{ "1m1ms", 60001 },
	};
	static const char *const bad[] = {
		"",   "s",  "10",   "10 s", "1.5s", "-1s",   "1s1m", "1s1s", "1ms1s",
		"1d", "1S", "1mss", "1m5",  "+1s",  "5000h", "1sec", "1s ",  "99999999999999999999s"
	};

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		uint64_t ms = 1;

		assert_int_equal(scalar_duration(good[i].text, &ms, NULL), 0);
		assert_true(ms == good[i].ms);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		uint64_t ms = 77;

		assert_int_equal(scalar_duration(bad[i], &ms, NULL), -1);
		assert_true(ms == 77);
	}
}

static void test_u64(void **state)
{
	static const char *const bad[] = { "",	  "-1",	 "+1", " 1",  "1 ",
					   "0x1", "1e3", "4",  "101", "18446744073709551616" };
	uint64_t value = 0;

	(void)state;
	assert_int_equal(scalar_u64("5", 5, 100, &value, NULL), 0);
	assert_true(value == 5);
	assert_int_equal(scalar_u64("100", 5, 100, &value, NULL), 0);
	assert_int_equal(scalar_u64("18446744073709551615", 0, UINT64_MAX, &value, NULL), 0);
	assert_true(value == UINT64_MAX);
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(scalar_u64(bad[i], 5, 100, &value, NULL), -1);
	assert_true(value == UINT64_MAX);
}

typedef int (*checker)(const char *text, struct error *err);

static int check_hostname(const char *text, struct error *err)
{
	return scalar_hostname(text, 63, err);
}

static int check_bool(const char *text, struct error *err)
{
	bool value;

	return scalar_bool(text, &value, err);
}

static void check_all(checker check, const char *const *words, int expected)
{
	for (; *words; words++)
		if (check(*words, NULL) != expected)
			fail_msg("'%s' should be %s", *words, expected ? "refused" : "accepted");
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void test_words_of_a_kind(void **state)
{
	(void)state;
	check_all(scalar_name, WORDS("a", "0", "a-b", "web2", "a2345678901234567890123456789012"),
		  0);
	check_all(scalar_name,
		  WORDS("", "-", "-a", "a-", "A", "a.b", "a_b", "a/b", "\xc3\xa4",
			"a23456789012345678901234567890123"),
		  -1);
	check_all(check_hostname, WORDS("web", "Web-1", "a.b.c", "1"), 0);
	check_all(check_hostname, WORDS("", ".", "a.", ".a", "a..b", "-a", "a_b", "a b"), -1);
	check_all(scalar_path, WORDS("/", "/a", "/a/b.c/..d", "//a"), 0);
	check_all(scalar_path, WORDS("", "a", "./a", "/a/..", "/./a", "/a/../b", "/a\nb"), -1);
	check_all(scalar_user, WORDS("root", "1000", "www-data:www-data", "0:0", "a.b_c"), 0);
	check_all(scalar_user, WORDS("", ":", "a:", ":a", "a:b:c", "a b", "a/b"), -1);
	check_all(scalar_registry, WORDS("docker.io", "localhost:5000", "10.0.0.1:443", "oci"), 0);
	check_all(scalar_registry,
		  WORDS("", "Docker.io", "http://a", "a:0", "a:65536", "a:", "a/b", "a:5:5"), -1);
	check_all(check_bool, WORDS("true", "false"), 0);
	check_all(check_bool, WORDS("", "yes", "no", "True", "1", "true "), -1);
}

static void test_restart(void **state)
{
	uint32_t policy = 9, limit = 9;

	(void)state;
	assert_int_equal(scalar_restart("always", &policy, &limit, NULL), 0);
	assert_int_equal(policy, RESTART_ALWAYS);
	assert_int_equal(limit, 0);
	assert_int_equal(scalar_restart("on-failure:7", &policy, &limit, NULL), 0);
	assert_int_equal(policy, RESTART_ON_FAILURE);
	assert_int_equal(limit, 7);
	assert_int_equal(scalar_restart("no", &policy, &limit, NULL), 0);
	assert_int_equal(policy, RESTART_NO);
	assert_int_equal(limit, 0);
	assert_int_equal(scalar_restart("on-failure:", &policy, &limit, NULL), -1);
	assert_int_equal(scalar_restart("on-failure:0", &policy, &limit, NULL), -1);
	assert_int_equal(scalar_restart("No", &policy, &limit, NULL), -1);
}

static void test_signal(void **state)
{
	static const char *const good[][2] = {
		{ "SIGTERM", "SIGTERM" }, { "TERM", "SIGTERM" }, { "sigterm", "SIGTERM" },
		{ "15", "SIGTERM" },	  { "quit", "SIGQUIT" }, { "9", "SIGKILL" },
		{ "SIGRTMIN+3", "37" },	  { "RTMIN", "34" },	 { "RTMAX", "64" },
		{ "SIGRTMAX-1", "63" },	  { "37", "37" },	 { "USR1", "SIGUSR1" },
	};
	static const char *const bad[] = { "",	  "SIG",     "0",	 "65",	   "32",
					   "FOO", "RTMIN-1", "RTMIN+31", "RTMINX", "-15" };

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		_cleanup_free_ char *name = NULL;

		assert_int_equal(scalar_signal(good[i][0], &name, NULL), 0);
		assert_string_equal(name, good[i][1]);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		char *name = NULL;

		assert_int_equal(scalar_signal(bad[i], &name, NULL), -1);
		assert_null(name);
	}
}

static void test_words(void **state)
{
	static const struct {
		const char *text;
		const char *words[6];
	} good[] = {
		{ "", { NULL } },
		{ "  \t ", { NULL } },
		{ "a b  c", { "a", "b", "c" } },
		{ "'a b' c", { "a b", "c" } },
		{ "a'b'\"c\"d", { "abcd" } },
		{ "\"\" ''", { "", "" } },
		{ "a\\ b \\\\", { "a b", "\\" } },
		{ "\"a\\\"b\\n\"", { "a\"b\\n" } },
		{ "'a\\'", { "a\\" } },
		{ "\"$HOME `x` \\$\"", { "$HOME `x` $" } },
		{ "sh -c 'exec x | y > z'", { "sh", "-c", "exec x | y > z" } },
		{ "a\nb", { "a", "b" } },
	};
	static const char *const bad[] = { "'a", "\"a", "a\\", "\"a\\\"", "a 'b \"c\"" };

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		_cleanup_strv_ struct strv words = { 0 };
		size_t count = 0;

		assert_int_equal(scalar_words(good[i].text, &words, NULL), 0);
		for (; good[i].words[count]; count++) {
			assert_true(count < words.count);
			assert_string_equal(words.items[count], good[i].words[count]);
		}
		assert_int_equal(words.count, count);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct strv words = { 0 };

		assert_int_equal(scalar_words(bad[i], &words, NULL), -1);
		assert_int_equal(words.count, 0);
	}
}

static void test_utf8(void **state)
{
	static const struct {
		const char *text;
		size_t good;
	} cases[] = {
		{ "", 0 },
		{ "plain", 5 },
		{ "\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\xa5", 9 },
		{ "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf", 10 },
		{ "a\xff", 1 },
		{ "a\x80", 1 },
		{ "a\xc3", 1 },
		{ "a\xe2\x82", 1 },
		{ "a\xe2\x82-", 1 },
		{ "a\xc0\xaf", 1 },	    /* overlong */
		{ "a\xe0\x9f\xbf", 1 },	    /* overlong */
		{ "a\xf0\x8f\xbf\xbf", 1 }, /* overlong */
		{ "a\xed\xa0\x80", 1 },	    /* half of a surrogate pair */
		{ "a\xf4\x90\x80\x80", 1 }, /* beyond U+10FFFF */
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_int_equal(scalar_utf8(cases[i].text, strlen(cases[i].text)), cases[i].good);
}

static void test_nearest(void **state)
{
	static const char *const words[] = { "image", "memory", "cpus", "disk", "command", NULL };

	(void)state;
	assert_string_equal(scalar_nearest("imgae", words), "image");
	assert_string_equal(scalar_nearest("memroy", words), "memory");
	assert_string_equal(scalar_nearest("cpu", words), "cpus");
	assert_string_equal(scalar_nearest("comand", words), "command");
	assert_null(scalar_nearest("ports", words));
	assert_null(scalar_nearest("", words));
	assert_null(scalar_nearest("a-very-long-key-that-is-longer-than-all", words));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_bits),
		cmocka_unit_test(test_duration),
		cmocka_unit_test(test_u64),
		cmocka_unit_test(test_words_of_a_kind),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_signal),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
