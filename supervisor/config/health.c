/* SPDX-License-Identifier: Apache-2.0 */
/* That those whom a VM depends on exist, and do not wait for it themselves, is depends.c's to see.
 */
#include "config/health.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "config/manifest.h"
#include "config/scalar.h"

enum { PATH_BYTES_MAX = 255, COMMAND_BYTES_MAX = 16 << 10, DEPENDENCIES_MAX = 256 };

/* --- healthcheck ----------------------------------------------------------------------------- */

/* One kind of check is enough. */
static bool begin_kind(struct report *report, const struct schema_key *key, const struct node *node,
		       struct strv *check)
{
	if (check->count) {
		report_add(report, node->mark, "healthcheck: '%s' beside '%s' (leave one of them)",
			   key->name, check->items[0]);
		return false;
	}
	strv_add(check, key->name);
	return true;
}

/* ":80", and what follows it; NULL: there is no port, which is reported. */
static const char *parse_port(struct report *report, const struct schema_key *key,
			      const struct node *node, const char *example)
{
	const char *text = field_text(report, key->name, node), *end;
	_cleanup_free_ char *digits = NULL;
	uint64_t port;

	if (!text)
		return NULL;
	end = *text == ':' ? text + 1 + strspn(text + 1, "0123456789") : text;
	digits = xstrndup(text + (*text == ':'), (size_t)(end - text) - (*text == ':'));
	if (*text == ':' && scalar_u64(digits, 1, 65535, &port, NULL) == 0)
		return end;
	report_add(report, node->mark, "%s: '%s' does not begin with a port (such as %s)",
		   key->name, text, example);
	return NULL;
}

FIELD_PARSER(parse_health_tcp)
{
	struct vm_draft *vm = field;
	const char *rest;

	if (!begin_kind(report, key, node, &vm->spec.healthcheck))
		return;
	rest = parse_port(report, key, node, ":80");
	if (rest && *rest)
		report_add(report, node->mark, "%s: '%s' is more than a port (such as :80)",
			   key->name, node->text);
	else if (rest)
		strv_add(&vm->spec.healthcheck, node->text);
}

static bool is_path(const char *text)
{
	if (*text != '/' || strlen(text) > PATH_BYTES_MAX)
		return false;
	for (; *text; text++)
		if (*text <= 0x20 || *text >= 0x7f)
			return false;
	return true;
}

FIELD_PARSER(parse_health_http)
{
	struct vm_draft *vm = field;
	const char *rest;

	if (!begin_kind(report, key, node, &vm->spec.healthcheck))
		return;
	rest = parse_port(report, key, node, ":80/healthz");
	if (rest && *rest && !is_path(rest))
		report_add(report, node->mark,
			   "%s: what follows the port is not a path (such as :80/healthz)",
			   key->name);
	else if (rest)
		strv_addf(&vm->spec.healthcheck, "%s%s", node->text, *rest ? "" : "/");
}

FIELD_PARSER(parse_health_exec)
{
	_cleanup_strv_ struct strv words = { 0 };
	struct vm_draft *vm = field;
	size_t total = 0;

	if (!begin_kind(report, key, node, &vm->spec.healthcheck) ||
	    field_words(report, key->name, node, &words) < 0)
		return;
	if (!words.count || !*words.items[0])
		report_add(report, node->mark, "%s: there is nothing to run", key->name);
	STRV_EACH (word, &words) {
		total += strlen(word);
		strv_add(&vm->spec.healthcheck, word);
	}
	if (total > COMMAND_BYTES_MAX)
		report_add(report, node->mark, "%s: %zu bytes (at most %d)", key->name, total,
			   COMMAND_BYTES_MAX);
}

FIELD_PARSER(parse_on_unhealthy)
{
	struct vm_draft *vm = field;
	const char *text = field_text(report, key->name, node);

	if (text && strcmp(text, "stop") != 0 && strcmp(text, "none") != 0)
		report_add(report, node->mark, "%s: '%s' is neither 'none' nor 'stop'", key->name,
			   text);
	vm->spec.unhealthy_stops = text && strcmp(text, "stop") == 0;
}

FIELD_PARSER(parse_healthcheck)
{
	struct vm_draft *vm = field;
	size_t before = report_count(report);

	(void)key;
	schema_apply(&schema_healthcheck, report, node, node->mark, vm);
	if (!vm->spec.healthcheck.count && report_count(report) == before)
		report_add(report, node->mark, "a healthcheck needs 'tcp', 'http' or 'exec'");
}

/* --- depends_on ------------------------------------------------------------------------------ */

static bool is_condition(struct report *report, const struct node *node)
{
	const char *text;

	if (node->kind != NODE_TEXT || node_is_null(node)) {
		report_add(report, node->mark,
			   "depends_on: what to wait for is 'started' or 'healthy', not %s",
			   node_kind_name(node));
		return false;
	}
	text = node->text;
	if (strcmp(text, "started") == 0 || strcmp(text, "healthy") == 0)
		return true;
	report_add(report, node->mark, "depends_on: '%s' is neither 'started' nor 'healthy'", text);
	return false;
}

static bool is_listed(const struct strv *list, const char *name)
{
	size_t length = strlen(name);

	STRV_EACH (line, list)
		if (strncmp(line, name, length) == 0 && line[length] == '=')
			return true;
	return false;
}

static void add_names(struct report *report, const struct node *node, struct strv *list)
{
	for (size_t i = 0; i < node->count; i++) {
		const char *name = field_text(report, "depends_on", node->items[i]);

		if (name && is_listed(list, name))
			report_add(report, node->items[i]->mark, "depends_on: '%s' is listed twice",
				   name);
		else if (name)
			strv_addf(list, "%s=started", name);
	}
}

/* By name: no name holds a '='. */
static int compare_lines(const void *a, const void *b)
{
	const char *left = *(char *const *)a, *right = *(char *const *)b;
	size_t left_length = strcspn(left, "="), right_length = strcspn(right, "=");
	int order = memcmp(left, right, left_length < right_length ? left_length : right_length);

	return order ? order : (left_length > right_length) - (left_length < right_length);
}

FIELD_PARSER(parse_depends_on)
{
	struct vm_draft *vm = field;
	struct strv *list = &vm->spec.depends_on;
	size_t before = report_count(report);

	if (node->kind == NODE_TEXT) {
		report_add(report, node->mark, "'%s' must be a mapping or a list, not %s",
			   key->name, node_kind_name(node));
		return;
	}
	if (node->count > 2 * DEPENDENCIES_MAX) {
		report_add(report, node->mark, "'%s' has too many items (at most %d)", key->name,
			   DEPENDENCIES_MAX);
		return;
	}
	if (node->kind == NODE_LIST)
		add_names(report, node, list);
	else
		for (size_t i = 0; i < node->count; i += 2)
			if (is_condition(report, node->items[i + 1]))
				strv_addf(list, "%s=%s", node->items[i]->text,
					  node->items[i + 1]->text);
	if (list->count)
		qsort(list->items, list->count, sizeof(char *), compare_lines);
	if (report_count(report) == before)
		vm->depends_on = node;
}
