/* SPDX-License-Identifier: Apache-2.0 */
/* Called by firecracker.c before each start, and by vmm.c to see whether Firecracker is there. */
#include "vmm/fc_release.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"

enum { OUTPUT_MAX = 512, TIMEOUT_MS = 5000 };

bool fc_release_at_least(const struct fc_release *release, struct fc_release wanted)
{
	if (release->major != wanted.major)
		return release->major > wanted.major;
	if (release->minor != wanted.minor)
		return release->minor > wanted.minor;
	return release->patch >= wanted.patch;
}

int fc_release_from_text(const char *text, const char *path, struct fc_release *ret,
			 struct error *err)
{
	struct fc_release release, oldest = FC_RELEASE_MIN;

	if (sscanf(text, "Firecracker v%4u.%4u.%4u", &release.major, &release.minor,
		   &release.patch) != 3)
		return error_set(err,
				 "%s: does not say its version as Firecracker does (set "
				 "`firecracker` in stoker.ini)",
				 path);
	if (!fc_release_at_least(&release, oldest))
		return error_set(
			err, "%s: Firecracker %u.%u.%u is too old (%u.%u or later is needed)", path,
			release.major, release.minor, release.patch, oldest.major, oldest.minor);
	*ret = release;
	return 0;
}

static int spawn(const char *path, int output, pid_t *ret, struct error *err)
{
	char *argv[] = { (char *)path, "--version", NULL };
	char *envp[] = { NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int result;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	result = posix_spawn(ret, path, &actions, &attributes, argv, envp);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return result ? error_errno(err, result, "%s: cannot run it", path) : 0;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Up to the end of the first line. False: none came in time. */
static bool read_line(int fd, char line[OUTPUT_MAX])
{
	int64_t deadline = now_ms() + TIMEOUT_MS;
	size_t length = 0;

	for (;;) {
		struct pollfd ready = { .fd = fd, .events = POLLIN };
		int64_t left = deadline - now_ms();
		ssize_t n;

		line[length] = '\0';
		if (strchr(line, '\n') || length == OUTPUT_MAX - 1)
			return true;
		if (left <= 0 || poll(&ready, 1, (int)left) == 0)
			return false;
		n = read(fd, line + length, OUTPUT_MAX - 1 - length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return length > 0;
		length += (size_t)n;
	}
}

static int ask(const char *path, struct fc_release *ret, struct error *err)
{
	_cleanup_close_ int reader = -1, writer = -1;
	char line[OUTPUT_MAX];
	bool has_line;
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_errno(err, errno, "%s: pipe", path);
	reader = ends[0];
	writer = ends[1];
	if (spawn(path, writer, &pid, err) < 0)
		return -1;
	close(take_fd(&writer));
	has_line = read_line(reader, line);
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (!has_line)
		return error_set(err, "%s: does not say its version within %d s", path,
				 TIMEOUT_MS / 1000);
	return fc_release_from_text(line, path, ret, err);
}

static int check_file(const char *path, struct stat *ret, struct error *err)
{
	if (stat(path, ret) < 0)
		return error_errno(err, errno,
				   "%s: cannot run it (install Firecracker, or set `firecracker` "
				   "in stoker.ini)",
				   path);
	if (!S_ISREG(ret->st_mode) || !(ret->st_mode & 0111))
		return error_set(err, "%s: not a program", path);
	/* It runs as root until the jailer has dropped that. */
	if (ret->st_uid != 0 || (ret->st_mode & 022))
		return error_set(err, "%s: others than root can write it (chown root, chmod go-w)",
				 path);
	return 0;
}

int fc_release_read(const char *path, struct fc_release *ret, struct error *err)
{
	static struct stat known;
	static struct fc_release release;
	_cleanup_free_ char *real = realpath(path, NULL);
	struct stat st;

	if (check_file(real ? real : path, &st, err) < 0)
		return -1;
	if (st.st_dev != known.st_dev || st.st_ino != known.st_ino ||
	    st.st_mtim.tv_sec != known.st_mtim.tv_sec ||
	    st.st_mtim.tv_nsec != known.st_mtim.tv_nsec || st.st_size != known.st_size) {
		if (ask(real, &release, err) < 0)
			return -1;
		known = st;
	}
	*ret = release;
	return 0;
}
