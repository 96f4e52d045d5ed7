/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the commands of the control socket answer; control/protocol.h says in which words. Called by
 * server.c, asks the roster and the daemon. `logs` lives in logs.c, `guard` in guards.c,
 * `stats` in stats.c, `image-...` in images.c.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "control/access.h"
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
	session_free(job->session);
	request_reset(&job->request);
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

enum progress client_send_instances(struct client *client, const char *key,
				    json_t *(*describe)(const struct job *job,
							const struct instance_status *status))
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
		if (!access_sees(client, instance->spec->tenant))
			continue;
		client_send(client, key, describe(job, instance));
		sent++;
	}
	i = status.count - i;
	fleet_status_reset(&status);
	return i > 0 ? PROGRESS_AGAIN : PROGRESS_DONE;
}

int client_find_named(const struct client *client, struct error *err)
{
	const char *name = client->job.request.name;
	struct fleet_status status = { 0 };
	bool found = true;

	if (*name) {
		roster_observe(client->control->roster, &status);
		found = fleet_status_find(&status, name) != NULL;
		fleet_status_reset(&status);
	}
	if (!found)
		return error_set(err, "there is no instance '%s' (`stokerctl status` lists them)",
				 name);
	return 0;
}

static json_t *describe_status(const struct job *job, const struct instance_status *status)
{
	(void)job;
	return instance_status_to_json(status);
}

/* --- status ------------------------------------------------------------------------------------
 */

static int status_start(struct client *client, struct error *err)
{
	const struct control *control = client->control;

	if (client_find_named(client, err) < 0)
		return -1;
	client_send(client, "daemon", control->handlers->describe(control->data));
	return 0;
}

static enum progress status_more(struct client *client)
{
	if (client_send_instances(client, "instance", describe_status) != PROGRESS_DONE)
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
	job->next_event = job->live_event = control->events.count + 1;
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
	if (client_send_instances(client, "result", describe_status) != PROGRESS_DONE)
		return PROGRESS_AGAIN;
	client_done(client, json_pack("{s:b}", "settled", job->has_settled));
	return PROGRESS_DONE;
}

/* --- events ------------------------------------------------------------------------------------
 */

static enum progress events_send(struct client *client)
{
	struct job *job = &client->job;
	const struct event *event = events_from(&client->control->events, job->next_event);
	uint64_t due = job->next_event > job->live_event ? job->next_event : job->live_event;

	if (!event)
		return PROGRESS_WAIT;
	if (event->number > due)
		client_send(client, "dropped", json_integer((json_int_t)(event->number - due)));
	strbuf_puts(&client->out, event->line);
	job->next_event = event->number + 1;
	return PROGRESS_AGAIN;
}

static int events_start(struct client *client, struct error *err)
{
	(void)err;
	client->job.live_event = client->control->events.count + 1;
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
	[COMMAND_EXEC] = { exec_command_start, exec_command_more, exec_command_input },
	[COMMAND_STATS] = { stats_start, stats_more },
	[COMMAND_RESTART] = { restart_start, NULL },
	[COMMAND_PAUSE] = { pause_start, NULL },
	[COMMAND_RESUME] = { resume_start, NULL },
	[COMMAND_EVENTS] = { events_start, events_more },
	[COMMAND_VERSION] = { version_start, NULL },
	[COMMAND_IMAGE_LIST] = { image_list_start, image_list_more },
	[COMMAND_IMAGE_INSPECT] = { image_inspect_start, NULL },
	[COMMAND_IMAGE_PULL] = { image_fetch_start, image_fetch_more },
	[COMMAND_IMAGE_PRUNE] = { image_prune_start, NULL },
	[COMMAND_VOLUME_LIST] = { volume_list_start, NULL },
	[COMMAND_VOLUME_PRUNE] = { volume_prune_start, NULL },
};
