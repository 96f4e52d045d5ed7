/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that end, that talk too much, that say one line and stay, and that never end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/program.h"

static int run(const char *script, const struct program *like, struct strbuf *output,
	       int *ret_status, struct error *err)
{
	char *argv[] = { "/bin/sh", "-c", (char *)script, NULL };
	struct program program = *like;

	program.argv = argv;
	return program_run(&program, output, ret_status, err);
}

static const struct program plain = { .input_fd = -1, .output_max = 100, .timeout_ms = 60000 };

static void test_output_and_status(void **state)
{
	_cleanup_strbuf_ struct strbuf output = { 0 };
	int status;

	(void)state;
	assert_int_equal(run("echo out; echo err >&2; cat; exit 3", &plain, &output, &status, NULL),
			 0);
	assert_string_equal(strbuf_text(&output), "out\n");
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
}

static void test_input_and_errors(void **state)
{
	_cleanup_close_ int input = memfd_create("input", MFD_CLOEXEC);
	_cleanup_strbuf_ struct strbuf output = { 0 };
	struct program program = plain;
	int status;

	(void)state;
	assert_int_equal(write(input, "text", 4), 4);
	assert_int_equal(lseek(input, 0, SEEK_SET), 0);
	program.input_fd = input;
	program.with_errors = true;
	assert_int_equal(run("cat >&2; echo; echo $LC_ALL $HOME", &program, &output, &status, NULL),
			 0);
	assert_string_equal(strbuf_text(&output), "text\nC\n");
}

/* What is over the limit is read all the same, or the program would wait for room without end. */
static void test_too_much(void **state)
{
	_cleanup_strbuf_ struct strbuf output = { 0 };
	int status;

	(void)state;
	assert_int_equal(
		run("head -c 300000 /dev/zero | tr '\\0' x", &plain, &output, &status, NULL), 0);
	assert_int_equal(output.length, 100);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_one_line(void **state)
{
	_cleanup_strbuf_ struct strbuf output = { 0 };
	struct program program = plain;
	int status;

	(void)state;
	program.is_one_line = true;
	assert_int_equal(run("echo version; exec sleep 1000", &program, &output, &status, NULL), 0);
	assert_string_equal(strbuf_text(&output), "version\n");
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_no_end(void **state)
{
	_cleanup_strbuf_ struct strbuf output = { 0 };
	struct program program = plain;
	struct error err;
	int status;

	(void)state;
	program.timeout_ms = 1000;
	assert_int_equal(run("exec sleep 1000", &program, &output, &status, &err), -1);
	assert_string_equal(err.text, "/bin/sh: no end after 1 s");
}

static void test_no_program(void **state)
{
	char *argv[] = { "/no/such/program", NULL };
	_cleanup_strbuf_ struct strbuf output = { 0 };
	struct program program = plain;
	struct error err;
	int status;

	(void)state;
	program.argv = argv;
	assert_int_equal(program_run(&program, &output, &status, &err), -1);
	assert_string_equal(err.text, "/no/such/program: cannot run it: No such file or directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_output_and_status),
		cmocka_unit_test(test_input_and_errors),
		cmocka_unit_test(test_too_much),
		cmocka_unit_test(test_one_line),
		cmocka_unit_test(test_no_end),
		cmocka_unit_test(test_no_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
