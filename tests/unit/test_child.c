/* SPDX-License-Identifier: Apache-2.0 */
/* loop/child: real processes (of /bin/sh): what they inherit, how they end, adoption. */
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
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "loop/child.h"

struct scene {
	struct loop *loop;
	struct child *child;
	struct child_exit exit;
	unsigned ended;
};

static int setup(void **state)
{
	static struct scene scene;

	scene = (struct scene){ .loop = loop_new(NULL) };
	*state = &scene;
	return scene.loop ? 0 : -1;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	child_free(scene->child);
	loop_free(scene->loop);
	return 0;
}

static void on_exit_stop(struct child *child, const struct child_exit *exit, void *data)
{
	struct scene *scene = data;

	assert_ptr_equal(child, scene->child);
	scene->exit = *exit;
	scene->ended++;
	scene->child = child_free(child);
	loop_stop(scene->loop);
}

/* Starts `sh -c script` with the descriptors given. */
static int start(struct scene *scene, const char *script, struct child_options options,
		 struct error *err)
{
	char *argv[] = { "/bin/sh", "-c", (char *)script, NULL };

	options.argv = argv;
	return child_spawn(scene->loop, &options, on_exit_stop, scene, &scene->child, err);
}

static void run(struct scene *scene, const char *script)
{
	assert_int_equal(start(scene, script, (struct child_options){ 0 }, NULL), 0);
	loop_run(scene->loop);
	assert_int_equal(scene->ended, 1);
	assert_true(scene->exit.known);
}

/* What the script writes to its standard output. */
static const char *output_of(struct scene *scene, const char *script, struct child_options options)
{
	static struct strbuf text;
	struct child_fd fds[4];
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	fds[0] = (struct child_fd){ ends[1], 1 };
	for (size_t i = 0; i < options.fd_count; i++)
		fds[i + 1] = options.fds[i];
	options.fds = fds;
	options.fd_count++;
	assert_int_equal(start(scene, script, options, NULL), 0);
	close(ends[1]);
	strbuf_reset(&text);
	assert_int_equal(fs_read_fd(ends[0], "pipe", 65536, &text, NULL), 0);
	close(ends[0]);
	loop_run(scene->loop);
	return strbuf_text(&text);
}

static void test_exit_code(void **state)
{
	struct scene *scene = *state;

	run(scene, "exit 7");
	assert_false(scene->exit.signaled);
	assert_int_equal(scene->exit.code, 7);
}

static void test_killed(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(start(scene, "sleep 1000", (struct child_options){ 0 }, NULL), 0);
	child_kill(scene->child, SIGKILL);
	assert_int_equal(scene->ended, 0);
	loop_run(scene->loop);
	assert_true(scene->exit.known);
	assert_true(scene->exit.signaled);
	assert_int_equal(scene->exit.code, SIGKILL);
}

/* Reaped: no zombie stays, and its number is free. */
static void test_reaped(void **state)
{
	struct scene *scene = *state;

	run(scene, ":");
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

/* Kills the process while it traces it, and does not let go of it until nobody writes to `from`. */
static void trace_its_end(pid_t pid, int to, int from)
{
	siginfo_t info;
	char byte;

	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0 || kill(pid, SIGKILL) < 0 ||
	    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) < 0 || write(to, "", 1) != 1)
		_exit(1);
	while (read(from, &byte, 1) > 0)
		;
	_exit(0);
}

static void on_time(struct watch *watch, unsigned events, void *data)
{
	(void)watch;
	(void)events;
	loop_stop(data);
}

static void test_end_of_one_that_is_traced(void **state)
{
	struct scene *scene = *state;
	int there[2], back[2];
	struct watch *timer;
	pid_t tracer;
	char byte;

	assert_int_equal(start(scene, "exec sleep 1000", (struct child_options){ 0 }, NULL), 0);
	assert_int_equal(pipe2(there, O_CLOEXEC), 0);
	assert_int_equal(pipe2(back, O_CLOEXEC), 0);
	tracer = fork();
	if (tracer == 0) {
		close(back[1]);
		trace_its_end(child_pid(scene->child), there[1], back[0]);
	}
	close(there[1]);
	assert_int_equal(read(there[0], &byte, 1), 1);
	timer = loop_timer(scene->loop, 100, on_time, scene->loop);
	loop_run(scene->loop);
	watch_free(timer);
	assert_int_equal(scene->ended, 0);
	close(back[1]);
	loop_run(scene->loop);
	assert_int_equal(scene->ended, 1);
	assert_true(scene->exit.known);
	assert_true(scene->exit.signaled);
	assert_int_equal(scene->exit.code, SIGKILL);
	assert_int_equal(waitpid(tracer, NULL, 0), tracer);
	close(there[0]);
	close(back[0]);
}

static void test_failed_exec_is_an_error_of_spawn(void **state)
{
	struct scene *scene = *state;
	char *argv[] = { "/nonexistent/program", NULL };
	struct child_options options = { .argv = argv };
	struct error err = { 0 };

	assert_int_equal(
		child_spawn(scene->loop, &options, on_exit_stop, scene, &scene->child, &err), -1);
	assert_string_equal(err.text, "/nonexistent/program: cannot execute: No such file or "
				      "directory");
	assert_int_equal(err.number, ENOENT);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static int refuse(void *data, struct error *err)
{
	return error_set(err, "setup says no to %s", (const char *)data);
}

static void test_failed_setup_is_an_error_of_spawn(void **state)
{
	struct scene *scene = *state;
	struct child_options options = { .setup = refuse, .setup_data = "this" };
	struct error err = { 0 };

	assert_int_equal(start(scene, ":", options, &err), -1);
	assert_string_equal(err.text, "setup says no to this");
	assert_null(scene->child);
}

static void test_environment_is_what_was_given(void **state)
{
	char *envp[] = { "A=1", NULL };

	setenv("STOKER_TEST_LEAK", "leaked", 1);
	assert_string_equal(output_of(*state, "echo \"$A$STOKER_TEST_LEAK\"",
				      (struct child_options){ .envp = envp }),
			    "1\n");
}

static void test_only_the_named_descriptors(void **state)
{
	int stray = open("/dev/null", O_RDONLY); /* not even close-on-exec */

	assert_true(stray >= 0);
	/* `ls` itself opens one to list them. */
	assert_string_equal(output_of(*state, "exec ls /proc/self/fd",
				      (struct child_options){
					      .envp = (char *[]){ "PATH=/bin:/usr/bin", NULL } }),
			    "0\n1\n2\n3\n");
	close(stray);
}

/* Sources and targets that cross: each number is the other's source. */
static void test_descriptors_may_cross(void **state)
{
	struct scene *scene = *state;
	struct child_fd fds[2];
	int a[2], b[2];

	assert_int_equal(pipe2(a, O_CLOEXEC), 0);
	assert_int_equal(pipe2(b, O_CLOEXEC), 0);
	assert_int_equal(write(a[1], "from a\n", 7), 7);
	assert_int_equal(write(b[1], "from b\n", 7), 7);
	fds[0] = (struct child_fd){ a[0], b[0] };
	fds[1] = (struct child_fd){ b[0], a[0] };
	char script[128];

	snprintf(script, sizeof(script), "read x <&%d; read y <&%d; echo \"$x, $y\"", b[0], a[0]);
	assert_string_equal(
		output_of(scene, script, (struct child_options){ .fds = fds, .fd_count = 2 }),
		"from a, from b\n");
	for (int i = 0; i < 2; i++) {
		close(a[i]);
		close(b[i]);
	}
}

static void test_signals_are_reset(void **state)
{
	sigset_t blocked, before;
	const char *answer;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigprocmask(SIG_BLOCK, &blocked, &before);
	signal(SIGPIPE, SIG_IGN);
	/* One that the C library keeps for itself: 33, SIGSETXID; 1 is SIG_IGN. */
	syscall(SYS_rt_sigaction, 33, (unsigned long[8]){ 1 }, NULL, 8);
	answer = output_of(
		*state, "exec grep -E '^Sig(Blk|Ign)' /proc/self/status",
		(struct child_options){ .envp = (char *[]){ "PATH=/bin:/usr/bin", NULL } });
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &before, NULL);
	assert_string_equal(answer, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

static void test_a_session_of_its_own(void **state)
{
	struct scene *scene = *state;
	pid_t session;

	assert_int_equal(start(scene, "sleep 1000", (struct child_options){ 0 }, NULL), 0);
	session = getsid(child_pid(scene->child));
	assert_int_equal(session, child_pid(scene->child));
	child_kill(scene->child, SIGTERM);
	loop_run(scene->loop);
	assert_int_equal(scene->exit.code, SIGTERM);
}

/* --- adoption ----------------------------------------------------------------------------------
 */

/* A process of ours that the module is not told about, with a name that is hard to parse. */
static pid_t fork_sleeper(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_NAME, "a) S 1 (b");
		for (;;)
			pause();
	}
	return pid;
}

static uint64_t start_time_of(pid_t pid)
{
	_cleanup_strbuf_ struct strbuf stat = { 0 };
	char path[64];
	unsigned long long value = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	assert_int_equal(fs_read(path, 4096, &stat, NULL), 0);
	assert_int_equal(sscanf(strrchr(strbuf_text(&stat), ')'),
				") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d "
				"%*d %*d %*d %*d %llu",
				&value),
			 1);
	return value;
}

static void test_adopt(void **state)
{
	struct scene *scene = *state;
	pid_t pid = fork_sleeper();
	uint64_t start_time = start_time_of(pid);

	assert_int_equal(
		child_adopt(scene->loop, pid, start_time, on_exit_stop, scene, &scene->child, NULL),
		0);
	assert_int_equal(child_pid(scene->child), pid);
	assert_int_equal(child_start_time(scene->child), start_time);
	child_kill(scene->child, SIGKILL);
	loop_run(scene->loop);
	assert_false(scene->exit.known);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_adopt_refuses_another_process(void **state)
{
	struct scene *scene = *state;
	pid_t pid = fork_sleeper();
	uint64_t start_time = start_time_of(pid);
	struct error err = { 0 };

	assert_int_equal(child_adopt(scene->loop, pid, start_time + 1, on_exit_stop, scene,
				     &scene->child, &err),
			 -1);
	assert_non_null(strstr(err.text, "is another one now"));
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(
		child_adopt(scene->loop, pid, start_time, on_exit_stop, scene, &scene->child, &err),
		-1);
	assert_null(scene->child);
}

static void test_spawn_and_adopt_agree_on_the_start_time(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(start(scene, "sleep 1000", (struct child_options){ 0 }, NULL), 0);
	assert_int_equal(child_start_time(scene->child), start_time_of(child_pid(scene->child)));
	child_kill(scene->child, SIGKILL);
	loop_run(scene->loop);
}

/* Freed while it runs: it goes on, and nothing fires. */
static void test_free_lets_it_go_on(void **state)
{
	struct scene *scene = *state;
	pid_t pid;

	assert_int_equal(start(scene, "sleep 1000", (struct child_options){ 0 }, NULL), 0);
	pid = child_pid(scene->child);
	scene->child = child_free(scene->child);
	assert_int_equal(kill(pid, 0), 0);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(scene->ended, 0);
	assert_null(child_free(NULL));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_exit_code),
		TEST(test_killed),
		TEST(test_reaped),
		TEST(test_end_of_one_that_is_traced),
		TEST(test_failed_exec_is_an_error_of_spawn),
		TEST(test_failed_setup_is_an_error_of_spawn),
		TEST(test_environment_is_what_was_given),
		TEST(test_only_the_named_descriptors),
		TEST(test_descriptors_may_cross),
		TEST(test_signals_are_reset),
		TEST(test_a_session_of_its_own),
		TEST(test_adopt),
		TEST(test_adopt_refuses_another_process),
		TEST(test_spawn_and_adopt_agree_on_the_start_time),
		TEST(test_free_lets_it_go_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
