/* SPDX-License-Identifier: Apache-2.0 */
/* control/tail: where it begins, and that rotation loses nothing without saying so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "control/tail.h"

static char dir[64];
static char path[128];

static const char *numbered(unsigned index)
{
	static char names[2][160];
	char *name = names[index % 2];

	snprintf(name, sizeof(names[0]), index ? "%s.%u" : "%s", path, index);
	return name;
}

static void put(unsigned index, const char *text)
{
	int fd = open(numbered(index), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fs_write_all(fd, text, strlen(text), NULL), 0);
	close(fd);
}

/* As instance/logfile does: FILE.1 -> FILE.2, FILE -> FILE.1; the oldest of `keep` files goes. */
static void rotate(unsigned keep)
{
	unlink(numbered(keep - 1));
	for (unsigned i = keep - 1; i > 0; i--)
		rename(numbered(i - 1), numbered(i));
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/stoker-tail-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/vm.log", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return fs_remove_tree(dir, NULL);
}

static struct tail *open_tail(uint64_t lines)
{
	struct tail *tail = NULL;

	assert_int_equal(tail_open(path, lines, &tail, NULL), 0);
	return tail;
}

/* Everything there is now; "<gap>" where tail_read says so. */
static const char *drain(struct tail *tail, bool at_end)
{
	static struct strbuf text;
	const char *bytes;
	int n;

	strbuf_reset(&text);
	while ((n = tail_read(tail, at_end, &bytes)) != 0) {
		if (n == TAIL_GAP)
			strbuf_puts(&text, "<gap>");
		else
			strbuf_add(&text, bytes, (size_t)n);
	}
	return strbuf_text(&text);
}

static void check_start(uint64_t lines, const char *expected)
{
	struct tail *tail = open_tail(lines);

	assert_string_equal(drain(tail, true), expected);
	tail_close(tail);
}

static void test_last_lines(void **state)
{
	(void)state;
	put(0, "1\n2\n3\n");
	check_start(1, "3\n");
	check_start(2, "2\n3\n");
	check_start(3, "1\n2\n3\n");
	check_start(99, "1\n2\n3\n");
	check_start(0, "1\n2\n3\n");
	put(0, "4 has no end");
	check_start(1, "4 has no end");
	check_start(2, "3\n4 has no end");
}

static void test_last_lines_across_files(void **state)
{
	(void)state;
	put(2, "1\n2\n");
	put(1, "3\n4\n");
	put(0, "5\n");
	check_start(1, "5\n");
	check_start(2, "4\n5\n");
	check_start(4, "2\n3\n4\n5\n");
	check_start(99, "1\n2\n3\n4\n5\n");
	check_start(0, "1\n2\n3\n4\n5\n");
}

static void test_blank_lines_and_empty_files(void **state)
{
	(void)state;
	put(0, "");
	check_start(5, "");
	put(1, "1\n\n");
	check_start(1, "\n");
	put(0, "\n\n");
	check_start(2, "\n\n");
	check_start(3, "\n\n\n");
}

static void test_lines_longer_than_a_chunk(void **state)
{
	char *line = calloc(1, 100100);

	(void)state;
	memset(line, 'x', 100000);
	line[100000] = '\n';
	put(0, "first\n");
	put(0, line);
	put(0, "last\n");
	check_start(1, "last\n");
	strcat(line, "last\n");
	check_start(2, line);
	free(line);
}

static void test_follow_gives_whole_lines(void **state)
{
	struct tail *tail = open_tail(1);

	(void)state;
	assert_string_equal(drain(tail, false), "");
	put(0, "begun");
	assert_string_equal(drain(tail, false), "");
	put(0, ", ended\nnext");
	assert_string_equal(drain(tail, false), "begun, ended\n");
	tail_close(tail);
}

static void test_follow_over_rotations(void **state)
{
	struct tail *tail;

	(void)state;
	put(0, "1\n");
	tail = open_tail(10);
	assert_string_equal(drain(tail, false), "1\n");
	put(0, "2\n");
	rotate(4);
	put(0, "3\n");
	rotate(4);
	put(0, "4\n");
	assert_string_equal(drain(tail, false), "2\n3\n4\n");
	/* Rotated, and the new file is not there yet. */
	rotate(4);
	assert_string_equal(drain(tail, false), "");
	put(0, "5\n");
	assert_string_equal(drain(tail, false), "5\n");
	tail_close(tail);
}

static void test_what_was_deleted_is_a_gap(void **state)
{
	static const char *const later[] = { "2\n", "3\n", "4\n", "5\n" };
	struct tail *tail;

	(void)state;
	put(0, "1\n");
	tail = open_tail(10);
	assert_string_equal(drain(tail, false), "1\n");
	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++) {
		rotate(2);
		put(0, later[i]);
	}
	assert_string_equal(drain(tail, false), "<gap>4\n5\n");
	tail_close(tail);
}

static void test_a_file_emptied_by_hand(void **state)
{
	struct tail *tail;

	(void)state;
	put(0, "a long first line\n");
	tail = open_tail(10);
	assert_string_equal(drain(tail, false), "a long first line\n");
	assert_int_equal(truncate(path, 0), 0);
	put(0, "2\n");
	assert_string_equal(drain(tail, false), "2\n");
	tail_close(tail);
}

static void test_no_regular_file(void **state)
{
	char target[128];
	struct tail *tail;

	(void)state;
	/* A pipe would hold up the daemon, a link would show another file. */
	assert_int_equal(mkfifo(path, 0600), 0);
	check_start(5, "");
	assert_int_equal(unlink(path), 0);
	snprintf(target, sizeof(target), "%s/secret", dir);
	assert_int_equal(fs_write_atomic(target, "secret\n", 7, 0600, NULL), 0);
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(tail_open(path, 5, &tail, NULL), -1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_last_lines),
		TEST(test_last_lines_across_files),
		TEST(test_blank_lines_and_empty_files),
		TEST(test_lines_longer_than_a_chunk),
		TEST(test_follow_gives_whole_lines),
		TEST(test_follow_over_rotations),
		TEST(test_what_was_deleted_is_a_gap),
		TEST(test_a_file_emptied_by_hand),
		TEST(test_no_regular_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
