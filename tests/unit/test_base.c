/* SPDX-License-Identifier: Apache-2.0 */
/* base/: text buffers, lists, messages, files and trees, typed JSON. Real files, in a new
 * directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/strbuf.h"
#include "base/strv.h"

static char dir[64];

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/stoker-base-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return fs_remove_tree(dir, NULL);
}

/* A path in the test's directory; two at a time. */
static const char *in_dir(const char *name)
{
	static char paths[2][256];
	static unsigned turn;
	char *path = paths[turn++ % 2];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static void put(const char *path, const char *text)
{
	_cleanup_fclose_ FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
}

/* --- strbuf, strv ------------------------------------------------------------------------------
 */

static void test_strbuf(void **state)
{
	_cleanup_strbuf_ struct strbuf buf = { 0 };
	char *taken;

	(void)state;
	assert_string_equal(strbuf_text(&buf), "");
	strbuf_consume(&buf, 5);
	strbuf_add(&buf, NULL, 0);
	assert_int_equal(buf.length, 0);
	strbuf_puts(&buf, "ab");
	strbuf_putc(&buf, 'c');
	strbuf_printf(&buf, "%d%%", 7);
	assert_string_equal(strbuf_text(&buf), "abc7%");
	strbuf_add(&buf, "\0x", 2);
	assert_int_equal(buf.length, 7);
	strbuf_consume(&buf, 6);
	assert_string_equal(strbuf_text(&buf), "x");
	strbuf_consume(&buf, 99);
	assert_int_equal(buf.length, 0);
	assert_string_equal(strbuf_text(&buf), "");
	taken = strbuf_take(&buf);
	assert_string_equal(taken, "");
	free(taken);
	assert_null(buf.data);
	taken = strbuf_take(&buf);
	assert_string_equal(taken, "");
	free(taken);
}

static void test_strbuf_grows(void **state)
{
	_cleanup_strbuf_ struct strbuf buf = { 0 };

	(void)state;
	/* Around every power of two, where one byte too few would show. */
	for (size_t i = 0; i < 5000; i++) {
		strbuf_putc(&buf, (char)('a' + i % 26));
		assert_int_equal(buf.data[buf.length], '\0');
		assert_true(buf.capacity > buf.length);
	}
	assert_int_equal(strlen(buf.data), 5000);
	assert_int_equal(buf.data[4999], 'a' + 4999 % 26);
}

static void test_strv(void **state)
{
	_cleanup_strv_ struct strv a = { 0 }, b = { 0 };
	size_t seen = 0;

	(void)state;
	STRV_EACH (text, &a)
		fail_msg("an empty list has '%s'", text);
	assert_true(strv_equal(&a, &b));
	strv_add(&a, "one");
	strv_addf(&a, "t%s", "wo");
	strv_add_taken(&a, xstrdup("three"));
	assert_null(a.items[3]);
	STRV_EACH (text, &a)
		seen += strlen(text);
	assert_int_equal(seen, 11);
	assert_true(strv_contains(&a, "two"));
	assert_false(strv_contains(&a, "tw"));
	strv_add(&b, "gone");
	strv_copy(&b, &a);
	assert_true(strv_equal(&a, &b));
	strv_add(&b, "four");
	assert_false(strv_equal(&a, &b));
	strv_reset(&a);
	assert_int_equal(a.count, 0);
	strv_copy(&b, &a);
	assert_int_equal(b.count, 0);
}

/* --- error -------------------------------------------------------------------------------------
 */

static void test_error(void **state)
{
	struct error err = { 0 };

	(void)state;
	assert_int_equal(error_set(NULL, "nobody"), -1);
	assert_int_equal(error_errno(NULL, ENOENT, "nobody"), -1);
	assert_int_equal(error_wrap(NULL, "nobody"), -1);

	assert_int_equal(error_errno(&err, ENOENT, "%s", "a/b"), -1);
	assert_string_equal(err.text, "a/b: No such file or directory");
	assert_int_equal(err.number, ENOENT);
	assert_int_equal(error_wrap(&err, "vm '%s'", "x"), -1);
	assert_string_equal(err.text, "vm 'x': a/b: No such file or directory");
	assert_int_equal(err.number, ENOENT);
	error_set(&err, "plain");
	assert_int_equal(err.number, 0);
}

static void test_error_stays_one_printable_line(void **state)
{
	struct error err;
	char longest[3 * ERROR_TEXT_MAX];

	(void)state;
	error_set(&err, "a\nb\033[31m\x7f");
	assert_string_equal(err.text, "a?b?[31m?");

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	error_set(&err, "%s", longest);
	assert_int_equal(strlen(err.text), ERROR_TEXT_MAX - 1);
	assert_string_equal(err.text + ERROR_TEXT_MAX - 4, "...");
	error_wrap(&err, "%s", longest);
	assert_int_equal(strlen(err.text), ERROR_TEXT_MAX - 1);
	assert_string_equal(err.text + ERROR_TEXT_MAX - 4, "...");
}

/* --- fs ----------------------------------------------------------------------------------------
 */

static void test_fs_read(void **state)
{
	_cleanup_strbuf_ struct strbuf text = { 0 };
	struct error err = { 0 };
	const char *path = in_dir("file");
	char expected[256];

	(void)state;
	put(path, "12345");
	assert_int_equal(fs_read(path, 5, &text, NULL), 0);
	assert_string_equal(strbuf_text(&text), "12345");
	assert_int_equal(fs_read(path, 4, &text, &err), -1);
	snprintf(expected, sizeof(expected), "%s: larger than the 4 bytes allowed", path);
	assert_string_equal(err.text, expected);
	assert_string_equal(strbuf_text(&text), "12345");

	put(path, "");
	assert_int_equal(fs_read(path, 0, &text, NULL), 0);
	assert_int_equal(text.length, 0);

	/* A /proc file says that it has no bytes. */
	assert_int_equal(fs_read("/proc/self/stat", 4096, &text, NULL), 0);
	assert_true(text.length > 0);

	assert_int_equal(fs_read(in_dir("none"), 4, &text, &err), -1);
	assert_int_equal(err.number, ENOENT);
	assert_int_equal(fs_read(dir, 4096, &text, &err), -1);
	assert_int_equal(err.number, EISDIR);
}

static void test_fs_write_value(void **state)
{
	_cleanup_strbuf_ struct strbuf text = { 0 };
	const char *path = in_dir("value");
	struct error err = { 0 };

	(void)state;
	assert_int_equal(fs_write_value(path, "1", &err), -1);
	assert_int_equal(err.number, ENOENT);
	put(path, "");
	assert_int_equal(fs_write_value(path, "max", NULL), 0);
	assert_int_equal(fs_read(path, 10, &text, NULL), 0);
	assert_string_equal(strbuf_text(&text), "max");
	assert_int_equal(fs_write_value("/dev/full", "1", &err), -1);
	assert_int_equal(err.number, ENOSPC);
}

static void test_fs_write_atomic(void **state)
{
	_cleanup_strbuf_ struct strbuf text = { 0 };
	const char *path = in_dir("state");
	struct error err = { 0 };
	struct stat st;
	mode_t mask = umask(077);

	(void)state;
	assert_int_equal(fs_write_atomic(path, "old", 3, 0644, NULL), 0);
	umask(mask);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(fs_write_atomic(path, "new", 3, 0600, NULL), 0);
	assert_int_equal(fs_read(path, 10, &text, NULL), 0);
	assert_string_equal(strbuf_text(&text), "new");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(fs_write_atomic("/nonexistent/x", "", 0, 0600, &err), -1);
	assert_int_equal(err.number, ENOENT);

	/* Nothing is left beside the file, whatever happened. */
	assert_int_equal(mkdir(in_dir("taken"), 0700), 0);
	assert_int_equal(fs_write_atomic(in_dir("taken"), "x", 1, 0600, &err), -1);
	assert_int_equal(access(in_dir("taken.new"), F_OK), -1);
	assert_int_equal(access(in_dir("state.new"), F_OK), -1);
}

static void test_fs_write_atomic_follows_no_link(void **state)
{
	_cleanup_strbuf_ struct strbuf text = { 0 };

	(void)state;
	put(in_dir("victim"), "untouched");
	assert_int_equal(symlink(in_dir("victim"), in_dir("f.new")), 0);
	fs_write_atomic(in_dir("f"), "evil", 4, 0600, NULL);
	assert_int_equal(fs_read(in_dir("victim"), 100, &text, NULL), 0);
	assert_string_equal(strbuf_text(&text), "untouched");
}

static void test_fs_mkdir_p(void **state)
{
	struct error err = { 0 };
	struct stat st;
	mode_t mask = umask(022);

	(void)state;
	assert_int_equal(fs_mkdir_p(in_dir("a/b/c"), 0700, NULL), 0);
	umask(mask);
	assert_int_equal(stat(in_dir("a/b/c"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat(in_dir("a/b"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(fs_mkdir_p(in_dir("a/b/c"), 0755, NULL), 0);
	assert_int_equal(stat(in_dir("a/b/c"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(fs_mkdir_p("/", 0755, NULL), 0);

	put(in_dir("file"), "");
	assert_int_equal(fs_mkdir_p(in_dir("file/x"), 0755, &err), -1);
	assert_non_null(strstr(err.text, "/file: is in the way of a directory (move it)"));
	assert_int_equal(fs_mkdir_p("", 0755, &err), -1);
	assert_int_equal(err.number, ENOENT);
}

static void test_fs_mkdir_p_with_a_slash_at_the_end(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(fs_mkdir_p(in_dir("a/b/"), 0700, NULL), 0);
	assert_int_equal(stat(in_dir("a/b"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
}

static void test_fs_remove_tree(void **state)
{
	(void)state;
	assert_int_equal(fs_remove_tree(in_dir("missing"), NULL), 0);
	put(in_dir("kept"), "x");
	fs_mkdir_p(in_dir("tree/deep/er"), 0700, NULL);
	put(in_dir("tree/file"), "x");
	put(in_dir("tree/deep/er/file"), "x");
	assert_int_equal(symlink(in_dir("kept"), in_dir("tree/link")), 0);
	assert_int_equal(symlink("..", in_dir("tree/deep/up")), 0);
	assert_int_equal(mkfifo(in_dir("tree/fifo"), 0600), 0);
	assert_int_equal(chmod(in_dir("tree/deep/er"), 0700), 0);
	assert_int_equal(fs_remove_tree(in_dir("tree"), NULL), 0);
	assert_int_equal(access(in_dir("tree"), F_OK), -1);
	assert_int_equal(access(in_dir("kept"), F_OK), 0);

	/* A file, and a link to a directory: they go, what they point to does not. */
	fs_mkdir_p(in_dir("real/inside"), 0700, NULL);
	assert_int_equal(symlink(in_dir("real"), in_dir("link")), 0);
	assert_int_equal(fs_remove_tree(in_dir("link"), NULL), 0);
	assert_int_equal(access(in_dir("real/inside"), F_OK), 0);
	assert_int_equal(fs_remove_tree(in_dir("kept"), NULL), 0);
	assert_int_equal(access(in_dir("kept"), F_OK), -1);
}

/* --- json --------------------------------------------------------------------------------------
 */

static int parse(const char *text, json_t **ret, struct error *err)
{
	return json_parse(text, strlen(text), "doc", ret, err);
}

static void test_json_parse(void **state)
{
	static const char *const bad[] = {
		"", "{", "{} {}", "{\"a\":1,\"a\":2}", "[1,]", "{\"a\":\"\xff\"}", "nothing"
	};
	struct error err = { 0 };
	json_t *value = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(parse(bad[i], &value, &err), -1);
		assert_non_null(strstr(err.text, "not valid JSON"));
		assert_null(value);
	}
	assert_int_equal(parse("{\n \"a\": x}", &value, &err), -1);
	assert_memory_equal(err.text, "doc:2:", 6);
	/* Bytes beyond the length do not count. */
	assert_int_equal(json_parse("12", 1, "doc", &value, NULL), 0);
	assert_int_equal(json_integer_value(value), 1);
	json_decref(value);
}

static void test_json_members(void **state)
{
	_cleanup_json_ json_t *object = NULL;
	_cleanup_strv_ struct strv list = { 0 };
	struct error err = { 0 };
	const char *text = "before";
	uint64_t number = 9;
	bool yes = false;

	(void)state;
	assert_int_equal(parse("{\"s\":\"t\",\"n\":7,\"neg\":-1,\"f\":1.0,\"b\":true,"
			       "\"l\":[\"x\",\"y\"],\"bad\":[\"x\",1],\"null\":null}",
			       &object, NULL),
			 0);
	assert_int_equal(json_get_string(object, "s", &text, NULL), 0);
	assert_string_equal(text, "t");
	assert_int_equal(json_get_string(object, "n", &text, &err), -1);
	assert_string_equal(err.text, "'n' is not a string");
	assert_int_equal(json_get_u64(object, "n", &number, NULL), 0);
	assert_int_equal(number, 7);
	assert_int_equal(json_get_u64(object, "neg", &number, &err), -1);
	assert_string_equal(err.text, "'neg' is not a whole number of 0 or more");
	assert_int_equal(json_get_u64(object, "f", &number, &err), -1);
	assert_int_equal(number, 7);
	assert_int_equal(json_get_bool(object, "b", &yes, NULL), 0);
	assert_true(yes);
	assert_int_equal(json_get_bool(object, "n", &yes, &err), -1);
	assert_string_equal(err.text, "'n' is not true or false");
	assert_int_equal(json_get_strv(object, "l", &list, NULL), 0);
	assert_int_equal(list.count, 2);
	assert_int_equal(json_get_strv(object, "bad", &list, &err), -1);
	assert_int_equal(list.count, 2);
	assert_int_equal(json_get_string(object, "none", &text, &err), -1);
	assert_string_equal(err.text, "'none' is missing");
	assert_int_equal(json_get_string(NULL, "s", &text, &err), -1);

	assert_string_equal(json_string_or(object, "none", "else"), "else");
	assert_string_equal(json_string_or(object, "null", "else"), "else");
	assert_string_equal(json_string_or(object, "s", "else"), "t");
	assert_int_equal(json_u64_or(object, "neg", 5), 5);
	assert_int_equal(json_u64_or(object, "null", 5), 5);
	assert_true(json_bool_or(object, "null", true));
	assert_true(json_bool_or(object, "b", false));
}

static void test_json_line(void **state)
{
	_cleanup_strv_ struct strv list = { 0 };
	_cleanup_json_ json_t *value = json_object();
	_cleanup_free_ char *line = NULL;

	(void)state;
	strv_add(&list, "a\nb");
	json_object_set_new(value, "z", json_integer(1));
	json_object_set_new(value, "a", json_from_strv(&list));
	line = json_line(value);
	assert_string_equal(line, "{\"z\":1,\"a\":[\"a\\nb\"]}");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strbuf),
		cmocka_unit_test(test_strbuf_grows),
		cmocka_unit_test(test_strv),
		cmocka_unit_test(test_error),
		cmocka_unit_test(test_error_stays_one_printable_line),
		TEST(test_fs_read),
		TEST(test_fs_write_value),
		TEST(test_fs_write_atomic),
		TEST(test_fs_write_atomic_follows_no_link),
		TEST(test_fs_mkdir_p),
		TEST(test_fs_mkdir_p_with_a_slash_at_the_end),
		TEST(test_fs_remove_tree),
		cmocka_unit_test(test_json_parse),
		cmocka_unit_test(test_json_members),
		cmocka_unit_test(test_json_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
