/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by exec.c, which moves what goes through the descriptors that are opened here. As the
 * workload, its program is executed by service.c.
 */
#include "guest-init/exec_process.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-init/service.h"

#define CGROUPS	      "/sys/fs/cgroup"
#define CGROUP_PREFIX "exec-"

enum { CGROUP_PATH_MAX = 48 };

static void name_cgroup(const struct exec_session *session, char path[CGROUP_PATH_MAX])
{
	snprintf(path, CGROUP_PATH_MAX, CGROUPS "/" CGROUP_PREFIX "%u", session->group);
}

/* --- its end -------------------------------------------------------------------------------- */

void exec_process_signal(const struct exec_session *session, int number)
{
	if (session->pid)
		kill(-session->pid, number);
}

void exec_process_kill(const struct exec_session *session)
{
	char group[CGROUP_PATH_MAX];

	name_cgroup(session, group);
	service_kill_cgroup(group, session->pid);
}

/* What was in the group need not be reaped yet: then the next start removes it. */
void exec_process_forget(const struct exec_session *session)
{
	char group[CGROUP_PATH_MAX];

	if (!session->group)
		return;
	name_cgroup(session, group);
	rmdir(group);
}

/* --- its start ------------------------------------------------------------------------------ */

static void close_pairs(int pairs[EXEC_ENDS][2])
{
	for (int end = 0; end < EXEC_ENDS; end++)
		for (int side = 0; side < 2; side++)
			if (pairs[end][side] >= 0)
				close(pairs[end][side]);
}

/* pairs[..][0] is the session's, [1] the child's. */
static int open_terminal(const struct frame_size *size, const struct user *user,
			 int pairs[EXEC_ENDS][2], struct failure *why)
{
	struct winsize window = { .ws_row = le16toh(size->rows), .ws_col = le16toh(size->columns) };
	int unlock = 0, number,
	    master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	char path[32];

	if (master < 0)
		return failure_set(why, "open /dev/ptmx: %s", strerror(errno));
	pairs[EXEC_END_OUTPUT][0] = master;
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0 || ioctl(master, TIOCGPTN, &number) < 0)
		return failure_set(why, "prepare a terminal: %s", strerror(errno));
	snprintf(path, sizeof(path), "/dev/pts/%d", number);
	pairs[EXEC_END_OUTPUT][1] = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (pairs[EXEC_END_OUTPUT][1] < 0)
		return failure_set(why, "open %s: %s", path, strerror(errno));
	ioctl(master, TIOCSWINSZ, &window);
	if (fchown(pairs[EXEC_END_OUTPUT][1], user->uid, (gid_t)-1) < 0)
		return failure_set(why, "give %s to the user: %s", path, strerror(errno));
	pairs[EXEC_END_INPUT][0] = fcntl(master, F_DUPFD_CLOEXEC, 0);
	pairs[EXEC_END_INPUT][1] = fcntl(pairs[EXEC_END_OUTPUT][1], F_DUPFD_CLOEXEC, 0);
	pairs[EXEC_END_ERRORS][1] = fcntl(pairs[EXEC_END_OUTPUT][1], F_DUPFD_CLOEXEC, 0);
	return 0;
}

static int open_pipes(uint32_t flags, const struct user *user, int pairs[EXEC_ENDS][2],
		      struct failure *why)
{
	int input[2];

	if (flags & EXEC_INPUT) {
		if (pipe2(input, O_CLOEXEC) < 0)
			return failure_set(why, "create a pipe: %s", strerror(errno));
		pairs[EXEC_END_INPUT][0] = input[1];
		pairs[EXEC_END_INPUT][1] = input[0];
		fcntl(input[1], F_SETFL, O_NONBLOCK);
		/* One that is not root opens /dev/stdin by name: the pipe must be its own, as those
		 * below. */
		if (fchown(input[0], user->uid, user->gid) < 0)
			return failure_set(why, "prepare its streams: %s", strerror(errno));
	} else {
		pairs[EXEC_END_INPUT][1] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	for (int end = EXEC_END_OUTPUT; end < EXEC_ENDS; end++) {
		if (pipe2(pairs[end], O_CLOEXEC) < 0)
			return failure_set(why, "create a pipe: %s", strerror(errno));
		fcntl(pairs[end][0], F_SETFL, O_NONBLOCK);
		if (fchown(pairs[end][1], user->uid, user->gid) < 0)
			return failure_set(why, "prepare its streams: %s", strerror(errno));
	}
	return 0;
}

/* The workload's, what belongs to the user, then what was asked for. */
static void make_environment(const struct execs *execs, const struct config *asked,
			     const struct user *user, struct list *ret)
{
	char home[USER_HOME_MAX + 8];

	for (size_t i = 0; i < execs->config->environment.count; i++)
		config_set_environment(ret, execs->config->environment.items[i]);
	if (asked->user) {
		snprintf(home, sizeof(home), "HOME=%s", user->home);
		config_set_environment(ret, home);
	}
	for (size_t i = 0; i < asked->environment.count; i++)
		config_set_environment(ret, asked->environment.items[i]);
}

/* Groups of their own: what a detached session left behind is not the next one's to end. Those in
 * which nothing runs any more are removed, the others cannot be. */
static int make_cgroup(struct execs *execs, struct exec_session *session,
		       char path[CGROUP_PATH_MAX], struct failure *why)
{
	DIR *dir = opendir(CGROUPS);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (!strncmp(entry->d_name, CGROUP_PREFIX, strlen(CGROUP_PREFIX)))
			unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
	if (dir)
		closedir(dir);
	session->group = ++execs->last_group;
	name_cgroup(session, path);
	if (mkdir(path, 0755) < 0)
		return failure_set(why, "create cgroup %s: %s", path, strerror(errno));
	return 0;
}

int exec_process_start(struct execs *execs, struct exec_session *session,
		       const struct frame_exec *how, struct config *asked, struct failure *why)
{
	int pairs[EXEC_ENDS][2] = { { -1, -1 }, { -1, -1 }, { -1, -1 } };
	struct config environment = { 0 };
	struct launch launch = { .argv = asked->command.items };
	uint32_t flags = le32toh(how->flags);
	char group[CGROUP_PATH_MAX];
	int result;

	if (service_find_user(execs->root, asked->user ? asked->user : execs->config->user,
			      &launch.user, why) < 0)
		return -1;
	if (make_cgroup(execs, session, group, why) < 0)
		return -1;
	result = flags & EXEC_TTY ? open_terminal(&how->size, &launch.user, pairs, why)
				  : open_pipes(flags, &launch.user, pairs, why);
	make_environment(execs, asked, &launch.user, &environment.environment);
	launch.environment = environment.environment.items;
	launch.path = config_environment(&environment.environment, "PATH");
	if (!launch.path) /* the workload never began, so that it got none */
		launch.path = "/usr/sbin:/usr/bin:/sbin:/bin";
	launch.working_dir = service_working_dir(asked->working_dir ? asked : execs->config);
	launch.cgroup = group;
	launch.ulimits = &execs->config->ulimits;
	launch.input = pairs[EXEC_END_INPUT][1];
	launch.output = pairs[EXEC_END_OUTPUT][1];
	launch.errors = pairs[EXEC_END_ERRORS][1];
	launch.has_terminal = flags & EXEC_TTY;
	if (result == 0)
		result = service_launch(&launch, &session->pid, why);
	for (int end = 0; result == 0 && end < EXEC_ENDS; end++) {
		session->fds[end] = pairs[end][0];
		pairs[end][0] = -1;
	}
	close_pairs(pairs);
	config_reset(&environment);
	return result;
}
