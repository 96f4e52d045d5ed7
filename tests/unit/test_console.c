/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/console.c: from the FIFO into a file that a flood cannot make large. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/strbuf.h"
#include "loop/loop.h"
#include "tests/unit/run_loop.h"
#include "vmm/console.h"

static char directory[] = "/tmp/test_console.XXXXXX";

struct fixture {
	struct loop *loop;
	struct console *console;
	int dir_fd, file_fd, write_fd;
};

static int set_up(void **state)
{
	static struct fixture fixture;
	int read_fd = -1;

	fixture.loop = loop_new(NULL);
	fixture.dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fixture.file_fd = openat(fixture.dir_fd, "log", O_RDWR | O_CREAT | O_TRUNC | O_APPEND,
				 0600);
	if (console_make(fixture.dir_fd, "fifo", &read_fd, &fixture.write_fd, NULL))
		return -1;
	fixture.console = console_new(fixture.loop, read_fd, fixture.file_fd, NULL);
	*state = &fixture;
	return fixture.console ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	console_free(fixture->console);
	loop_free(fixture->loop);
	close(fixture->dir_fd);
	close(fixture->file_fd);
	if (fixture->write_fd >= 0)
		close(fixture->write_fd);
	return 0;
}

static void read_file(struct fixture *fixture, struct strbuf *out)
{
	char path[64];

	(void)fixture;
	snprintf(path, sizeof(path), "%s/log", directory);
	assert_int_equal(fs_read(path, 1 << 20, out, NULL), 0);
}

static void test_copies(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_strbuf_ struct strbuf found = { 0 };
	char line[64];

	console_last_line(fixture->console, line, sizeof(line));
	assert_string_equal(line, "");
	assert_int_equal(write(fixture->write_fd, "one\n", 4), 4);
	run_loop_for(fixture->loop, 100);
	assert_int_equal(write(fixture->write_fd, "two\033[2J\n\n", 9), 9);
	close(take_fd(&fixture->write_fd));
	console_drain(fixture->console);
	console_drain(fixture->console);
	read_file(fixture, &found);
	assert_string_equal(strbuf_text(&found), "one\ntwo\033[2J\n\n");
	console_last_line(fixture->console, line, sizeof(line));
	assert_string_equal(line, "two?[2J");
	console_last_line(fixture->console, line, 3);
	assert_string_equal(line, "tw");
}

static void test_flood(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_strbuf_ struct strbuf found = { 0 };
	unsigned written = 0;
	char line[101];

	/* Writers never wait: what does not fit is refused. */
	for (int round = 0; round < 12; round++) {
		ssize_t n;

		do {
			snprintf(line, sizeof(line), "%099u\n", written);
			n = write(fixture->write_fd, line, 100);
			written += n == 100;
		} while (n == 100);
		assert_int_equal(errno, EAGAIN);
		console_drain(fixture->console);
	}
	assert_true(written * 100 > 2 * CONSOLE_FILE_MAX);
	read_file(fixture, &found);
	assert_in_range(found.length, CONSOLE_FILE_KEPT, CONSOLE_FILE_MAX + (64 << 10));
	assert_int_equal(strncmp(found.data, "[stoker: older output was dropped here]\n", 40), 0);
	assert_int_equal((found.length - 40) % 100, 0); /* whole lines */
	console_last_line(fixture->console, line, sizeof(line));
	assert_int_equal(strtoul(line, NULL, 10), written - 1);
}

/* No daemon: writes fail at once, and the next daemon gets what comes then. */
static void test_without_reader(void **state)
{
	struct fixture *fixture = *state;
	_cleanup_strbuf_ struct strbuf found = { 0 };
	int read_fd = -1;

	signal(SIGPIPE, SIG_IGN);
	fixture->console = console_free(fixture->console);
	assert_int_equal(write(fixture->write_fd, "lost\n", 5), -1);
	assert_int_equal(errno, EPIPE);
	assert_int_equal(console_reopen(fixture->dir_fd, "fifo", &read_fd, NULL), 0);
	fixture->console = console_new(fixture->loop, read_fd, fixture->file_fd, NULL);
	assert_int_equal(write(fixture->write_fd, "kept\n", 5), 5);
	console_drain(fixture->console);
	read_file(fixture, &found);
	assert_string_equal(strbuf_text(&found), "kept\n");
}

static void test_refuses(void **state)
{
	struct fixture *fixture = *state;
	struct error err = { 0 };
	int read_fd = -1;

	assert_int_equal(console_reopen(fixture->dir_fd, "log", &read_fd, &err), -1);
	assert_string_equal(err.text, "log: not a FIFO");
	assert_int_equal(console_reopen(fixture->dir_fd, "none", &read_fd, &err), -1);
	assert_int_equal(read_fd, -1);
	assert_null(console_new(fixture->loop, dup(fixture->dir_fd), -1, &err));
}

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	(void)state;
	return fs_remove_tree(directory, NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_copies, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_flood, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_without_reader, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refuses, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("console", tests, make_directory, remove_directory);
}
