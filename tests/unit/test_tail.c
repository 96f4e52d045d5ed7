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

	assert_int_equal(tail_open(path, lines, NULL, &tail, NULL), 0);
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

static void check_since(const char *since, uint64_t lines, const char *expected)
{
	struct tail *tail = NULL;

	assert_int_equal(tail_open(path, lines, since, &tail, NULL), 0);
	assert_string_equal(drain(tail, true), expected);
	tail_close(tail);
}

static void test_since(void **state)
{
	(void)state;
	check_since("01", 0, "");
	put(2, "10 a\n20 b\n");
	put(1, "30 c\n40 d\n");
	put(0, "50 e\n60 f\n");
	check_since("01", 0, "10 a\n20 b\n30 c\n40 d\n50 e\n60 f\n");
	check_since("10", 0, "10 a\n20 b\n30 c\n40 d\n50 e\n60 f\n");
	check_since("11", 0, "20 b\n30 c\n40 d\n50 e\n60 f\n");
	check_since("21", 0, "30 c\n40 d\n50 e\n60 f\n");
	check_since("40", 0, "40 d\n50 e\n60 f\n");
	check_since("41", 0, "50 e\n60 f\n");
	check_since("51", 0, "60 f\n");
	check_since("61", 0, "");
	/* Whichever begins later. */
	check_since("31", 1, "60 f\n");
	check_since("31", 99, "40 d\n50 e\n60 f\n");
	check_since("51", 3, "60 f\n");
}

/* Each line of many, of lengths around the size of what is read at once. */
static void test_since_in_long_files(void **state)
{
	static const size_t lengths[] = { 0, 1, 30, 4000, TAIL_CHUNK_MAX - 4, 3 * TAIL_CHUNK_MAX };
	enum { LINES = 60 };
	struct strbuf text = { 0 };
	size_t starts[LINES];

	(void)state;
	for (unsigned i = 0; i < LINES; i++) {
		starts[i] = text.length;
		strbuf_printf(&text, "%03u ", 2 * i);
		for (size_t n = lengths[i % 6]; n; n--)
			strbuf_putc(&text, 'x');
		strbuf_putc(&text, '\n');
	}
	put(0, strbuf_text(&text));
	for (unsigned i = 0; i < LINES; i++) {
		char since[8];

		snprintf(since, sizeof(since), "%03u", 2 * i);
		check_since(since, 0, strbuf_text(&text) + starts[i]);
		snprintf(since, sizeof(since), "%03u", 2 * i + 1);
		check_since(since, 0, i + 1 < LINES ? strbuf_text(&text) + starts[i + 1] : "");
	}
	strbuf_reset(&text);
}

static void test_follow_since(void **state)
{
	struct tail *tail = NULL;

	(void)state;
	put(0, "10 a\n");
	assert_int_equal(tail_open(path, 0, "20", &tail, NULL), 0);
	assert_string_equal(drain(tail, false), "");
	put(0, "20 b\n");
	rotate(3);
	put(0, "30 c\n");
	assert_string_equal(drain(tail, false), "20 b\n30 c\n");
	tail_close(tail);
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
	assert_int_equal(tail_open(path, 5, NULL, &tail, NULL), -1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_last_lines),
		TEST(test_last_lines_across_files),
		TEST(test_since),
		TEST(test_since_in_long_files),
		TEST(test_follow_since),
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
