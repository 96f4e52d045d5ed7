/* SPDX-License-Identifier: Apache-2.0 */
/* `stats`: asks guests how they are doing, and tells what was heard. A guest that does not answer
 * holds up nobody for longer than ANSWER_MS. */
#include <string.h>

#include "control/access.h"
#include "control/client.h"

enum { ANSWER_MS = 3000 };

static bool is_meant(const struct client *client, const struct instance_status *status)
{
	const char *name = client->job.request.name;

	return (!*name || strcmp(name, status->spec->name) == 0) &&
	       access_sees(client, status->spec->tenant);
}

/* Only those that run are asked, and waited for. */
int stats_start(struct client *client, struct error *err)
{
	const struct control *control = client->control;
	struct job *job = &client->job;
	struct fleet_status status = { 0 };

	if (client_find_named(client, err) < 0)
		return -1;
	job->asked_ms = loop_now_ms();
	job->until_ms = job->asked_ms + ANSWER_MS;
	job->is_waiting = true;
	roster_observe(control->roster, &status);
	for (size_t i = 0; i < status.count; i++)
		if (is_meant(client, &status.instances[i]))
			roster_ask_stats(control->roster, status.instances[i].spec->name);
	fleet_status_reset(&status);
	return 0;
}

static bool all_have_answered(const struct client *client)
{
	struct fleet_status status = { 0 };
	bool is_missing = false;

	roster_observe(client->control->roster, &status);
	for (size_t i = 0; i < status.count && !is_missing; i++)
		is_missing = is_meant(client, &status.instances[i]) &&
			     status.instances[i].phase == PHASE_RUNNING &&
			     status.instances[i].stats.heard_ms < client->job.asked_ms;
	fleet_status_reset(&status);
	return !is_missing;
}

/* Without "stats": it did not answer. */
static json_t *describe(const struct job *job, const struct instance_status *status)
{
	json_t *object = json_object();

	json_object_set_new(object, "name", json_string(status->spec->name));
	json_object_set_new(object, "phase", json_string(phase_name(status->phase)));
	if (status->phase == PHASE_RUNNING && status->stats.heard_ms >= job->asked_ms)
		json_object_set_new(object, "stats", guest_stats_to_json(&status->stats));
	return object;
}

enum progress stats_more(struct client *client)
{
	struct job *job = &client->job;

	if (job->is_waiting && !all_have_answered(client) && loop_now_ms() < job->until_ms)
		return PROGRESS_WAIT;
	job->is_waiting = false;
	if (client_send_instances(client, "guest", describe) != PROGRESS_DONE)
		return PROGRESS_AGAIN;
	client_done(client, NULL);
	return PROGRESS_DONE;
}
