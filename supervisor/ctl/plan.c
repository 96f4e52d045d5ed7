/* SPDX-License-Identifier: Apache-2.0 */
/* stokerctl plan: what a reload would do, in the very words of `stokerd -n`. */
#include <string.h>

#include "ctl/client.h"
#include "ctl/print.h"

static void on_answer(void *data, const char *key, const json_t *value)
{
	if (strcmp(key, "text") == 0 && json_is_string(value))
		strbuf_puts(data, json_string_value(value));
}

int ctl_plan(const struct ctl *ctl)
{
	_cleanup_strbuf_ struct strbuf text = { 0 };
	struct error err = { 0 };
	struct request request;
	int result;

	if (request_init(&request, COMMAND_PLAN, ctl, &err) < 0)
		return ctl_fail(&err);
	result = client_ask(ctl, &request, on_answer, &text, NULL, &err);
	/* With an error, the text is the list of problems. */
	print_text(result < 0 ? stderr : stdout, strbuf_text(&text));
	return result < 0 ? ctl_fail(&err) : EXIT_DONE;
}
