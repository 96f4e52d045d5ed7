/* SPDX-License-Identifier: Apache-2.0 */
/* stokerctl logs: what a VM said, from the log that the daemon keeps of it. */
#include <string.h>

#include "ctl/client.h"
#include "ctl/print.h"

static void on_answer(void *data, const char *key, const json_t *value)
{
	(void)data;
	if (strcmp(key, "log") == 0 && json_is_string(value))
		print_text(stdout, json_string_value(value));
	if (strcmp(key, "gap") == 0) {
		fflush(stdout);
		fputs("stokerctl: lines are missing here (rotated away before they were read)\n",
		      stderr);
	}
	fflush(stdout);
}

int ctl_logs(const struct ctl *ctl)
{
	struct error err = { 0 };
	struct request request;

	if (request_init(&request, COMMAND_LOGS, ctl, &err) < 0 ||
	    client_ask(ctl, &request, on_answer, NULL, NULL, &err) < 0)
		return ctl_fail(&err);
	return EXIT_DONE;
}
