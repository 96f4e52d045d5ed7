/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stoker-init, PID 1 of a guest: builds the workload's world from the initramfs, runs it, carries
 * its output to the host, and ends the VM with a report of how it ended. The kernel starts it as
 * /init; the host's side is supervisor/guest/. A failure before the workload runs is a report too.
 */
#include <endian.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest-init/channel.h"
#include "guest-init/clock.h"
#include "guest-init/ending.h"
#include "guest-init/exec.h"
#include "guest-init/failure.h"
#include "guest-init/health.h"
#include "guest-init/names.h"
#include "guest-init/protocol.h"
#include "guest-init/service.h"
#include "guest-init/sources.h"
#include "guest-init/stats.h"
#include "guest-init/syslog.h"
#include "guest-init/verity.h"
#include "guest-init/world.h"

enum {
	DEFAULT_GRACE_MS = 10000,
	GRACE_MAX_MS = 24 * 3600 * 1000,
	REAP_MS = 2000,	   /* for what SIGKILL left of the workload */
	DRAIN_MS = 10000,  /* for its last output to find room */
	REPORT_MS = 15000, /* for the host to take the report: a daemon may be restarting */
};

/* Events beside those of sources. */
enum { TOKEN_HEALTH = SOURCE_COUNT, TOKEN_EXECS };

enum phase {
	PHASE_RUNNING,
	PHASE_STOPPING, /* the stop signal was sent; SIGKILL at the deadline */
	PHASE_DRAINING, /* the workload is gone, its output is not */
	PHASE_REPORTING,
	PHASE_OVER,
};

struct init {
	struct channel channel;
	struct world world;
	struct service service;
	struct execs execs;
	struct health health;
	struct clock clock;
	bool is_stats_due;
	struct frame_exit report;
	int epoll;
	struct sources sources;
	bool killed;	 /* SIGKILL was ours */
	bool is_damaged; /* the image; the report says so already */
	enum phase phase;
	uint64_t deadline_ms; /* of the phase; UINT64_MAX: none */
};

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void enter_phase(struct init *init, enum phase phase, uint64_t limit_ms)
{
	init->phase = phase;
	init->deadline_ms = limit_ms == UINT64_MAX ? UINT64_MAX : now_ms() + limit_ms;
}

/* --- what the kernel says ----------------------------------------------------------------------
 */

static void report_failure(struct init *init, const struct failure *why)
{
	init->report.kind = htole32(EXIT_INIT_ERROR);
	memcpy(init->report.message, why->text, sizeof(init->report.message));
}

/* A workload that meets an I/O error may do anything: it ends here, and with the true reason. */
static void look_for_damage(void *data, const char *record, size_t length)
{
	struct init *init = data;
	struct failure why = { "" };

	if (!init->world.config.verify || init->is_damaged ||
	    !verity_is_damage(record, length, &why))
		return;
	init->is_damaged = true;
	report_failure(init, &why);
	if (init->phase > PHASE_STOPPING)
		return;
	init->killed = true;
	kill(-1, SIGKILL);
}

/* --- the host's verbs ----------------------------------------------------------------------- */

static void stop(void *data, int number, uint64_t grace_ms)
{
	struct init *init = data;

	if (init->phase > PHASE_STOPPING)
		return;
	health_end(&init->health);
	service_signal(&init->service, number ? number : init->service.stop_signal);
	enter_phase(init, PHASE_STOPPING, grace_ms < GRACE_MAX_MS ? grace_ms : GRACE_MAX_MS);
}

static void set_hosts(void *data, const char *lines)
{
	struct init *init = data;
	struct failure why;
	char *copy = strdup(lines);

	if (!copy || init->phase > PHASE_STOPPING) {
		free(copy);
		return;
	}
	free(init->world.config.peers);
	init->world.config.peers = copy;
	if (names_write_hosts(init->world.mounts.root, &init->world.config, &why) < 0)
		channel_say(&init->channel, "%s", why.text);
}

static bool on_session(void *data, unsigned type, uint16_t number, const void *payload,
		       size_t length)
{
	struct init *init = data;

	return exec_on_frame(&init->execs, type, number, payload, length);
}

static bool on_health(void *data, unsigned type, const void *payload, size_t length)
{
	struct init *init = data;

	return health_on_frame(&init->health, type, payload, length, now_ms());
}

static bool on_clock(void *data, const void *payload, size_t length)
{
	struct init *init = data;

	return clock_on_frame(&init->clock, payload, length, now_ms());
}

static void on_stats_asked(void *data)
{
	struct init *init = data;

	init->is_stats_due = true;
}

static void tell_stats(struct init *init)
{
	struct frame_stats stats;

	if (!init->is_stats_due || channel_session_room(&init->channel) < sizeof(stats))
		return;
	init->is_stats_due = false;
	stats_read(init->world.mounts.root, &stats);
	channel_session_send(&init->channel, FRAME_STATS, 0, &stats, sizeof(stats));
}

static void host_gone(void *data)
{
	struct init *init = data;

	init->is_stats_due = false;
	clock_on_gone(&init->clock);

	exec_on_gone(&init->execs);
	health_on_gone(&init->health);
}

static void exit_seen(void *data)
{
	struct init *init = data;

	if (init->phase == PHASE_REPORTING)
		enter_phase(init, PHASE_OVER, UINT64_MAX);
}

/* --- the workload's end --------------------------------------------------------------------- */

static void on_workload_gone(struct init *init, int status)
{
	init->execs.root = -1; /* sessions end with it */
	health_end(&init->health);
	if (!init->is_damaged)
		ending_tell(status, init->phase == PHASE_STOPPING, &init->report);
	service_kill_all(REAP_MS);
	channel_set_running(&init->channel, false, init->service.boot_us);
	enter_phase(init, PHASE_DRAINING, DRAIN_MS);
}

static void reap(struct init *init)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (!exec_on_reaped(&init->execs, pid, status) &&
		    !health_on_reaped(&init->health, pid, status, now_ms()) &&
		    pid == init->service.pid && init->phase <= PHASE_STOPPING)
			on_workload_gone(init, status);
}

/* SIGCHLD; else ctrl-alt-del, or somebody inside who wants the machine off. A stop that is under
 * way keeps its deadline, whatever the workload sends. */
static void on_signal(struct init *init)
{
	struct signalfd_siginfo info;

	while (read(init->sources.fds[SOURCE_SIGNALS], &info, sizeof(info)) ==
	       (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			reap(init);
		else if (init->phase == PHASE_RUNNING)
			stop(init, 0, DEFAULT_GRACE_MS);
	}
}

static void finish_draining(struct init *init)
{
	sources_read(&init->sources, SOURCE_SYSLOG);
	sources_read(&init->sources, SOURCE_KERNEL);
	mounts_finish(&init->world.mounts);
	channel_report(&init->channel, &init->report);
	enter_phase(init, PHASE_REPORTING, REPORT_MS);
}

/* What is due without an event. */
static void advance(struct init *init)
{
	bool late = now_ms() >= init->deadline_ms;

	switch (init->phase) {
	case PHASE_STOPPING:
		if (late) {
			init->killed = true;
			init->deadline_ms = UINT64_MAX; /* SIGCHLD comes next */
			kill(-1, SIGKILL);
		}
		break;
	case PHASE_DRAINING:
		if (late || !sources_have_output(&init->sources))
			finish_draining(init);
		break;
	case PHASE_REPORTING:
		if (late)
			enter_phase(init, PHASE_OVER, UINT64_MAX);
		break;
	case PHASE_RUNNING:
	case PHASE_OVER:
		break;
	}
}

/* --- the loop ------------------------------------------------------------------------------- */

static void dispatch(struct init *init, const struct epoll_event *event)
{
	enum source source = (enum source)event->data.u64;

	if (event->data.u64 == TOKEN_HEALTH) {
		health_on_event(&init->health);
		return;
	}
	if (event->data.u64 >= TOKEN_EXECS) {
		exec_on_event(&init->execs, event->data.u64);
		return;
	}

	if (source == SOURCE_SIGNALS)
		on_signal(init);
	else if (source == SOURCE_CHANNEL)
		channel_on_event(&init->channel, event->events);
	else
		sources_read(&init->sources, source);
}

static int timeout_ms(const struct init *init)
{
	uint64_t now = now_ms(), limit = INT32_MAX, wake = init->deadline_ms;
	uint64_t health = health_wake_ms(&init->health), clock = clock_wake_ms(&init->clock);

	wake = health < wake ? health : wake;
	wake = clock < wake ? clock : wake;
	if (wake != UINT64_MAX)
		limit = wake > now ? wake - now : 0;
	if (channel_wants_tending(&init->channel) && limit > CHANNEL_TEND_MS)
		limit = CHANNEL_TEND_MS;
	return (int)(limit < INT32_MAX ? limit : INT32_MAX);
}

static void run(struct init *init)
{
	while (init->phase != PHASE_OVER) {
		struct epoll_event events[SOURCE_COUNT];
		int count;

		advance(init);
		exec_tend(&init->execs);
		health_tend(&init->health, now_ms());
		clock_tend(&init->clock, now_ms());
		tell_stats(init);
		channel_tend(&init->channel, now_ms());
		sources_pace(&init->sources);
		count = epoll_wait(init->epoll, events, SOURCE_COUNT, timeout_ms(init));
		for (int i = 0; i < count; i++)
			dispatch(init, &events[i]);
	}
}

static void prepare(struct init *init)
{
	const struct channel_verbs verbs = { .stop = stop,
					     .hosts = set_hosts,
					     .exit_seen = exit_seen,
					     .session = on_session,
					     .health = on_health,
					     .clock = on_clock,
					     .stats = on_stats_asked,
					     .gone = host_gone,
					     .data = init };
	sigset_t handled;

	sigemptyset(&handled);
	sigaddset(&handled, SIGCHLD);
	sigaddset(&handled, SIGINT);
	sigaddset(&handled, SIGTERM);
	sigaddset(&handled, SIGPWR);
	sigprocmask(SIG_BLOCK, &handled, NULL);
	signal(SIGPIPE, SIG_IGN);
	reboot(RB_DISABLE_CAD); /* ctrl-alt-del becomes SIGINT */
	umask(0022);

	init->epoll = epoll_create1(EPOLL_CLOEXEC);
	sources_init(&init->sources, &init->channel, init->epoll, look_for_damage, init);
	sources_watch(&init->sources, SOURCE_SIGNALS,
		      signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK));
	channel_init(&init->channel, init->epoll, SOURCE_CHANNEL, &verbs);
	exec_init(&init->execs, &init->channel, &init->world.config, init->epoll, TOKEN_EXECS);
	clock_init(&init->clock, &init->channel);
	health_init(&init->health, &init->channel, &init->world.config, init->epoll, TOKEN_HEALTH);
	init->world.mounts = (struct mounts){ .root = -1, .upper = -1 };
	init->deadline_ms = UINT64_MAX;
}

/* Without them there is no channel to complain on. */
static void open_channel(struct init *init)
{
	struct failure why = { "" };

	if (modules_load_late(&init->world.modules, &why) < 0)
		channel_say(&init->channel, "%s", why.text);
}

static void start(struct init *init)
{
	struct failure why = { "" };
	int built = world_build(&init->world, &why);

	channel_set_key(&init->channel, init->world.config.channel_key);
	if (built == 0) {
		sources_watch(&init->sources, SOURCE_SYSLOG, syslog_open());
		sources_watch(&init->sources, SOURCE_KERNEL, kmsg_open());
		if (service_start(init->world.mounts.root, &init->world.config, &init->service,
				  &why) == 0) {
			sources_watch(&init->sources, SOURCE_STDOUT, init->service.output);
			sources_watch(&init->sources, SOURCE_STDERR, init->service.errors);
			channel_set_running(&init->channel, true, init->service.boot_us);
			init->execs.root = init->world.mounts.root;
			health_begin(&init->health, init->world.mounts.root, now_ms());
			return;
		}
	}
	/* Where a read failed is of less interest than why. */
	if (init->world.config.verify)
		verity_find_damage(&why);
	dprintf(2, "stoker-init: %s\n", why.text);
	report_failure(init, &why);
	enter_phase(init, PHASE_DRAINING, 0);
}

/* Firecracker on x86 ends with a reset, not with a power-off: the host says so by how the kernel is
 * to reset. */
static void power_off(const struct init *init)
{
	if (init->world.ends_by_reset)
		reboot(RB_AUTOBOOT);
	reboot(RB_POWER_OFF);
	reboot(RB_AUTOBOOT);
}

int main(void)
{
	static struct init init;
	uint64_t begun_us;

	if (getpid() != 1) {
		fprintf(stderr, "stoker-init: runs as PID 1 of a guest, see stoker-init(8)\n");
		return 2;
	}
	begun_us = service_boot_us();
	prepare(&init);
	channel_set_begun(&init.channel, begun_us);
	start(&init);
	open_channel(&init);
	run(&init);
	power_off(&init);
	return 1;
}
