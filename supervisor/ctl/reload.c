/* SPDX-License-Identifier: Apache-2.0 */
/* stokerctl reload: applies the manifests, and stays until the fleet has come to rest. */
#include <string.h>

#include "ctl/client.h"
#include "ctl/print.h"

struct reload {
	struct strbuf text; /* the plan, not printed yet: or a list of problems */
	size_t touched, bad;
};

static void print_plan(struct reload *reload, FILE *out)
{
	print_text(out, strbuf_text(&reload->text));
	fflush(out);
	strbuf_reset(&reload->text);
}

static void count_result(struct reload *reload, const json_t *instance)
{
	const char *name = json_string_or(instance, "name", "?");
	const char *phase = json_string_or(instance, "phase", "");
	const char *message = json_string_or(instance, "message", "");
	_cleanup_strbuf_ struct strbuf text = { 0 };

	reload->touched++;
	if (strcmp(phase, "failed") != 0 && strcmp(phase, "backoff") != 0)
		return;
	reload->bad++;
	strbuf_printf(&text, "stokerctl: %s: %s, ", name, phase);
	print_reason(&text, instance);
	if (*message)
		strbuf_printf(&text, ": %s\n", message);
	else
		strbuf_printf(&text, " (see: stokerctl logs %s)\n", name);
	print_text(stderr, strbuf_text(&text));
}

static void on_answer(void *data, const char *key, const json_t *value)
{
	struct reload *reload = data;

	if (strcmp(key, "text") == 0 && json_is_string(value)) {
		strbuf_puts(&reload->text, json_string_value(value));
		return;
	}
	print_plan(reload, stdout);
	if (strcmp(key, "event") == 0)
		print_change(value);
	else if (strcmp(key, "dropped") == 0)
		printf("(%lld changes not shown)\n", (long long)json_integer_value(value));
	else if (strcmp(key, "result") == 0)
		count_result(reload, value);
	fflush(stdout);
}

static int judge(const struct ctl *ctl, const struct reload *reload, const json_t *done)
{
	struct error err = { 0 };

	if (ctl->timeout_ms > 0 && !json_bool_or(done, "settled", false)) {
		error_set(&err, "not settled after %llu s (it goes on: stokerctl status)",
			  (unsigned long long)ctl->timeout_ms / 1000);
		return ctl_fail(&err);
	}
	/* The reload itself is done: what an instance makes of it is told, and goes on changing. */
	if (reload->bad > 0)
		fprintf(stderr, "stokerctl: %zu of %zu changed instances do not run\n", reload->bad,
			reload->touched);
	return EXIT_DONE;
}

int ctl_reload(const struct ctl *ctl)
{
	_cleanup_json_ json_t *done = NULL;
	struct reload reload = { 0 };
	struct error err = { 0 };
	struct request request;
	int result;

	if (request_init(&request, COMMAND_RELOAD, ctl, &err) < 0)
		return ctl_fail(&err);
	result = client_ask(ctl, &request, on_answer, &reload, &done, &err);
	print_plan(&reload, result < 0 ? stderr : stdout);
	return result < 0 ? ctl_fail(&err) : judge(ctl, &reload, done);
}
