/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the commands of the control socket answer; control/protocol.h says in which words. Called by
 * server.c, asks the roster and the daemon. `logs` lives in logs.c, `guard` in guards.c,
 * `image-...` in images.c.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "control/client.h"

void job_reset(struct job *job)
{
	free(job->last_name);
	json_decref(job->touched);
	tail_close(job->tail);
	if (job->catalog)
		catalog_reset(job->catalog);
	free(job->catalog);
	pull_free(job->pull);
	*job = (struct job){ 0 };
}

/* --- walking the roster ------------------------------------------------------------------------
 */

/* The place after the instance that was sent last. The fleet may have changed since. */
static size_t resume_index(const struct job *job, const struct fleet_status *status)
{
	if (!job->last_name)
		return 0;
	for (size_t i = 0; i < status->count; i++)
		if (strcmp(status->instances[i].spec->name, job->last_name) == 0)
			return i + 1;
	return job->next_index;
}

/* Sends some of the instances that are asked for, {key: {...}} each. PROGRESS_DONE: none is left;
 * the caller ends the answer. */
static enum progress send_instances(struct client *client, const char *key)
{
	enum { AT_ONCE = 64 };
	struct job *job = &client->job;
	struct fleet_status status = { 0 };
	size_t i, sent = 0;

	roster_observe(client->control->roster, &status);
	for (i = resume_index(job, &status); i < status.count && sent < AT_ONCE; i++) {
		const struct instance_status *instance = &status.instances[i];
		const char *name = instance->spec->name;

		job->next_index = i + 1;
		free(job->last_name);
		job->last_name = xstrdup(name);
		if (job->request.name[0] && strcmp(job->request.name, name) != 0)
			continue;
		if (job->touched && !json_object_get(job->touched, name))
			continue;
		client_send(client, key, instance_status_to_json(instance));
		sent++;
	}
	i = status.count - i;
	fleet_status_reset(&status);
	return i > 0 ? PROGRESS_AGAIN : PROGRESS_DONE;
}

/* --- status ------------------------------------------------------------------------------------
 */

static int status_start(struct client *client, struct error *err)
{
	const struct control *control = client->control;
	const char *name = client->job.request.name;
	struct fleet_status status = { 0 };
	bool found = true;

	if (*name) {
		roster_observe(control->roster, &status);
		found = fleet_status_find(&status, name) != NULL;
		fleet_status_reset(&status);
	}
	if (!found)
		return error_set(err, "there is no instance '%s' (`stokerctl status` lists them)",
				 name);
	client_send(client, "daemon", control->handlers->describe(control->data));
	return 0;
}

static enum progress status_more(struct client *client)
{
	if (send_instances(client, "instance") != PROGRESS_DONE)
		return PROGRESS_AGAIN;
	client_done(client, NULL);
	return PROGRESS_DONE;
}

/* --- plan, reload ------------------------------------------------------------------------------
 */

static int plan_start(struct client *client, struct error *err)
{
	const struct control *control = client->control;
	_cleanup_free_ char *text = NULL;
	int result = control->handlers->plan(control->data, &text);

	client_send(client, "text", protocol_text(text ? text : "", text ? strlen(text) : 0));
	return result < 0 ? error_set(err, "the manifests are not valid") : 0;
}

static int reload_start(struct client *client, struct error *err)
{
	const struct control *control = client->control;
	struct job *job = &client->job;
	_cleanup_free_ char *text = NULL;
	int result;

	/* From before the call: changes may be published from inside it. */
	job->touched = json_object();
	job->next_event = control->events.count;
	job->until_ms = loop_now_ms() + job->request.timeout_ms;
	job->is_waiting = true;
	result = control->handlers->reload(control->data, &text);
	client_send(client, "text", protocol_text(text ? text : "", text ? strlen(text) : 0));
	return result < 0 ? error_set(err, "the manifests are not valid: nothing was changed") : 0;
}

static enum progress events_send(struct client *client);

static enum progress reload_more(struct client *client)
{
	struct job *job = &client->job;

	if (events_send(client) == PROGRESS_AGAIN)
		return PROGRESS_AGAIN;
	if (job->is_waiting) {
		job->has_settled = roster_is_settled(client->control->roster);
		if (!job->has_settled && loop_now_ms() < job->until_ms)
			return PROGRESS_WAIT;
		job->is_waiting = false;
	}
	if (send_instances(client, "result") != PROGRESS_DONE)
		return PROGRESS_AGAIN;
	client_done(client, json_pack("{s:b}", "settled", job->has_settled));
	return PROGRESS_DONE;
}

/* --- events ------------------------------------------------------------------------------------
 */

static void set(json_t *object, const char *key, json_t *value)
{
	json_object_set_new(object, key, value);
}

json_t *events_begin(const struct events *events, uint64_t time_ms, const char *name)
{
	time_t seconds = (time_t)(time_ms / 1000);
	json_t *object = json_object();
	char date[32] = "";
	struct tm utc;

	if (gmtime_r(&seconds, &utc))
		strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &utc);
	set(object, "number", json_integer((json_int_t)events->count + 1));
	set(object, "time", json_string(date));
	set(object, "name", json_string(name));
	return object;
}

void events_end(struct events *events, json_t *object)
{
	char **slot = &events->lines[events->count++ % EVENTS_KEPT];
	_cleanup_json_ json_t *event = object;
	_cleanup_free_ char *line = json_line(event);

	free(*slot);
	*slot = xasprintf("{\"event\":%s}\n", line);
}

/* What an event tells: less than a status, for there are many. */
void events_add(struct events *events, const struct instance_status *status)
{
	json_t *object = events_begin(events, (uint64_t)time(NULL) * 1000, status->spec->name);

	set(object, "phase", json_string(phase_name(status->phase)));
	set(object, "reason", json_string(reason_name(status->reason)));
	if (status->reason == REASON_EXITED)
		set(object, "exit_code", json_integer(status->exit_code));
	if (status->reason == REASON_SIGNALLED || status->reason == REASON_VMM_KILLED)
		set(object, "exit_signal", json_integer(status->exit_signal));
	set(object, "restarts", json_integer(status->restarts));
	set(object, "next_start_ms", json_integer((json_int_t)status->next_start_ms));
	set(object, "message", protocol_text(status->message, strlen(status->message)));
	events_end(events, object);
}

void events_reset(struct events *events)
{
	for (size_t i = 0; i < EVENTS_KEPT; i++)
		free(events->lines[i]);
	*events = (struct events){ 0 };
}

/* The place of the oldest that is kept. */
static uint64_t events_oldest(const struct events *events)
{
	return events->count > EVENTS_KEPT ? events->count - EVENTS_KEPT : 0;
}

static enum progress events_send(struct client *client)
{
	const struct events *events = &client->control->events;
	struct job *job = &client->job;
	uint64_t oldest = events_oldest(events);

	if (job->next_event >= events->count)
		return PROGRESS_WAIT;
	if (job->next_event < oldest) {
		client_send(client, "dropped",
			    json_integer((json_int_t)(oldest - job->next_event)));
		job->next_event = oldest;
	}
	strbuf_puts(&client->out, events->lines[job->next_event++ % EVENTS_KEPT]);
	return PROGRESS_AGAIN;
}

static int events_start(struct client *client, struct error *err)
{
	(void)err;
	client->job.next_event = events_oldest(&client->control->events);
	return 0;
}

static enum progress events_more(struct client *client)
{
	enum progress progress = events_send(client);

	if (progress == PROGRESS_AGAIN || client->job.request.follow)
		return progress;
	client_done(client, NULL);
	return PROGRESS_DONE;
}

/* --- restart, pause, resume, version ----------------------------------------------------
 */

static int restart_start(struct client *client, struct error *err)
{
	return roster_restart(client->control->roster, client->job.request.name, err);
}

static int pause_start(struct client *client, struct error *err)
{
	return roster_pause(client->control->roster, client->job.request.name, err);
}

static int resume_start(struct client *client, struct error *err)
{
	return roster_resume(client->control->roster, client->job.request.name, err);
}

static int version_start(struct client *client, struct error *err)
{
	(void)err;
	client_send(client, "version", json_string(STOKER_VERSION));
	return 0;
}

const struct command control_commands[COMMAND_COUNT] = {
	[COMMAND_STATUS] = { status_start, status_more },
	[COMMAND_PLAN] = { plan_start, NULL },
	[COMMAND_RELOAD] = { reload_start, reload_more },
	[COMMAND_LOGS] = { logs_start, logs_more },
	[COMMAND_GUARD] = { guard_start, NULL },
	[COMMAND_RESTART] = { restart_start, NULL },
	[COMMAND_PAUSE] = { pause_start, NULL },
	[COMMAND_RESUME] = { resume_start, NULL },
	[COMMAND_EVENTS] = { events_start, events_more },
	[COMMAND_VERSION] = { version_start, NULL },
	[COMMAND_IMAGE_LIST] = { image_list_start, image_list_more },
	[COMMAND_IMAGE_INSPECT] = { image_inspect_start, NULL },
	[COMMAND_IMAGE_PULL] = { image_fetch_start, image_fetch_more },
	[COMMAND_IMAGE_PRUNE] = { image_prune_start, NULL },
};
