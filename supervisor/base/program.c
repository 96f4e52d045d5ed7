/* SPDX-License-Identifier: Apache-2.0 */
#include "base/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void set_signals(posix_spawnattr_t *attributes)
{
	sigset_t none, all;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(attributes, &none);
	posix_spawnattr_setsigdefault(attributes, &all);
}

static int spawn(const struct program *program, int output, pid_t *ret, struct error *err)
{
	char *environment[] = { "LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int result;

	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	set_signals(&attributes);
	if (program->input_fd < 0)
		posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	else
		posix_spawn_file_actions_adddup2(&actions, program->input_fd, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	if (program->with_errors)
		posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
	else
		posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	result = posix_spawn(ret, program->argv[0], &actions, &attributes, program->argv,
			     environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return result ? error_errno(err, result, "%s: cannot run it", program->argv[0]) : 0;
}

/* Until the program closes its end, or has said its line. False when it took too long. */
static bool read_output(const struct program *program, int fd, struct strbuf *output)
{
	int64_t deadline = now_ms() + program->timeout_ms;
	size_t room = program->output_max;

	for (;;) {
		struct pollfd ready = { .fd = fd, .events = POLLIN };
		int64_t left = deadline - now_ms();
		char bytes[512];
		size_t kept;
		ssize_t n;

		if (program->is_one_line && strchr(strbuf_text(output), '\n'))
			return true;
		if (left <= 0)
			return false;
		if (poll(&ready, 1, (int)left) <= 0)
			continue;
		n = read(fd, bytes, sizeof(bytes));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return true;
		kept = (size_t)n < room ? (size_t)n : room;
		strbuf_add(output, bytes, kept);
		room -= kept;
	}
}

int program_run(const struct program *program, struct strbuf *output, int *ret_status,
		struct error *err)
{
	_cleanup_close_ int reader = -1, writer = -1;
	bool is_complete;
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_errno(err, errno, "%s: pipe", program->argv[0]);
	reader = ends[0];
	writer = ends[1];
	if (spawn(program, writer, &pid, err) < 0)
		return -1;
	close(take_fd(&writer));
	is_complete = read_output(program, reader, output);
	if (!is_complete || program->is_one_line)
		kill(pid, SIGKILL);
	while (waitpid(pid, ret_status, 0) < 0)
		if (errno != EINTR)
			return error_errno(err, errno, "%s: wait for it", program->argv[0]);
	if (!is_complete)
		return error_set(err, "%s: no end after %d s", program->argv[0],
				 program->timeout_ms / 1000);
	return 0;
}
