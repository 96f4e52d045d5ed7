/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes: started with exactly the descriptors they are to have, watched by pidfd, so that no
 * pid can be confused with a later one. A process that an earlier daemon started is adopted by pid
 * and start time.
 */
#ifndef STOKER_LOOP_CHILD_H
#define STOKER_LOOP_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "loop/loop.h"

struct child;

struct child_exit {
	bool known;    /* false for an adopted process: only its parent learns its status */
	bool signaled; /* killed by `code` as a signal number; else exited with `code` */
	int code;
};

/* Fires exactly once, never from inside a call to this module. child_free from inside is fine. */
typedef void child_fn(struct child *child, const struct child_exit *exit, void *data);

struct child_fd {
	int fd;	    /* the parent's; stays open there */
	int target; /* its number in the child */
};

struct child_options {
	char *const *argv; /* argv[0] is the path; there is no search */
	char *const *envp; /* NULL: an empty environment */
	const struct child_fd
		*fds; /* 0, 1 and 2 not named here are /dev/null; all else is closed */
	size_t fd_count;
	/* Runs in the child after its descriptors are in place, before exec: drops privileges,
	 * changes namespaces. A failure is reported by child_spawn. NULL: nothing to do. */
	int (*setup)(void *data, struct error *err);
	void *setup_data;
};

/* Starts it in a session of its own; one that keeps our uid ends when we do. All signals at their
 * defaults and unblocked. A failed setup or exec is an error here, not an exit later. */
int child_spawn(struct loop *loop, const struct child_options *options, child_fn *fn, void *data,
		struct child **ret, struct error *err);

/* Watches a running process that is not our child. -1 when it is gone or is another one. */
int child_adopt(struct loop *loop, pid_t pid, uint64_t start_time, child_fn *fn, void *data,
		struct child **ret, struct error *err);

pid_t child_pid(const struct child *child);
uint64_t child_start_time(const struct child *child);	/* field 22 of /proc/PID/stat, proc(5) */
void child_kill(const struct child *child, int number); /* through the pidfd */

/* Stops watching; the process goes on. NULL is fine; returns NULL. */
struct child *child_free(struct child *child);

#endif
