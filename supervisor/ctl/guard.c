/* SPDX-License-Identifier: Apache-2.0 */
/* stokerctl guard: what the guard let a VM send, and what it dropped, by reason. */
#include <string.h>

#include "ctl/client.h"
#include "ctl/print.h"

static void print_counter(const json_t *counter)
{
	printf("%-9s", json_bool_or(counter, "drop", false) ? "drop" : "pass");
	printf("%12llu  ", (unsigned long long)json_u64_or(counter, "packets", 0));
	print_text(stdout, json_string_or(counter, "name", "?"));
	putchar('\n');
}

static void on_answer(void *data, const char *key, const json_t *value)
{
	_cleanup_strbuf_ struct strbuf bytes = { 0 };
	const json_t *counter;
	size_t i, silent = 0;

	(void)data;
	if (strcmp(key, "guard") != 0)
		return;
	print_bytes(&bytes, json_u64_or(value, "accepted_bytes", 0));
	print_text(stdout, json_string_or(value, "name", "?"));
	fputs(": guard (", stdout);
	print_text(stdout, json_string_or(value, "attachment", "?"));
	printf("), %s accepted from the guest\n%-9s%12s  %s\n", strbuf_text(&bytes), "VERDICT",
	       "PACKETS", "REASON");
	json_array_foreach (json_object_get(value, "counters"), i, counter)
		if (json_bool_or(counter, "drop", false) && !json_u64_or(counter, "packets", 0))
			silent++;
		else
			print_counter(counter);
	if (silent > 0)
		printf("drop%17d  for each of %zu other reasons\n", 0, silent);
}

int ctl_guard(const struct ctl *ctl)
{
	struct error err = { 0 };
	struct request request;

	if (request_init(&request, COMMAND_GUARD, ctl, &err) < 0 ||
	    client_ask(ctl, &request, on_answer, NULL, NULL, &err) < 0)
		return ctl_fail(&err);
	return EXIT_DONE;
}
