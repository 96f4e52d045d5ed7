/* SPDX-License-Identifier: Apache-2.0 */
/* stokerctl events: what happened to instances lately, or as it happens. */
#include <string.h>

#include "ctl/client.h"
#include "ctl/print.h"

static void on_answer(void *data, const char *key, const json_t *value)
{
	(void)data;
	if (strcmp(key, "event") == 0) {
		print_text(stdout, json_string_or(value, "time", "?"));
		fputs("  ", stdout);
		print_change(value);
	} else if (strcmp(key, "dropped") == 0) {
		printf("(%lld events lost: read too slowly)\n",
		       (long long)json_integer_value(value));
	}
	fflush(stdout);
}

int ctl_events(const struct ctl *ctl)
{
	struct error err = { 0 };
	struct request request;

	if (request_init(&request, COMMAND_EVENTS, ctl, &err) < 0 ||
	    client_ask(ctl, &request, on_answer, NULL, NULL, &err) < 0)
		return ctl_fail(&err);
	return EXIT_DONE;
}
