/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by main.c with the channel's frames, the loop's events and time, and the children it
 * reaps. A check is a child: the workload's own program, or probe.c in a copy of this one.
 */
#include "guest-init/health.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest-init/probe.h"
#include "guest-init/service.h"

#define CGROUP "/sys/fs/cgroup/health"

/* While it starts, whoever waits for it wants to know soon. */
enum { STARTING_INTERVAL_MS = 1000 };

void health_init(struct health *health, struct channel *channel, const struct config *config,
		 int epoll, uint64_t token)
{
	*health = (struct health){ .channel = channel,
				   .config = config,
				   .epoll = epoll,
				   .token = token,
				   .root = -1,
				   .fd = -1 };
}

/* --- results -------------------------------------------------------------------------------- */

static bool is_starting(const struct health *health, uint64_t now_ms)
{
	return !health->successes && now_ms - health->started_ms < health->check.start_period_ms;
}

/* One that failed in the start period leaves no trace but its message. */
static void conclude(struct health *health, bool is_good, const char *message, uint64_t now_ms)
{
	uint64_t interval_ms = health->check.interval_ms;

	if (is_good) {
		health->successes = 1;
		health->failures = 0;
	} else if (!is_starting(health, now_ms) && health->failures < UINT32_MAX) {
		health->failures++;
	}
	memset(health->message, 0, sizeof(health->message));
	snprintf(health->message, sizeof(health->message), "%s", message);
	if (is_starting(health, now_ms) && interval_ms > STARTING_INTERVAL_MS)
		interval_ms = STARTING_INTERVAL_MS;
	health->next_ms = now_ms + interval_ms;
	health->is_due = true;
}

static void send_result(struct health *health)
{
	struct frame_health_result result = { .serial = htole32(health->check.serial),
					      .successes = htole32(health->successes),
					      .failures = htole32(health->failures) };

	if (!health->is_due || health->is_awaited ||
	    channel_session_room(health->channel) < sizeof(result))
		return;
	memcpy(result.message, health->message, sizeof(result.message));
	channel_session_send(health->channel, FRAME_HEALTH_RESULT, 0, &result, sizeof(result));
	health->is_due = false;
	health->is_awaited = true;
}

/* --- a check -------------------------------------------------------------------------------- */

static void close_output(struct health *health)
{
	if (health->fd >= 0)
		close(health->fd); /* out of the epoll set by that */
	health->fd = -1;
}

/* 1: there may be more. What is too much is read as well, so that the check does not wait. */
static int read_output(struct health *health)
{
	size_t room = HEALTH_OUTPUT_MAX - health->output_length;
	char bytes[4096];
	ssize_t n;

	if (health->fd < 0)
		return 0;
	n = read(health->fd, bytes, sizeof(bytes));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		close_output(health);
		return 0;
	}
	room = (size_t)n < room ? (size_t)n : room;
	memcpy(health->output + health->output_length, bytes, room);
	health->output_length += room;
	return 1;
}

void health_on_event(struct health *health)
{
	read_output(health);
}

/* Nobody of it is left behind. */
static void finish(struct health *health)
{
	service_kill_cgroup(CGROUP, health->pid);
	close_output(health);
}

static void end_check(struct health *health)
{
	if (!health->pid || health->is_judged)
		return;
	finish(health);
	health->is_judged = true;
}

static int open_streams(const struct user *user, int *ret_input, int pipes[2], struct failure *why)
{
	*ret_input = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (*ret_input < 0 || pipe2(pipes, O_CLOEXEC) < 0 ||
	    fcntl(pipes[0], F_SETFL, O_NONBLOCK) < 0 || fchown(pipes[1], user->uid, user->gid) < 0)
		return failure_set(why, "prepare its streams: %s", strerror(errno));
	return 0;
}

static int launch(struct health *health, struct launch *launch, struct failure *why)
{
	struct probe probe = { .port = (uint16_t)health->check.port,
			       .addresses = &health->config->addresses };

	if (health->check.kind == HEALTH_EXEC)
		launch->argv = health->words.items;
	else if (health->check.kind == HEALTH_HTTP)
		probe.path = health->words.items[0];
	return service_spawn(launch, probe_run, &probe, &health->pid, why);
}

static int start(struct health *health, struct failure *why)
{
	struct launch how = { .environment = health->config->environment.items,
			      .path = config_environment(&health->config->environment, "PATH"),
			      .working_dir = service_working_dir(health->config),
			      .cgroup = CGROUP,
			      .ulimits = &health->config->ulimits,
			      .input = -1 };
	int pipes[2] = { -1, -1 };
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = health->token };
	int result = -1;

	if (service_find_user(health->root, health->config->user, &how.user, why) < 0 ||
	    service_make_cgroup(CGROUP, why) < 0)
		return -1;
	if (open_streams(&how.user, &how.input, pipes, why) == 0) {
		how.output = how.errors = pipes[1];
		result = launch(health, &how, why);
	}
	if (how.input >= 0)
		close(how.input);
	if (pipes[1] >= 0)
		close(pipes[1]);
	if (result < 0) {
		if (pipes[0] >= 0)
			close(pipes[0]);
		return -1;
	}
	health->fd = pipes[0];
	epoll_ctl(health->epoll, EPOLL_CTL_ADD, health->fd, &event);
	return 0;
}

static void begin_check(struct health *health, uint64_t now_ms)
{
	struct failure why = { "" };

	if (health->pid) {
		conclude(health, false, "the check before cannot be ended", now_ms);
		return;
	}
	health->output_length = 0;
	health->is_judged = false;
	health->deadline_ms = now_ms + health->check.timeout_ms;
	if (start(health, &why) < 0)
		conclude(health, false, why.text, now_ms);
}

static void give_up(struct health *health, uint64_t now_ms)
{
	char message[64];

	snprintf(message, sizeof(message), "no result within %u ms", health->check.timeout_ms);
	end_check(health);
	conclude(health, false, message, now_ms);
}

/* The first line of what it said, behind how it ended. */
static void judge(struct health *health, int status, uint64_t now_ms)
{
	bool is_good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	char message[FRAME_MESSAGE_MAX], ending[32] = "";
	const char *output = health->output;

	while (read_output(health))
		;
	health->output[health->output_length] = '\0';
	output += strspn(output, " \t\r\n");
	if (WIFSIGNALED(status))
		snprintf(ending, sizeof(ending), "signal %d", WTERMSIG(status));
	else if (!is_good && health->check.kind == HEALTH_EXEC)
		snprintf(ending, sizeof(ending), "exit code %d", WEXITSTATUS(status));
	snprintf(message, sizeof(message), "%s%s%.*s", ending, *ending && *output ? ": " : "",
		 (int)strcspn(output, "\r\n"), output);
	finish(health);
	conclude(health, is_good, message, now_ms);
}

bool health_on_reaped(struct health *health, pid_t pid, int status, uint64_t now_ms)
{
	if (!health->pid || pid != health->pid)
		return false;
	health->pid = 0;
	/* One that was given up, or whose definition is gone, counts no more. */
	if (!health->is_judged)
		judge(health, status, now_ms);
	if (health->is_waited_for)
		health->next_ms = now_ms;
	health->is_waited_for = false;
	return true;
}

/* --- the host's frames ---------------------------------------------------------------------- */

static bool is_same_list(const struct list *a, const struct list *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	return true;
}

static bool is_sane(const struct frame_health *check, const struct config *asked)
{
	bool has_port = check->port > 0 && check->port <= 65535;

	switch ((enum health_kind)check->kind) {
	case HEALTH_OFF:
		return true;
	case HEALTH_TCP:
		return has_port && check->interval_ms && check->timeout_ms;
	case HEALTH_HTTP:
		return has_port && check->interval_ms && check->timeout_ms &&
		       asked->command.count == 1;
	case HEALTH_EXEC:
		return check->interval_ms && check->timeout_ms && asked->command.count;
	}
	return false;
}

/* What is known of a check stays known while the same is checked. */
static void define(struct health *health, const struct frame_health *check, struct config *asked,
		   uint64_t now_ms)
{
	bool is_same = check->kind == health->check.kind && check->port == health->check.port &&
		       is_same_list(&asked->command, &health->words);
	struct config before = { .command = health->words };

	health->check = *check;
	health->words = asked->command;
	asked->command = (struct list){ 0 };
	config_reset(&before);
	if (is_same) {
		if (health->next_ms > now_ms + check->interval_ms)
			health->next_ms = now_ms + check->interval_ms;
	} else {
		end_check(health);
		health->successes = health->failures = 0;
		memset(health->message, 0, sizeof(health->message));
		/* The one before may take a moment to end; if it never does, that is a failure. */
		health->is_waited_for = health->pid > 0;
		health->next_ms = now_ms + (health->pid ? check->timeout_ms : 0);
	}
	health->is_due = check->kind != HEALTH_OFF;
}

static bool on_definition(struct health *health, const void *payload, size_t length,
			  uint64_t now_ms)
{
	struct config asked = { 0 };
	struct frame_health check;
	struct failure why;
	bool is_good;

	if (length < sizeof(check))
		return false;
	memcpy(&check, payload, sizeof(check));
	check = (struct frame_health){ .serial = le32toh(check.serial),
				       .kind = le32toh(check.kind),
				       .port = le32toh(check.port),
				       .interval_ms = le32toh(check.interval_ms),
				       .timeout_ms = le32toh(check.timeout_ms),
				       .start_period_ms = le32toh(check.start_period_ms) };
	is_good = config_parse((const char *)payload + sizeof(check), length - sizeof(check),
			       CONFIG_FROM_HOST, &asked, &why) == 0 &&
		  is_sane(&check, &asked);
	if (is_good)
		define(health, &check, &asked, now_ms);
	config_reset(&asked);
	return is_good;
}

bool health_on_frame(struct health *health, unsigned type, const void *payload, size_t length,
		     uint64_t now_ms)
{
	if (type == FRAME_HEALTH)
		return on_definition(health, payload, length, now_ms);
	if (length)
		return false;
	health->is_awaited = false;
	return true;
}

void health_on_gone(struct health *health)
{
	health->is_awaited = false;
	health->is_due = false; /* until that host or the next defines a check */
}

/* --- time ----------------------------------------------------------------------------------- */

void health_begin(struct health *health, int root, uint64_t now_ms)
{
	health->root = root;
	health->started_ms = health->next_ms = now_ms;
}

void health_end(struct health *health)
{
	end_check(health);
	health->root = -1;
}

static bool is_running(const struct health *health)
{
	return health->pid && !health->is_judged;
}

static bool is_on(const struct health *health)
{
	return health->root >= 0 && health->check.kind != HEALTH_OFF;
}

void health_tend(struct health *health, uint64_t now_ms)
{
	if (is_running(health) && now_ms >= health->deadline_ms)
		give_up(health, now_ms);
	if (is_on(health) && !is_running(health) && now_ms >= health->next_ms)
		begin_check(health, now_ms);
	send_result(health);
}

uint64_t health_wake_ms(const struct health *health)
{
	if (is_running(health))
		return health->deadline_ms;
	return is_on(health) ? health->next_ms : UINT64_MAX;
}
