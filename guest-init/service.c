/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts the workload as the merged configuration says, with Docker's defaults where it is silent.
 * The child reports a failure over a close-on-exec pipe: its end without a message means that the
 * program runs.
 */
#include "guest-init/service.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest-init/root.h"
#include "guest-init/user.h"

#define CGROUP	     "/sys/fs/cgroup"
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

enum { CANDIDATE_MAX = 4096 };

/* One write, as cgroupfs and sysfs want it. */
static int write_value(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = write(fd, value, strlen(value));
	close(fd);
	return n < 0 ? -1 : 0;
}

/* --- in the child --------------------------------------------------------------------------- */

static void reset_signals(void)
{
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int set_ulimit(const char *text, struct failure *why)
{
	static const struct {
		const char *name;
		int resource;
	} names[] = {
		{ "as", RLIMIT_AS },
		{ "core", RLIMIT_CORE },
		{ "cpu", RLIMIT_CPU },
		{ "data", RLIMIT_DATA },
		{ "fsize", RLIMIT_FSIZE },
		{ "locks", RLIMIT_LOCKS },
		{ "memlock", RLIMIT_MEMLOCK },
		{ "msgqueue", RLIMIT_MSGQUEUE },
		{ "nice", RLIMIT_NICE },
		{ "nofile", RLIMIT_NOFILE },
		{ "nproc", RLIMIT_NPROC },
		{ "rss", RLIMIT_RSS },
		{ "rtprio", RLIMIT_RTPRIO },
		{ "rttime", RLIMIT_RTTIME },
		{ "sigpending", RLIMIT_SIGPENDING },
		{ "stack", RLIMIT_STACK },
	};
	size_t length = strcspn(text, "=");
	long long soft, hard;

	if (sscanf(text + length, "=%lld:%lld", &soft, &hard) != 2)
		return failure_set(why, "ulimit '%.60s' has not two values", text);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		const struct rlimit limit = { soft < 0 ? RLIM_INFINITY : (rlim_t)soft,
					      hard < 0 ? RLIM_INFINITY : (rlim_t)hard };

		if (strlen(names[i].name) != length || memcmp(names[i].name, text, length) != 0)
			continue;
		if (setrlimit(names[i].resource, &limit) < 0)
			return failure_set(why, "ulimit '%.60s': %s", text, strerror(errno));
		return 0;
	}
	return failure_set(why, "ulimit '%.60s' is not known", text);
}

static int become(const struct user *user, struct failure *why)
{
	if (setgroups(user->group_count, user->groups) < 0)
		return failure_set(why, "set supplementary groups: %s", strerror(errno));
	if (setresgid(user->gid, user->gid, user->gid) < 0)
		return failure_set(why, "become group %u: %s", user->gid, strerror(errno));
	if (setresuid(user->uid, user->uid, user->uid) < 0)
		return failure_set(why, "become user %u: %s", user->uid, strerror(errno));
	return 0;
}

static int refuse(const char *path, int number, struct failure *why)
{
	if (number == ENOENT && access(path, F_OK) == 0)
		return failure_set(
			why,
			"cannot run '%.80s': its interpreter (of a script) or its loader "
			"and libc (of a program) are not in the image",
			path);
	return failure_set(why, "cannot run '%.80s': %s", path, strerror(number));
}

/* As execvpe(3), but with the workload's own PATH and without running scripts that lack "#!". */
static int run(const struct launch *launch, struct failure *why)
{
	const char *name = launch->argv[0];
	char candidate[CANDIDATE_MAX], broken[CANDIDATE_MAX] = "";
	int number = ENOENT;

	if (strchr(name, '/')) {
		execve(name, launch->argv, launch->environment);
		return refuse(name, errno, why);
	}
	for (const char *at = launch->path;; at++) {
		size_t length = strcspn(at, ":");

		if ((size_t)snprintf(candidate, sizeof(candidate), "%.*s/%s", (int)length,
				     length ? at : ".", name) < sizeof(candidate)) {
			execve(candidate, launch->argv, launch->environment);
			if (errno != ENOENT && errno != ENOTDIR)
				number = errno;
			/* There, and yet not found: what it needs is missing. */
			else if (errno == ENOENT && access(candidate, F_OK) == 0)
				memcpy(broken, candidate, sizeof(broken));
		}
		at += length;
		if (!*at)
			break;
	}
	if (number == ENOENT && *broken)
		return refuse(broken, number, why);
	if (number == ENOENT)
		return failure_set(why, "cannot run '%.60s': not found in the image's PATH (%.80s)",
				   name, launch->path);
	return refuse(name, number, why);
}

/* Moving costs a grace period of RCU, being born there nothing. */
static int enter_cgroup(const struct launch *launch, bool is_born_there, struct failure *why)
{
	char procs[64];

	snprintf(procs, sizeof(procs), "%s/cgroup.procs", launch->cgroup);
	if (!is_born_there && write_value(procs, "0") < 0)
		return failure_set(why, "enter cgroup %s: %s", launch->cgroup, strerror(errno));
	return 0;
}

static int enter(const struct launch *launch, bool is_born_there, struct failure *why)
{
	if (enter_cgroup(launch, is_born_there, why) < 0)
		return -1;
	setsid();
	if (launch->has_terminal && ioctl(launch->input, TIOCSCTTY, 0) < 0)
		return failure_set(why, "take the terminal: %s", strerror(errno));
	umask(0022);
	reset_signals();
	if (dup2(launch->input, 0) < 0 || dup2(launch->output, 1) < 0 ||
	    dup2(launch->errors, 2) < 0)
		return failure_set(why, "set standard descriptors: %s", strerror(errno));
	/* All else, the report pipe included, ends with exec. */
	if (syscall(SYS_close_range, 3, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */) < 0)
		return failure_set(why, "close descriptors: %s", strerror(errno));
	for (size_t i = 0; i < launch->ulimits->count; i++)
		if (set_ulimit(launch->ulimits->items[i], why) < 0)
			return -1;
	if (become(&launch->user, why) < 0)
		return -1;
	if (chdir(launch->working_dir) < 0)
		return failure_set(why, "working directory '%.100s': %s", launch->working_dir,
				   strerror(errno));
	return 0;
}

static int set_up_child(const struct launch *launch, bool is_born_there, struct failure *why)
{
	return enter(launch, is_born_there, why) < 0 ? -1 : run(launch, why);
}

/* It is a copy of PID 1 that becomes the workload's user: who may not look into it. */
static int act_as(const struct launch *launch, bool is_born_there, int (*act)(void *data),
		  void *data, struct failure *why)
{
	if (enter(launch, is_born_there, why) < 0)
		return -1;
	if (prctl(PR_SET_DUMPABLE, 0) < 0 || syscall(SYS_close_range, 3, ~0U, 0) < 0)
		return failure_set(why, "close descriptors: %s", strerror(errno));
	_exit(act(data));
}

/* --- in PID 1 ------------------------------------------------------------------------------- */

uint64_t service_boot_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

int service_make_cgroup(const char *cgroup, struct failure *why)
{
	if (mkdir(cgroup, 0755) < 0 && errno != EEXIST)
		return failure_set(why, "create cgroup %s: %s", cgroup, strerror(errno));
	return 0;
}

static int make_cgroup(struct failure *why)
{
	static const char *const controllers[] = { "+memory", "+pids", "+cpu", "+io" };

	/* All at once; a kernel without one of them does without its figures. */
	if (write_value(CGROUP "/cgroup.subtree_control", "+memory +pids +cpu +io") < 0)
		for (size_t i = 0; i < sizeof(controllers) / sizeof(*controllers); i++)
			write_value(CGROUP "/cgroup.subtree_control", controllers[i]);
	return service_make_cgroup(WORKLOAD_CGROUP, why);
}

/*
 * Without swap, memory that runs out leaves nothing to reclaim but the text of what runs, which is
 * read back at once: the guest spins for minutes before the kernel calls that out of memory. The
 * multi-generational LRU does so when it would have to evict what was used within min_ttl_ms
 * (Documentation/admin-guide/mm/multigen_lru.rst of Linux). More than that, and a program that
 * reads a mapped file larger than memory at random is killed too. A kernel without it spins on.
 *
 * It also kills when it finds hardly a page to evict, however much memory is free: so does kswapd
 * when it frees more than it has to after an allocation was fragmented, and with nothing left to
 * kill that is a panic (balance_pgdat and lru_gen_age_node in Linux's mm/vmscan.c). So it does not.
 */
static void prevent_thrashing(void)
{
	if (write_value("/proc/sys/vm/watermark_boost_factor", "0") == 0 &&
	    write_value("/sys/kernel/mm/lru_gen/enabled", "y") == 0)
		write_value("/sys/kernel/mm/lru_gen/min_ttl_ms", "100");
}

static void set_default(struct list *environment, const char *key, const char *value)
{
	char entry[512];

	if (config_environment(environment, key) || !value)
		return;
	snprintf(entry, sizeof(entry), "%s=%s", key, value);
	config_set_environment(environment, entry);
}

static int make_argv(const struct config *config, char ***ret, struct failure *why)
{
	size_t count = config->entrypoint.count + config->command.count;
	char **argv = calloc(count + 1, sizeof(*argv));

	if (!argv)
		return failure_set(why, "out of memory");
	for (size_t i = 0; i < config->entrypoint.count; i++)
		argv[i] = config->entrypoint.items[i];
	for (size_t i = 0; i < config->command.count; i++)
		argv[config->entrypoint.count + i] = config->command.items[i];
	*ret = argv;
	if (!count || !*argv[0]) {
		free(argv);
		return failure_set(why,
				   "nothing to run: the image has neither entrypoint nor command "
				   "(set 'command')");
	}
	return 0;
}

int service_find_user(int root, const char *name, struct user *ret, struct failure *why)
{
	char *passwd = root_read(root, "/etc/passwd");
	char *group = root_read(root, "/etc/group");
	int result = user_resolve(name, passwd, group, ret, why);

	free(group);
	free(passwd);
	return result;
}

static int find_stop_signal(const struct config *config, struct failure *why)
{
	const char *name = config->stop_signal;
	int number = name && *name ? config_signal(name) : SIGTERM;

	if (!number)
		return failure_set(why, "stop signal '%.40s' is none", name);
	return number;
}

const char *service_working_dir(const struct config *config)
{
	return config->working_dir && *config->working_dir ? config->working_dir : "/";
}

int service_make_working_dir(const struct config *config, struct failure *why)
{
	const char *path = service_working_dir(config);
	int root, result;

	if (*path != '/')
		return failure_set(why, "working directory '%.100s': not an absolute path", path);
	/* Through the mounts that the workload sees, not the image's bare root. */
	root = open("/", O_PATH | O_CLOEXEC);
	if (root < 0)
		return failure_set(why, "open the root directory: %s", strerror(errno));
	result = root_mkdir(root, path, why);
	if (result < 0)
		failure_set(why, "working directory '%.100s': %s", path, strerror(errno));
	close(root);
	return result;
}

static void close_pair(int pair[2])
{
	for (int i = 0; i < 2; i++)
		if (pair[i] >= 0)
			close(pair[i]);
}

/* The kernel's struct clone_args, of clone(2). */
struct clone_arguments {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal;
	uint64_t stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

#define CLONE_INTO_CGROUP_FLAG UINT64_C(0x200000000)

/* As fork(2), where the kernel can (from 5.7 on) with the child in the control group. */
static pid_t fork_into(const char *cgroup, bool *ret_is_born_there)
{
	int fd = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct clone_arguments how = { .flags = CLONE_INTO_CGROUP_FLAG,
					     .exit_signal = SIGCHLD,
					     .cgroup = (uint64_t)fd };
	long pid = fd < 0 ? -1 : syscall(SYS_clone3, &how, sizeof(how));

	*ret_is_born_there = pid >= 0;
	if (fd >= 0 && pid != 0)
		close(fd);
	return pid >= 0 ? (pid_t)pid : fork();
}

int service_launch(const struct launch *launch, pid_t *ret_pid, struct failure *why)
{
	int report[2] = { -1, -1 };
	bool is_born_there;
	ssize_t n;
	pid_t pid;

	if (pipe2(report, O_CLOEXEC) < 0)
		return failure_set(why, "create a pipe: %s", strerror(errno));
	pid = fork_into(launch->cgroup, &is_born_there);
	if (pid < 0) {
		close_pair(report);
		return failure_set(why, "fork: %s", strerror(errno));
	}
	if (pid == 0) {
		struct failure failed = { "" };

		set_up_child(launch, is_born_there, &failed);
		_exit(write(report[1], &failed, sizeof(failed)) < 0 ? 126 : 127);
	}
	close(report[1]);
	do
		n = read(report[0], why, sizeof(*why));
	while (n < 0 && errno == EINTR);
	close(report[0]);
	*ret_pid = pid;
	if (n == 0)
		return 0;
	waitpid(pid, NULL, 0);
	return -1;
}

int service_spawn(const struct launch *launch, int (*act)(void *data), void *data, pid_t *ret_pid,
		  struct failure *why)
{
	bool is_born_there;
	pid_t pid = fork_into(launch->cgroup, &is_born_there);

	if (pid < 0)
		return failure_set(why, "fork: %s", strerror(errno));
	if (pid == 0) {
		struct failure failed = { "" };

		if (launch->argv)
			set_up_child(launch, is_born_there, &failed);
		else
			act_as(launch, is_born_there, act, data, &failed);
		_exit(dprintf(launch->errors, "%s\n", failed.text) < 0 ? 126 : 127);
	}
	*ret_pid = pid;
	return 0;
}

void service_kill_cgroup(const char *cgroup, pid_t pid)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/cgroup.kill", cgroup);
	/* Kernels before 5.14 cannot: then the process group must do. */
	if (write_value(path, "1") < 0 && pid)
		kill(-pid, SIGKILL);
	if (pid)
		kill(pid, SIGKILL);
}

/* A workload that is not root opens /dev/stdout by name: the pipe must be its own. */
static int open_streams(struct launch *launch, int output[2], int errors[2], struct failure *why)
{
	launch->input = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (launch->input < 0 || pipe2(output, O_CLOEXEC) < 0 || pipe2(errors, O_CLOEXEC) < 0)
		return failure_set(why, "open the workload's streams: %s", strerror(errno));
	launch->output = output[1];
	launch->errors = errors[1];
	if (fchown(output[1], launch->user.uid, launch->user.gid) < 0 ||
	    fchown(errors[1], launch->user.uid, launch->user.gid) < 0 ||
	    fcntl(output[0], F_SETFL, O_NONBLOCK) < 0 || fcntl(errors[0], F_SETFL, O_NONBLOCK) < 0)
		return failure_set(why, "prepare the workload's streams: %s", strerror(errno));
	return 0;
}

static int launch_with_streams(struct launch *launch, struct service *ret, struct failure *why)
{
	int output[2] = { -1, -1 }, errors[2] = { -1, -1 };
	int result = open_streams(launch, output, errors, why);

	if (result == 0)
		result = service_launch(launch, &ret->pid, why);
	ret->boot_us = service_boot_us();
	if (result == 0) {
		ret->output = output[0];
		ret->errors = errors[0];
		output[0] = errors[0] = -1;
	}
	close_pair(output);
	close_pair(errors);
	if (launch->input >= 0)
		close(launch->input);
	return result;
}

int service_start(int root, struct config *config, struct service *ret, struct failure *why)
{
	struct launch launch = { .working_dir = service_working_dir(config),
				 .cgroup = WORKLOAD_CGROUP,
				 .ulimits = &config->ulimits };
	char **argv = NULL;
	int result;

	ret->stop_signal = find_stop_signal(config, why);
	if (ret->stop_signal < 0 || service_find_user(root, config->user, &launch.user, why) < 0)
		return -1;
	if (make_cgroup(why) < 0 || make_argv(config, &argv, why) < 0)
		return -1;
	set_default(&config->environment, "PATH", DEFAULT_PATH);
	set_default(&config->environment, "HOME", launch.user.home);
	set_default(&config->environment, "HOSTNAME", config->hostname);
	launch.argv = argv;
	launch.environment = config->environment.items;
	launch.path = config_environment(&config->environment, "PATH");
	result = launch_with_streams(&launch, ret, why);
	prevent_thrashing(); /* which has time until memory is full */
	free(argv);
	return result;
}

void service_signal(const struct service *service, int number)
{
	kill(service->pid, number);
}

void service_kill_all(unsigned wait_ms)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	kill(-1, SIGKILL);
	for (unsigned waited = 0; waited < wait_ms; waited++) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);

		if (pid < 0)
			return;
		if (pid == 0)
			nanosleep(&pause, NULL);
	}
}

bool service_met_oom(void)
{
	char text[512] = "";
	int fd = open(WORKLOAD_CGROUP "/memory.events", O_RDONLY | O_CLOEXEC);
	const char *line;

	if (fd < 0)
		return false;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	line = strstr(text, "oom_kill ");
	return line && strtoul(line + strlen("oom_kill "), NULL, 10) > 0;
}
