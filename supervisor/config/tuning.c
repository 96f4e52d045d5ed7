/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest's kernel is told about the workload: `ulimits` in the forms of Compose, `sysctls`.
 * Called through schema.c. Names of limits are those of getrlimit(2), of sysctls those of the
 * guest's /proc/sys, which alone knows which there are.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "config/environment.h"
#include "config/fields.h"
#include "config/scalar.h"

static const char *const ulimit_names[] = { "as",    "core",	"cpu",	    "data",   "fsize",
					    "locks", "memlock", "msgqueue", "nice",   "nofile",
					    "nproc", "rss",	"rtprio",   "rttime", "sigpending",
					    "stack", NULL };

/* A number, or -1 or "unlimited". */
static bool parse_limit(struct report *report, const struct node *node, const char *name,
			int64_t *ret)
{
	const char *text = field_text(report, "ulimits", node);
	struct error err;
	uint64_t value;

	if (!text)
		return false;
	if (strcmp(text, "-1") == 0 || strcmp(text, "unlimited") == 0) {
		*ret = -1;
		return true;
	}
	if (scalar_u64(text, 0, INT64_MAX, &value, &err) < 0) {
		report_add(report, node->mark, "ulimits: %s: %s", name, err.text);
		return false;
	}
	*ret = (int64_t)value;
	return true;
}

/* {soft: N, hard: N} */
static bool parse_limit_pair(struct report *report, const struct node *node, const char *name,
			     int64_t *ret_soft, int64_t *ret_hard)
{
	bool has_soft = false, has_hard = false;

	for (size_t i = 0; i < node->count; i += 2) {
		const struct node *key = node->items[i], *value = node->items[i + 1];

		if (strcmp(key->text, "soft") == 0)
			has_soft = parse_limit(report, value, name, ret_soft);
		else if (strcmp(key->text, "hard") == 0)
			has_hard = parse_limit(report, value, name, ret_hard);
		else
			report_add(report, key->mark,
				   "ulimits: %s: unknown key '%s' (soft or hard)", name, key->text);
	}
	if (has_soft != has_hard || node->count == 0)
		report_add(report, node->mark, "ulimits: %s needs both soft and hard", name);
	return has_soft && has_hard;
}

static void add_limit(struct report *report, const struct node *key, const struct node *value,
		      struct strv *list)
{
	const char *nearest = scalar_nearest(key->text, ulimit_names);
	int64_t soft = 0, hard = 0;
	bool is_known = false, is_whole;

	for (size_t i = 0; ulimit_names[i]; i++)
		is_known = is_known || strcmp(ulimit_names[i], key->text) == 0;
	if (!is_known) {
		if (nearest)
			report_add(report, key->mark, "ulimits: unknown '%s' (did you mean '%s'?)",
				   key->text, nearest);
		else
			report_add(report, key->mark, "ulimits: unknown '%s' (see getrlimit(2))",
				   key->text);
		return;
	}
	if (value->kind == NODE_MAP) {
		is_whole = parse_limit_pair(report, value, key->text, &soft, &hard);
	} else {
		is_whole = parse_limit(report, value, key->text, &soft);
		hard = soft;
	}
	if (is_whole && (uint64_t)soft > (uint64_t)hard)
		report_add(report, value->mark, "ulimits: %s: the soft limit is above the hard one",
			   key->text);
	else if (is_whole)
		strv_addf(list, "%s=%lld:%lld", key->text, (long long)soft, (long long)hard);
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

FIELD_PARSER(field_ulimits)
{
	struct strv *list = field;

	strv_reset(list);
	if (node->kind != NODE_MAP) {
		report_add(report, node->mark, "'%s' must be a mapping, not %s", key->name,
			   node_kind_name(node));
		return;
	}
	for (size_t i = 0; i < node->count; i += 2)
		add_limit(report, node->items[i], node->items[i + 1], list);
	if (list->count)
		qsort(list->items, list->count, sizeof(char *), compare_texts);
}

/* "net.ipv4.ip_forward": dots, or slashes where a name has a dot in it, as sysctl(8) takes them. */
static bool is_sysctl(const char *pair)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./";
	size_t length = strspn(pair, allowed);

	if (pair[length] != '=' || !length || strchr("./", pair[0]) ||
	    strchr("./", pair[length - 1]))
		return false;
	for (size_t i = 1; i < length; i++)
		if (strchr("./", pair[i]) && strchr("./", pair[i - 1]))
			return false;
	return true;
}

FIELD_PARSER(field_sysctls)
{
	struct strv *list = field;

	pairs_parse(report, key->name, node, PAIRS_ENVIRONMENT, list);
	STRV_EACH (pair, list)
		if (!is_sysctl(pair))
			report_add(report, node->mark,
				   "%s: '%.*s' is not a sysctl (such as net.core.somaxconn)",
				   key->name, (int)strcspn(pair, "="), pair);
}
