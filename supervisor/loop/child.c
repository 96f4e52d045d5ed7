/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fork, a few careful steps, exec; then one pidfd per process on the loop (pidfd_open(2)).
 *
 * Between fork and exec the child reports a failure as a struct error over a close-on-exec pipe: a
 * successful exec closes it, so the parent's read tells both outcomes apart without a race.
 */
#include "loop/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"

enum { CHILD_FDS_MAX = 256, TRACED_EVERY_MS = 20 };

struct child {
	struct loop *loop;
	pid_t pid;
	uint64_t start_time;
	int pidfd;
	bool is_ours;	     /* we are its parent and may reap it */
	struct watch *watch; /* owned: of the pidfd; or a timer, while a tracer has the end */
	child_fn *fn;
	void *data;
};

/* --- in the child ---------------------------------------------------------------------------- */

/* Signal dispositions and the mask are inherited across exec; the new program gets neither. */
static void reset_signals(void)
{
	static const unsigned long as_default[8]; /* the kernel's struct sigaction, SIG_DFL */
	sigset_t none;

	/* By the system call, as the C library hides two signals of its own; make(1), for one,
	 * starts its children with those ignored. */
	for (int number = 1; number < _NSIG; number++)
		syscall(SYS_rt_sigaction, number, as_default, NULL, _NSIG / 8);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int move_fds(const struct child_options *options, int *report_fd, struct error *err)
{
	int high[CHILD_FDS_MAX], floor = *report_fd < 3 ? 3 : *report_fd + 1;

	/* First all out of the way, above every target, so that no dup2 hits a source. */
	for (size_t i = 0; i < options->fd_count; i++)
		if (options->fds[i].target >= floor)
			floor = options->fds[i].target + 1;
	for (size_t i = 0; i < options->fd_count; i++) {
		high[i] = fcntl(options->fds[i].fd, F_DUPFD_CLOEXEC, floor);
		if (high[i] < 0)
			return error_errno(err, errno, "cannot duplicate descriptor %d",
					   options->fds[i].fd);
	}
	*report_fd = fcntl(*report_fd, F_DUPFD_CLOEXEC, floor);
	for (int fd = 0; fd <= 2; fd++) {
		int null = open("/dev/null", O_RDWR);

		if (null < 0 || (null != fd && dup2(null, fd) < 0))
			return error_errno(err, errno, "cannot open /dev/null");
		if (null > 2)
			close(null);
	}
	for (size_t i = 0; i < options->fd_count; i++)
		if (dup2(high[i], options->fds[i].target) < 0)
			return error_errno(err, errno, "cannot place descriptor %d",
					   options->fds[i].target);
	return 0;
}

/* Whatever is left open, closes at exec; the setup function may still need some of it. */
static int seal_other_fds(const struct child_options *options, struct error *err)
{
	unsigned last_target = 2;

	for (size_t i = 0; i < options->fd_count; i++)
		if ((unsigned)options->fds[i].target > last_target)
			last_target = (unsigned)options->fds[i].target;
	for (unsigned fd = 3; fd <= last_target; fd++) {
		bool wanted = false;

		for (size_t i = 0; i < options->fd_count; i++)
			wanted |= (unsigned)options->fds[i].target == fd;
		if (!wanted)
			fcntl((int)fd, F_SETFD, FD_CLOEXEC);
	}
	if (syscall(SYS_close_range, last_target + 1, UINT_MAX, 4u /* CLOSE_RANGE_CLOEXEC */) < 0)
		return error_errno(err, errno, "close_range (Linux 5.11 or newer is needed)");
	return 0;
}

static int become(const struct child_options *options, pid_t parent, int *report_fd,
		  struct error *err)
{
	static char *const no_environment[] = { NULL };

	reset_signals();
	/* A later daemon finds strays by their uid, so until this process has one of its own it
	 * must not outlive us. The change of uid clears the setting again (prctl(2)). */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		return error_set(err, "the daemon is gone");
	/* A session of its own: a SIGHUP to the daemon's process group must not reach it. */
	if (setsid() < 0)
		return error_errno(err, errno, "setsid");
	if (move_fds(options, report_fd, err) < 0 || seal_other_fds(options, err) < 0)
		return -1;
	if (options->setup && options->setup(options->setup_data, err) < 0)
		return -1;
	execve(options->argv[0], options->argv, options->envp ? options->envp : no_environment);
	return error_errno(err, errno, "%s: cannot execute", options->argv[0]);
}

/* --- in the parent --------------------------------------------------------------------------- */

static int read_start_time(pid_t pid, uint64_t *ret, struct error *err)
{
	_cleanup_strbuf_ struct strbuf stat = { 0 };
	char path[64];
	const char *at;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (fs_read(path, 4096, &stat, err) < 0)
		return -1;
	/* The command (field 2) may hold blanks and parentheses: count from its last ')'. */
	at = strrchr(strbuf_text(&stat), ')');
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (!at)
		return error_set(err, "%s: not in the form of proc(5)", path);
	*ret = strtoull(at + 1, NULL, 10);
	return 0;
}

/* False: it has ended, but somebody who traces it (strace(1), a debugger) has not yet let go of it.
 */
static bool reap(const struct child *child, struct child_exit *exit)
{
	siginfo_t info = { 0 };
	int result;

	do
		result = waitid(P_PIDFD, (id_t)child->pidfd, &info, WEXITED | WNOHANG);
	while (result < 0 && errno == EINTR);
	if (result == 0 && info.si_pid == 0)
		return false;
	exit->known = result == 0;
	exit->signaled = exit->known && info.si_code != CLD_EXITED;
	exit->code = exit->known ? info.si_status : 0;
	return true;
}

static void on_ended(struct watch *watch, unsigned events, void *data)
{
	struct child *child = data;
	struct child_exit exit = { 0 };

	(void)events;
	/* A pidfd is readable once the process has ended, reaped or not: waiting for a tracer by it
	 * would be a busy loop. */
	if (child->is_ours && !reap(child, &exit)) {
		watch_free(watch);
		child->watch = loop_timer(child->loop, TRACED_EVERY_MS, on_ended, child);
		return;
	}
	child->watch = watch_free(watch);
	child->fn(child, &exit, child->data);
}

static struct child *child_new(struct loop *loop, pid_t pid, int pidfd, uint64_t start_time,
			       child_fn *fn, void *data)
{
	struct child *child = xcalloc(1, sizeof(*child));

	child->loop = loop;
	child->pid = pid;
	child->pidfd = pidfd;
	child->start_time = start_time;
	child->fn = fn;
	child->data = data;
	child->watch = loop_io(loop, pidfd, LOOP_READ, on_ended, child);
	return child;
}

static int open_pidfd(pid_t pid, struct error *err)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0)
		return error_errno(err, errno, "process %d: pidfd_open", (int)pid);
	return fd;
}

/* Reads what the child has to say: nothing means that exec succeeded. */
static int await_exec(int fd, struct error *err)
{
	struct error failure = { 0 };
	ssize_t n;

	do
		n = read(fd, &failure, sizeof(failure));
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return 0;
	if (n != (ssize_t)sizeof(failure))
		return error_set(err, "the new process ended before exec");
	failure.text[ERROR_TEXT_MAX - 1] = '\0';
	if (err)
		*err = failure;
	return -1;
}

static void run_child(const struct child_options *options, pid_t parent, int report_fd)
{
	struct error err = { 0 };
	ssize_t n;

	become(options, parent, &report_fd, &err);
	n = write(report_fd, &err, sizeof(err));
	_exit(n == (ssize_t)sizeof(err) ? 127 : 126);
}

/* Until the child has dispositions of its own, a signal to it would run the daemon's handler, which
 * writes into the loop's pipe: both share that. So it starts with all of them blocked. */
static pid_t fork_quietly(void)
{
	sigset_t all, before;
	pid_t pid;
	int number;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	number = errno;
	if (pid != 0)
		sigprocmask(SIG_SETMASK, &before, NULL);
	errno = number;
	return pid;
}

int child_spawn(struct loop *loop, const struct child_options *options, child_fn *fn, void *data,
		struct child **ret, struct error *err)
{
	_cleanup_close_ int read_end = -1, write_end = -1, pidfd = -1;
	uint64_t start_time = 0;
	int ends[2];
	pid_t parent, pid;

	if (options->fd_count > CHILD_FDS_MAX)
		return error_set(err, "more than %d descriptors for one process", CHILD_FDS_MAX);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_errno(err, errno, "pipe");
	read_end = ends[0];
	write_end = ends[1];
	parent = getpid();
	pid = fork_quietly();
	if (pid < 0)
		return error_errno(err, errno, "fork");
	if (pid == 0)
		run_child(options, parent, write_end);
	close(take_fd(&write_end));
	if (await_exec(read_end, err) < 0 || (pidfd = open_pidfd(pid, err)) < 0 ||
	    read_start_time(pid, &start_time, err) < 0) {
		kill(pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		return -1;
	}
	*ret = child_new(loop, pid, take_fd(&pidfd), start_time, fn, data);
	(*ret)->is_ours = true;
	return 0;
}

int child_adopt(struct loop *loop, pid_t pid, uint64_t start_time, child_fn *fn, void *data,
		struct child **ret, struct error *err)
{
	_cleanup_close_ int pidfd = open_pidfd(pid, err);
	uint64_t found;

	if (pidfd < 0)
		return -1;
	/* Compared after the pidfd is open: from here on the number cannot be reused under us. */
	if (read_start_time(pid, &found, err) < 0)
		return -1;
	if (found != start_time)
		return error_set(err, "process %d is another one now", (int)pid);
	*ret = child_new(loop, pid, take_fd(&pidfd), start_time, fn, data);
	return 0;
}

pid_t child_pid(const struct child *child)
{
	return child->pid;
}

uint64_t child_start_time(const struct child *child)
{
	return child->start_time;
}

void child_kill(const struct child *child, int number)
{
	syscall(SYS_pidfd_send_signal, child->pidfd, number, NULL, 0);
}

struct child *child_free(struct child *child)
{
	if (!child)
		return NULL;
	watch_free(child->watch);
	close(child->pidfd);
	free(child);
	return NULL;
}
