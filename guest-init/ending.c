/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-init/ending.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest-init/service.h"
#include "guest-init/syslog.h"

enum { NAMES_MAX = 3, SETTLE_NS = 100000000 };

/* --- killed for want of memory ---------------------------------------------------------------- */

/* "PRIORITY,SEQUENCE,...;[Memory cgroup o|O]ut of memory: Killed process 123 (name) total-vm:...".
 * The facility is in the bits above the severity, and 0 is the kernel's alone. */
bool ending_is_oom(const char *record, size_t length, char victim[VICTIM_MAX])
{
	static const char begin[] = "ut of memory: Killed process ", end[] = ") total-vm:";
	const char *at = memmem(record, length, begin, strlen(begin));
	const char *limit = record + length;
	const char *name, *stop = NULL;
	int digits = 0;

	if (!at || *record < '0' || *record > '7' || record[1] != ',')
		return false;
	at += strlen(begin);
	while (digits < 10 && limit - at > digits && at[digits] >= '0' && at[digits] <= '9')
		digits++;
	name = at + digits + 2;
	if (limit - name > 0)
		stop = memmem(name, (size_t)(limit - name), end, strlen(end));
	if (!digits || !stop || memcmp(at + digits, " (", 2) != 0)
		return false;
	snprintf(victim, VICTIM_MAX, "%.*s (pid %.*s)", (int)(stop - name < 32 ? stop - name : 32),
		 name, digits, at);
	return true;
}

/* The last one that the kernel killed, of all that it still remembers; "" when it does not. */
static void find_victim(char victim[VICTIM_MAX])
{
	int fd = open("/dev/kmsg", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char record[SYSLOG_LINE_MAX];

	*victim = '\0';
	while (fd >= 0) {
		ssize_t n = read(fd, record, sizeof(record));

		if (n < 0 && errno == EPIPE)
			continue; /* overwritten before it was read */
		if (n <= 0)
			break;
		ending_is_oom(record, (size_t)n, victim);
	}
	if (fd >= 0)
		close(fd);
}

/* --- daemonised ------------------------------------------------------------------------------- */

/* Appends the name of a process, for what lives. */
static void add_name(char *names, size_t size, unsigned long pid)
{
	char path[32], name[32];
	size_t used = strlen(names);
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%lu/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, name, sizeof(name));
	if (fd >= 0)
		close(fd);
	if (n > 1)
		snprintf(names + used, size - used, "%s%.*s", used ? ", " : "", (int)n - 1, name);
}

/* How many processes of the workload live; the names of the first of them. */
static unsigned count_left(char *names, size_t size)
{
	FILE *file = fopen(WORKLOAD_CGROUP "/cgroup.procs", "re");
	unsigned count = 0;
	unsigned long pid;

	*names = '\0';
	while (file && fscanf(file, "%lu", &pid) == 1)
		if (count++ < NAMES_MAX)
			add_name(names, size, pid);
	if (file)
		fclose(file);
	return count;
}

/* What is left may just be ending, as the rest of a pipeline is. */
static bool is_daemonised(char *message, size_t size)
{
	const struct timespec settle = { .tv_nsec = SETTLE_NS };
	char names[NAMES_MAX * 32];
	unsigned count = count_left(names, sizeof(names));

	if (!count)
		return false;
	nanosleep(&settle, NULL);
	count = count_left(names, sizeof(names));
	if (count)
		snprintf(message, size, "exited with 0 and left %u process%s running (%s%s)", count,
			 count == 1 ? "" : "es", names, count > NAMES_MAX ? ", ..." : "");
	return count > 0;
}

/* --- the report ------------------------------------------------------------------------------- */

void ending_tell(int status, bool is_stopped, struct frame_exit *ret)
{
	enum exit_kind kind = WIFEXITED(status) ? EXIT_CODE : EXIT_SIGNAL;
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
	/* A shell says 128 + SIGKILL for its child. */
	bool was_killed = code == (kind == EXIT_CODE ? 128 + SIGKILL : SIGKILL);

	memset(ret, 0, sizeof(*ret));
	if (was_killed && !is_stopped && service_met_oom()) {
		kind = EXIT_OOM;
		code = SIGKILL;
		find_victim(ret->message);
	} else if (kind == EXIT_CODE && code == 0 && !is_stopped &&
		   is_daemonised(ret->message, sizeof(ret->message))) {
		kind = EXIT_DAEMONISED;
	}
	ret->kind = htole32(kind);
	ret->code = (int32_t)htole32((uint32_t)code);
}
