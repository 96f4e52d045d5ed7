/* SPDX-License-Identifier: Apache-2.0 */
/* How Firecracker's ends are told apart, which releases are taken, and whose sockets. */
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
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "vmm/fc_api.h"
#include "vmm/fc_jail.h"
#include "vmm/fc_release.h"
#include "vmm/firecracker.h"
#include "vmm/sockets.h"

static char *make_dir(void)
{
	char *path = xstrdup("/tmp/stoker-test-fc.XXXXXX");

	assert_non_null(mkdtemp(path));
	return path;
}

static void drop_dir(char **path)
{
	fs_remove_tree(*path, NULL);
	free(*path);
}

/* --- ends ------------------------------------------------------------------------------------ */

static void test_ends(void **state)
{
	static const struct child_exit unknown = { .known = false };
	static const struct {
		struct fc_end end;
		enum reason reason;
		int exit_signal;
		const char *detail;
	} cases[] = {
		{ { .ended = { true, false, 0 }, .was_started = true },
		  REASON_GUEST_ENDED,
		  0,
		  "the guest was reset, exit code 0" },
		{ { .ended = { true, false, 0 }, .was_started = true, .panic = REASON_PANIC },
		  REASON_PANIC,
		  0,
		  "kernel panic on the console, exit code 0" },
		{ { .ended = { true, false, 0 }, .was_started = true, .panic = REASON_INIT_KILLED },
		  REASON_INIT_KILLED,
		  0,
		  "kernel panic, as its init was made to end, exit code 0" },
		{ { .ended = { true, false, 148 }, .was_started = true },
		  REASON_VMM_CRASHED,
		  0,
		  "exit code 148 (a system call that its filter forbids)" },
		{ { .ended = { true, false, 99 }, .was_started = true },
		  REASON_VMM_CRASHED,
		  0,
		  "exit code 99 (unknown to this version)" },
		{ { .ended = { true, true, SIGSEGV }, .was_started = true },
		  REASON_VMM_CRASHED,
		  SIGSEGV,
		  "signal 11" },
		{ { .ended = { true, true, SIGKILL }, .was_started = true },
		  REASON_VMM_KILLED,
		  SIGKILL,
		  "signal 9" },
		{ { .ended = { true, true, SIGTERM }, .was_started = true },
		  REASON_VMM_KILLED,
		  SIGTERM,
		  "signal 15" },
		{ { .ended = { true, true, SIGKILL }, .was_started = true, .was_killed = true },
		  REASON_OPERATOR,
		  SIGKILL,
		  "signal 9" },
		/* A start that the driver gave up, and one that failed by itself. */
		{ { .ended = { true, true, SIGKILL },
		    .failure = "Firecracker refused PUT /vsock: no (status 400)" },
		  REASON_START_ERROR,
		  0,
		  "Firecracker refused PUT /vsock: no (status 400)" },
		{ { .ended = { true, false, 1 },
		    .failure = "Firecracker's API: PUT /logger: connection reset",
		    .last_line = "Jailer error: no" },
		  REASON_START_ERROR,
		  0,
		  "exit code 1 before the guest was started: Jailer error: no" },
		{ { .ended = { true, true, SIGSEGV },
		    .failure = "Firecracker's API: PUT /logger: connection reset" },
		  REASON_VMM_CRASHED,
		  SIGSEGV,
		  "signal 11" },
		/* Adopted: only the process's parent hears how it ended. */
		{ { .ended = unknown, .was_started = true },
		  REASON_VMM_CRASHED,
		  0,
		  "exit status unknown" },
		{ { .ended = unknown, .was_started = true, .panic = REASON_PANIC },
		  REASON_PANIC,
		  0,
		  "exit status unknown" },
		{ { .ended = unknown, .was_started = true, .was_killed = true },
		  REASON_OPERATOR,
		  0,
		  "exit status unknown" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vmm_exit exit;

		firecracker_classify(&cases[i].end, &exit);
		assert_string_equal(exit.detail, cases[i].detail);
		assert_int_equal(exit.reason, cases[i].reason);
		assert_int_equal(exit.exit_signal, cases[i].exit_signal);
	}
}

/* --- releases -------------------------------------------------------------------------------- */

static void test_release_text(void **state)
{
	struct fc_release release = { 0 };
	struct error err;

	(void)state;
	assert_int_equal(fc_release_from_text("Firecracker v1.16.1\n\nmore", "/f", &release, &err),
			 0);
	assert_true(release.major == 1 && release.minor == 16 && release.patch == 1);
	assert_int_equal(fc_release_from_text("Firecracker v1.17.0-dev\n", "/f", &release, &err),
			 0);
	assert_int_equal(fc_release_from_text("Firecracker v2.0.0\n", "/f", &release, &err), 0);
	assert_int_equal(fc_release_from_text("Firecracker v1.7.9\n", "/f", &release, &err), -1);
	assert_string_equal(err.text, "/f: Firecracker 1.7.9 is too old (1.8 or later is needed)");
	assert_int_equal(release.major, 2); /* written on success only */
	assert_int_equal(fc_release_from_text("QEMU emulator version 7.2\n", "/f", &release, &err),
			 -1);
	assert_string_equal(err.text, "/f: does not say its version as Firecracker does (set "
				      "`firecracker` in stoker.ini)");
}

static char *write_program(const char *dir, const char *text)
{
	char *path = xasprintf("%s/firecracker", dir);

	assert_int_equal(fs_write_atomic(path, text, strlen(text), 0755, NULL), 0);
	return path;
}

static void test_release_of_program(void **state)
{
	CLEANUP(drop_dir) char *dir = make_dir();
	_cleanup_free_ char *path = NULL;
	struct fc_release release = { 0 };
	struct error err;

	(void)state;
	if (geteuid() != 0)
		skip(); /* the program must be root's */
	path = write_program(dir, "#!/bin/sh\necho \"Firecracker v1.9.$#\"\nexec sleep 100\n");
	assert_int_equal(fc_release_read(path, &release, &err), 0);
	assert_int_equal(release.patch, 1); /* one argument: --version; and it was not waited for */
	free(path);
	path = write_program(dir, "#!/bin/sh\necho Firecracker v1.20.0\n");
	assert_int_equal(fc_release_read(path, &release, &err), 0);
	assert_int_equal(release.minor, 20); /* another file: asked again */

	assert_int_equal(chmod(path, 0775), 0);
	assert_int_equal(fc_release_read(path, &release, &err), -1);
	assert_non_null(strstr(err.text, "others than root can write it (chown root, chmod go-w)"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(fc_release_read(path, &release, &err), -1);
	assert_non_null(strstr(err.text, "cannot run it (install Firecracker, or set "
					 "`firecracker` in stoker.ini): No such file"));
}

/* --- what the API says ----------------------------------------------------------------------- */

static void test_faults(void **state)
{
	static const struct {
		const char *body, *text;
	} cases[] = {
		{ "{\"fault_message\":\"no \\u001b[31mway\\n\"}", "no  [31mway " },
		{ "{\"fault_message\":7}", "{\"fault_message\":7}" },
		{ "{ \"error\": \"bad\nrequest\" }", "{ \"error\": \"bad request\" }" },
		{ "[]", "[]" },
		{ "", "" },
		{ "\xff\xfe", "  " },
	};
	char text[FC_FAULT_MAX + 1], longest[FC_FAULT_MAX + 2];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fc_fault(cases[i].body, strlen(cases[i].body), text);
		assert_string_equal(text, cases[i].text);
	}
	memset(longest, 'x', sizeof(longest));
	fc_fault(longest, sizeof(longest), text);
	assert_int_equal(strlen(text), FC_FAULT_MAX);
}

/* --- sockets in a hostile directory ---------------------------------------------------------- */

static void test_sockets(void **state)
{
	CLEANUP(drop_dir) char *dir = make_dir();
	_cleanup_free_ char *link = xasprintf("%s/link", dir);
	_cleanup_close_ int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int listener = -1, found = -1, peer = -1;
	struct error err = { 0 };

	(void)state;
	assert_int_equal(socket_find_beneath(dir_fd, "s", geteuid(), &found, &err), -1);
	assert_int_equal(err.number, ENOENT);
	assert_int_equal(socket_listen(dir_fd, "s", &listener, &err), 0);
	assert_int_equal(socket_connect(dir_fd, "s", &peer, &err), 0);
	assert_int_equal(socket_find_beneath(dir_fd, "s", geteuid(), &found, &err), 0);
	close(take_fd(&found));
	close(accept(listener, NULL, NULL)); /* both, for its queue is short */
	close(accept(listener, NULL, NULL));

	assert_int_equal(socket_find_beneath(dir_fd, "s", geteuid() + 1, &found, &err), -1);
	assert_non_null(strstr(err.text, "listens there, not"));
	assert_int_equal(symlink("s", link), 0);
	assert_int_equal(socket_find_beneath(dir_fd, "link", geteuid(), &found, &err), -1);
	assert_string_equal(err.text, "link: not a socket");
	assert_int_equal(socket_find_beneath(dir_fd, "../s", geteuid(), &found, &err), -1);
	assert_int_equal(err.number, EXDEV);
	close(take_fd(&listener));
	assert_int_equal(socket_find_beneath(dir_fd, "s", geteuid(), &found, &err), -1);
	assert_int_equal(err.number, ECONNREFUSED);
	assert_int_equal(found, -1);
}

/* --- the command line ------------------------------------------------------------------------ */

static void test_arguments(void **state)
{
	struct fc_jail jail = { .uid = 900002,
				.firecracker = "/opt/firecracker-v1.16.1",
				.jailer = "/opt/jailer",
				.id = "stk7",
				.mount_dir = "/run/stoker/vm/7/jail" };
	static const char *const jailed[] = {
		"/opt/jailer",
		"--id",
		"stk7",
		"--exec-file",
		"/opt/firecracker-v1.16.1",
		"--uid",
		"900002",
		"--gid",
		"900002",
		"--chroot-base-dir",
		"/run/stoker/vm/7/jail",
		"--resource-limit",
		"no-file=2048",
		"--",
		"--api-sock",
		"/run/firecracker.socket",
		NULL,
	};
	static const char *const bare[] = {
		"/opt/firecracker-v1.16.1", "--id", "stk7", "--api-sock",
		"run/firecracker.socket",   NULL,
	};
	_cleanup_strv_ struct strv arguments = { 0 };

	(void)state;
	fc_jail_arguments(&jail, &arguments);
	for (size_t i = 0; jailed[i]; i++)
		assert_string_equal(arguments.items[i], jailed[i]);
	assert_int_equal(arguments.count, sizeof(jailed) / sizeof(jailed[0]) - 1);
	strv_reset(&arguments);
	jail.jailer = NULL;
	fc_jail_arguments(&jail, &arguments);
	for (size_t i = 0; bare[i]; i++)
		assert_string_equal(arguments.items[i], bare[i]);
	assert_int_equal(arguments.count, sizeof(bare) / sizeof(bare[0]) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_release_text),
		cmocka_unit_test(test_release_of_program),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_sockets),
		cmocka_unit_test(test_arguments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
