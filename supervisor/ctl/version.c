/* SPDX-License-Identifier: Apache-2.0 */
/* stokerctl version: its own, and that of the daemon that runs. */
#include <string.h>

#include "ctl/client.h"
#include "ctl/print.h"

static void on_answer(void *data, const char *key, const json_t *value)
{
	(void)data;
	if (strcmp(key, "version") != 0 || !json_is_string(value))
		return;
	fputs("stokerd   ", stdout);
	print_text(stdout, json_string_value(value));
	putchar('\n');
}

int ctl_version(const struct ctl *ctl)
{
	struct error err = { 0 };
	struct request request;

	puts("stokerctl " STOKER_VERSION);
	if (request_init(&request, COMMAND_VERSION, ctl, &err) < 0 ||
	    client_ask(ctl, &request, on_answer, NULL, NULL, &err) < 0)
		return ctl_fail(&err);
	return EXIT_DONE;
}
