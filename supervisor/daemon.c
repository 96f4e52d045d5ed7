/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "config/load.h"
#include "control/metrics.h"
#include "control/notify.h"
#include "control/server.h"
#include "instance/peek.h"
#include "instance/roster.h"
#include "loop/loop.h"
#include "plan/plan.h"
#include "posture.h"
#include "progress.h"
#include "startup.h"

enum { DAEMON_SIGNALS = 3 };

struct daemon {
	const struct settings *settings; /* borrowed */
	struct loop *loop;
	struct watch *signals[DAEMON_SIGNALS];
	struct roster *roster;
	struct server *server;
	struct metrics *metrics;   /* NULL: nobody may ask */
	struct progress *progress; /* NULL: nobody watches */
	struct fleet *fleet;	   /* the one that holds; NULL: none was valid yet */
	struct posture posture;
	uint64_t started_ms;
	uint64_t reloads; /* that were applied */
	char *refusal;	  /* owned: why the last load was refused; NULL: it was not */
	int lock_fd;
};

/* --- loading and planning -------------------------------------------------------------------- */

static char *leases_path(const struct settings *settings)
{
	return xasprintf("%s/leases", settings->state_dir);
}

/* All problems, or the one error, end up in *ret_text (owned by the caller). */
static int load_fleet(const struct settings *settings, struct fleet **ret, char **ret_text)
{
	_cleanup_free_ char *path = leases_path(settings);
	struct problems problems = { 0 };
	struct leases *leases = NULL;
	struct error err = { 0 };
	int result;

	if (leases_read(path, &leases, &err) < 0) {
		*ret_text = xasprintf("%s\n", err.text);
		return -1;
	}
	result = fleet_load(settings->fleet_dir, settings, leases, ret, &problems);
	if (result < 0)
		*ret_text = strbuf_take(&problems.text);
	leases_free(leases);
	problems_reset(&problems);
	return result;
}

static void plan_against(const struct daemon *daemon, const struct fleet *fleet,
			 struct plan *ret_plan, char **ret_text)
{
	struct fleet_status observed = { 0 };
	struct strbuf text = { 0 };

	roster_observe(daemon->roster, &observed);
	plan_make(fleet, &observed, ret_plan);
	plan_print(ret_plan, &observed, &text);
	fleet_status_reset(&observed);
	*ret_text = strbuf_take(&text);
}

static int on_plan(void *data, char **ret_text)
{
	_cleanup_plan_ struct plan plan = { 0 };
	struct daemon *daemon = data;
	struct fleet *fleet = NULL;

	if (load_fleet(daemon->settings, &fleet, ret_text) < 0)
		return -1;
	plan_against(daemon, fleet, &plan, ret_text);
	fleet_free(fleet);
	return 0;
}

static void log_lines(enum log_level level, const char *text)
{
	_cleanup_free_ char *copy = xstrdup(text);
	char *rest = copy;

	for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n"))
		if (*line)
			log_message(level, "%s", line);
}

/* The addresses are written down before a VM uses them: a crash in between loses nothing. */
static int keep_leases(const struct daemon *daemon, const struct fleet *fleet, char **ret_text)
{
	_cleanup_free_ char *path = leases_path(daemon->settings);
	struct error err = { 0 };

	if (leases_write(path, fleet, &err) == 0)
		return 0;
	*ret_text = xasprintf("%s\n", err.text);
	return -1;
}

static int apply(struct daemon *daemon, char **ret_text)
{
	_cleanup_plan_ struct plan plan = { 0 };
	struct fleet *fleet = NULL;

	if (load_fleet(daemon->settings, &fleet, ret_text) < 0)
		return -1;
	if (keep_leases(daemon, fleet, ret_text) < 0) {
		fleet_free(fleet);
		return -1;
	}
	plan_against(daemon, fleet, &plan, ret_text);
	log_lines(LOG_LEVEL_INFO, *ret_text);
	roster_apply(daemon->roster, fleet, &plan);
	fleet_free(daemon->fleet);
	daemon->fleet = fleet;
	return 0;
}

/* Loads and applies; what is refused is kept for `status` and said in the log. */
static int load_and_apply(struct daemon *daemon, char **ret_text)
{
	posture_examine(&daemon->posture, daemon->settings);
	roster_hold(daemon->roster, daemon->posture.refusal);
	free(daemon->refusal);
	daemon->refusal = NULL;
	if (apply(daemon, ret_text) == 0) {
		daemon->reloads++;
		return 0;
	}
	daemon->refusal = xstrdup(*ret_text);
	log_error("manifests refused, nothing was changed:");
	log_lines(LOG_LEVEL_ERROR, *ret_text);
	return -1;
}

static void say_ready(const struct daemon *daemon)
{
	const char *state = "the fleet is as the manifests say";
	struct error err;

	if (daemon->refusal)
		state = "manifests refused: the old fleet goes on";
	else if (daemon->posture.refusal)
		state = "no VM is started: the host falls short of [host] require";
	if (notify_ready(state, &err) < 0)
		log_warning("%s", err.text);
}

static int reload(struct daemon *daemon, char **ret_text)
{
	struct error err;
	int result;

	if (notify_reloading(&err) < 0)
		log_warning("%s", err.text);
	forward_reopen(roster_forward(daemon->roster));
	result = load_and_apply(daemon, ret_text);
	say_ready(daemon);
	return result;
}

static int on_reload(void *data, char **ret_text)
{
	struct daemon *daemon = data;
	struct strbuf text = { 0 };

	if (reload(daemon, ret_text) < 0)
		return -1;
	STRV_EACH (line, &daemon->posture.warnings)
		strbuf_printf(&text, "warning: %s\n", line);
	strbuf_puts(&text, *ret_text);
	free(*ret_text);
	*ret_text = strbuf_take(&text);
	return 0;
}

static json_t *describe_forward(const struct daemon *daemon)
{
	const struct forward *forward = roster_forward(daemon->roster);
	struct forward_counts counts;

	if (!forward)
		return json_null();
	forward_count(forward, &counts);
	return json_pack("{s:s,s:b,s:I,s:I}", "target", daemon->settings->log_forward, "is_up",
			 counts.is_up, "lines", (json_int_t)counts.lines, "lost",
			 (json_int_t)counts.lost);
}

static json_t *on_describe(void *data)
{
	const struct daemon *daemon = data;
	json_t *object = json_object();

	json_object_set_new(object, "version", json_string(STOKER_VERSION));
	json_object_set_new(object, "pid", json_integer(getpid()));
	json_object_set_new(object, "uptime_ms",
			    json_integer((json_int_t)(loop_now_ms() - daemon->started_ms)));
	json_object_set_new(object, "reloads", json_integer((json_int_t)daemon->reloads));
	json_object_set_new(object, "refusal",
			    daemon->refusal ? json_string(daemon->refusal) : json_null());
	json_object_set_new(object, "forward", describe_forward(daemon));
	json_object_set_new(object, "warnings", json_from_strv(&daemon->posture.warnings));
	return object;
}

static const struct fleet *on_fleet(void *data)
{
	const struct daemon *daemon = data;

	return daemon->fleet;
}

static const struct control_handlers handlers = {
	.plan = on_plan,
	.reload = on_reload,
	.describe = on_describe,
	.fleet = on_fleet,
};

/* --- what happens to instances --------------------------------------------------------------- */

static void log_health(const struct instance_status *status)
{
	enum log_level level = status->health == HEALTH_UNHEALTHY ? LOG_LEVEL_WARNING
								  : LOG_LEVEL_INFO;

	log_message(level, "%s: %s%s%s", status->spec->name, health_name(status->health),
		    *status->health_message ? ": " : "", status->health_message);
}

static void log_change(const struct instance_status *status)
{
	const char *name = status->spec->name;
	const char *phase = phase_name(status->phase), *reason = reason_name(status->reason);

	switch (status->phase) {
	case PHASE_BACKOFF:
		log_warning("%s: %s: %s%s%s (starts again in %llu ms)", name, phase, reason,
			    *status->message ? ": " : "", status->message,
			    (unsigned long long)status->next_start_ms);
		break;
	case PHASE_FAILED:
		log_error("%s: %s: %s%s%s", name, phase, reason, *status->message ? ": " : "",
			  status->message);
		break;
	case PHASE_STOPPED:
		log_info("%s: %s: %s %d%s%s", name, phase, reason,
			 status->reason == REASON_EXITED ? status->exit_code : status->exit_signal,
			 *status->message ? ": " : "", status->message);
		break;
	case PHASE_RUNNING:
		if (status->health != HEALTH_NONE)
			log_health(status);
		else if (status->boot_ms)
			log_info("%s: %s (pid %d, booted in %llu ms)", name, phase,
				 (int)status->pid, (unsigned long long)status->boot_ms);
		else
			log_info("%s: %s (pid %d, adopted)", name, phase, (int)status->pid);
		break;
	case PHASE_ABSENT:
	case PHASE_FETCHING:
	case PHASE_PREPARING:
	case PHASE_BOOTING:
	case PHASE_PAUSED:
	case PHASE_STOPPING:
	case PHASE_COUNT:
		log_info("%s: %s", name, phase);
		break;
	}
}

static void on_change(void *data, const struct instance_status *status)
{
	struct daemon *daemon = data;

	log_change(status);
	server_publish(daemon->server, status);
	if (status->phase == PHASE_FETCHING)
		progress_start(daemon->progress);
}

/* A guest that floods has a line a minute; the rest is in `stokerctl guard`. */
static void on_guard(void *data, const char *name, const struct net_event *event)
{
	struct daemon *daemon = data;

	server_publish_guard(daemon->server, name, event);
	if (!event->is_news)
		return;
	switch (event->kind) {
	case NET_EVENT_DROP:
		log_warning("%s: the guard drops frames %s it: %s (stokerctl guard %s)", name,
			    event->is_to_guest ? "to" : "from", event->reason, name);
		break;
	case NET_EVENT_REPAIRED:
		log_error("%s: %s; it is on again, and what passed meanwhile was not guarded", name,
			  event->message);
		break;
	case NET_EVENT_LOST:
		log_error("%s: its VM is killed: %s", name, event->message);
		break;
	case NET_EVENT_SHIELD_RAISED:
	case NET_EVENT_SHIELD_LOWERED:
	case NET_EVENT_SHIELD_REFUSED:
		log_warning("%s: %s: %s", name, net_event_name(event->kind), event->message);
		break;
	case NET_EVENT_KINDS:
		break;
	}
}

/* --- signals --------------------------------------------------------------------------------- */

static void on_hangup(struct watch *watch, unsigned events, void *data)
{
	_cleanup_free_ char *text = NULL;

	(void)watch;
	(void)events;
	reload(data, &text);
}

static void on_terminate(struct watch *watch, unsigned events, void *data)
{
	struct daemon *daemon = data;
	struct error err;

	(void)watch;
	(void)events;
	if (notify_stopping(&err) < 0)
		log_warning("%s", err.text);
	loop_stop(daemon->loop);
}

/* --- start and end --------------------------------------------------------------------------- */

/* Another program may have taken the port: VMs are looked after all the same. */
static void start_metrics(struct daemon *daemon)
{
	struct error err;

	if (metrics_open(daemon->loop, daemon->settings, daemon->roster, &handlers, daemon,
			 &daemon->metrics, &err) < 0)
		log_error("%s (no metrics until stokerd is started again)", err.text);
}

static int start(struct daemon *daemon, struct error *err)
{
	const struct settings *settings = daemon->settings;

	if (startup_prepare(settings, &daemon->lock_fd, err) < 0)
		return -1;
	daemon->started_ms = loop_now_ms();
	daemon->loop = loop_new(err);
	if (!daemon->loop)
		return -1;
	daemon->signals[0] = loop_signal(daemon->loop, SIGHUP, on_hangup, daemon);
	daemon->signals[1] = loop_signal(daemon->loop, SIGTERM, on_terminate, daemon);
	daemon->signals[2] = loop_signal(daemon->loop, SIGINT, on_terminate, daemon);
	if (roster_open(daemon->loop, settings, on_change, daemon, &daemon->roster, err) < 0)
		return -1;
	if (roster_watch_guards(daemon->roster, on_guard, daemon, err) < 0)
		return -1;
	daemon->progress = progress_new(daemon->loop, daemon->roster);
	start_metrics(daemon);
	return server_open(daemon->loop, settings, daemon->roster, &handlers, daemon,
			   &daemon->server, err);
}

/* Manifests that are wrong at the first start are the caller's to mend. When VMs were adopted, they
 * go on as they are, and status says why nothing else happens. */
static int first_load(struct daemon *daemon, struct error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t count = roster_count(daemon->roster);

	if (count)
		log_info("took over %zu VMs", count);
	if (load_and_apply(daemon, &text) < 0 && count == 0)
		return error_set(err, "%s: the manifests are not valid (mend them and start again)",
				 daemon->settings->fleet_dir);
	say_ready(daemon);
	return 0;
}

static void stop(struct daemon *daemon)
{
	server_close(daemon->server);
	metrics_close(daemon->metrics);
	progress_free(daemon->progress);
	roster_close(daemon->roster);
	for (int i = 0; i < DAEMON_SIGNALS; i++)
		watch_free(daemon->signals[i]);
	if (daemon->loop)
		loop_free(daemon->loop);
	fleet_free(daemon->fleet);
	posture_reset(&daemon->posture);
	free(daemon->refusal);
	if (daemon->lock_fd >= 0)
		close(daemon->lock_fd);
}

int daemon_run(const struct settings *settings, struct error *err)
{
	struct daemon daemon = { .settings = settings, .lock_fd = -1 };
	int result = start(&daemon, err);

	if (result == 0)
		result = first_load(&daemon, err);
	if (result == 0) {
		loop_run(daemon.loop);
		log_info("leaving; running VMs go on and are adopted by the next start");
	}
	stop(&daemon);
	return result;
}

int daemon_dry_run(const struct settings *settings)
{
	_cleanup_strbuf_ struct strbuf text = { 0 };
	_cleanup_plan_ struct plan plan = { 0 };
	_cleanup_free_ char *problems = NULL;
	struct fleet *fleet = NULL;
	struct peek peek = { 0 };
	struct error err;

	if (load_fleet(settings, &fleet, &problems) < 0) {
		fputs(problems, stderr);
		return EXIT_FAILURE;
	}
	if (peek_read(settings, &peek, &err) < 0) {
		fprintf(stderr, "stokerd: %s\n", err.text);
		fleet_free(fleet);
		return EXIT_FAILURE;
	}
	plan_make(fleet, &peek.status, &plan);
	plan_print(&plan, &peek.status, &text);
	fputs(strbuf_text(&text), stdout);
	peek_reset(&peek);
	fleet_free(fleet);
	return EXIT_SUCCESS;
}
