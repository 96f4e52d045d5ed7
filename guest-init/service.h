/* SPDX-License-Identifier: Apache-2.0 */
/* The workload: one process tree in a session and cgroup of its own, its output on two pipes. */
#ifndef STOKER_GUEST_INIT_SERVICE_H
#define STOKER_GUEST_INIT_SERVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "guest-init/config.h"
#include "guest-init/failure.h"
#include "guest-init/user.h"

/* The control group of the workload, and of nothing else. */
#define WORKLOAD_CGROUP "/sys/fs/cgroup/workload"

struct service {
	pid_t pid;
	int output, errors; /* read ends, non-blocking; -1 when closed */
	int stop_signal;
	uint64_t boot_us; /* CLOCK_BOOTTIME when it was executed */
};

/* A program to start. Prepared before fork, so that the child allocates nothing. */
struct launch {
	const struct list *ulimits;
	char *const *argv;
	char *const *environment;
	const char *path; /* search list */
	const char *working_dir;
	struct user user;
	const char *cgroup; /* its directory */
	int input, output, errors;
	bool has_terminal; /* input is one: it becomes the session's */
};

/* CLOCK_BOOTTIME in microseconds. */
uint64_t service_boot_us(void);

/* Starts it in a session of its own. Returns when the program was executed; -1 when it was not. */
int service_launch(const struct launch *launch, pid_t *ret_pid, struct failure *why);

/* Likewise, but returns at once: what fails is written to `errors`, and ends it with 127. It runs
 * `act`, whose value is its exit code and who says why on descriptor 2, where there is no argv. */
int service_spawn(const struct launch *launch, int (*act)(void *data), void *data, pid_t *ret_pid,
		  struct failure *why);

int service_make_cgroup(const char *cgroup, struct failure *why); /* fine if it is there */

/* SIGKILL to all in the control group, and to the process that was launched into it: it may not
 * have entered it yet. 0: that one was reaped. */
void service_kill_cgroup(const char *cgroup, pid_t pid);

/* The user of that name, or the workload's for NULL, in the image's files. */
int service_find_user(int root, const char *name, struct user *ret, struct failure *why);

const char *service_working_dir(const struct config *config);

/* Creates the working directory when it is missing; before the root is made read-only. */
int service_make_working_dir(const struct config *config, struct failure *why);

/* Starts what the configuration says; `root` is the image's root, where its users are looked up.
 * The environment is completed with PATH, HOME and HOSTNAME. Returns when the program was executed.
 */
int service_start(int root, struct config *config, struct service *ret, struct failure *why);

/* To the workload's first process. */
void service_signal(const struct service *service, int number);

/* SIGKILL to everything but PID 1, reaped as far as it goes in `wait_ms`. */
void service_kill_all(unsigned wait_ms);

/* Whether the kernel killed a process of it for want of memory. */
bool service_met_oom(void);

#endif
