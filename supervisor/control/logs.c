/* SPDX-License-Identifier: Apache-2.0 */
/* The `logs` command: streams an instance's log file (control/tail) to a client. */
#include "control/client.h"
#include "model/logline.h"

int logs_start(struct client *client, struct error *err)
{
	struct job *job = &client->job;
	char since[LOGLINE_TIME_LENGTH + 1];
	_cleanup_free_ char *path = NULL;

	if (roster_log_path(client->control->roster, job->request.name, &path, err) < 0)
		return -1;
	logline_print_time(job->request.since_ms, since);
	return tail_open(path, job->request.lines, job->request.since_ms ? since : NULL, &job->tail,
			 err);
}

enum progress logs_more(struct client *client)
{
	struct job *job = &client->job;
	const char *bytes = NULL;
	int n = tail_read(job->tail, !job->request.follow, &bytes);

	if (n == TAIL_GAP) {
		client_send(client, "gap", json_true());
		return PROGRESS_AGAIN;
	}
	if (n > 0) {
		client_send(client, "log", protocol_text(bytes, (size_t)n));
		return PROGRESS_AGAIN;
	}
	if (job->request.follow && !job->is_now) {
		job->is_now = true;
		client_send(client, "now", json_true());
		return PROGRESS_AGAIN;
	}
	if (job->request.follow)
		return PROGRESS_WAIT;
	client_done(client, NULL);
	return PROGRESS_DONE;
}
