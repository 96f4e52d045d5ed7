/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pairs from mappings, lists and environment files; called by manifest.c and fields.c. The file
 * format is that of `docker run --env-file`: one KEY=value per line, "#" begins a comment line, and
 * the value is taken as it stands, quotes included.
 */
#include "config/environment.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "config/fields.h"
#include "config/scalar.h"
#include "config/source.h"

struct pair {
	char *text; /* owned: "key=value" */
	size_t key_length;
	struct mark mark;
	size_t serial;
	bool may_repeat; /* from a file, where the later line wins */
};

struct pairs {
	struct pair *items; /* owned */
	size_t count, capacity;
};

static void pairs_reset(struct pairs *pairs)
{
	for (size_t i = 0; i < pairs->count; i++)
		free(pairs->items[i].text);
	free(pairs->items);
}

static void add_pair(struct pairs *pairs, struct pair pair)
{
	if (pairs->count == pairs->capacity) {
		pairs->capacity = pairs->capacity ? 2 * pairs->capacity : 8;
		pairs->items = xreallocarray(pairs->items, pairs->capacity, sizeof(struct pair));
	}
	pair.serial = pairs->count;
	pairs->items[pairs->count++] = pair;
}

static int compare_pairs(const void *a, const void *b)
{
	const struct pair *left = a, *right = b;
	size_t shorter = left->key_length < right->key_length ? left->key_length
							      : right->key_length;
	int order = memcmp(left->text, right->text, shorter);

	if (order == 0)
		order = (left->key_length > right->key_length) -
			(left->key_length < right->key_length);
	return order ? order : (left->serial > right->serial) - (left->serial < right->serial);
}

static bool same_key(const struct pair *a, const struct pair *b)
{
	return a->key_length == b->key_length && memcmp(a->text, b->text, a->key_length) == 0;
}

/* Sorts, keeps the last of each key, and moves the texts into the list. */
static void finish(struct report *report, const char *key, struct pairs *pairs, struct strv *ret)
{
	size_t bytes = 0;

	strv_reset(ret);
	if (pairs->count)
		qsort(pairs->items, pairs->count, sizeof(struct pair), compare_pairs);
	for (size_t i = 0; i < pairs->count; i++) {
		struct pair *pair = &pairs->items[i], *next = pair + 1;

		if (i + 1 < pairs->count && same_key(pair, next)) {
			if (!pair->may_repeat)
				report_add(report, next->mark,
					   "%s: '%.*s' is set twice (first in line %u)", key,
					   (int)pair->key_length, pair->text, pair->mark.line);
			continue;
		}
		bytes += strlen(pair->text) + 1;
		if (bytes > PAIRS_BYTES_MAX) {
			report_add(report, pair->mark, "%s: more than 1 MiB in all", key);
			return;
		}
		strv_add_taken(ret, take_ptr(pair->text));
	}
}

/* "KEY=value" from a list or a file. */
static void add_text(struct report *report, const char *key, const char *text, size_t length,
		     enum pairs_kind kind, struct pair pair, struct pairs *pairs)
{
	const char *equals = memchr(text, '=', length);
	struct error err;

	pair.key_length = equals ? (size_t)(equals - text) : length;
	if (scalar_key(text, pair.key_length, &err) < 0) {
		report_add(report, pair.mark, "%s: %s", key, err.text);
	} else if (!equals && kind == PAIRS_ENVIRONMENT) {
		report_add(report, pair.mark,
			   "%s: '%.*s' has no value (write %.*s=value; the daemon's own "
			   "environment is not passed on)",
			   key, (int)length, text, (int)length, text);
	} else if (length > PAIR_BYTES_MAX) {
		report_add(report, pair.mark, "%s: '%.*s' is longer than %d bytes", key,
			   (int)pair.key_length, text, PAIR_BYTES_MAX);
	} else {
		pair.text = xasprintf("%.*s%s", (int)length, text, equals ? "" : "=");
		add_pair(pairs, pair);
	}
}

static void add_map(struct report *report, const char *key, const struct node *map,
		    enum pairs_kind kind, struct pairs *pairs)
{
	for (size_t i = 0; i < map->count; i += 2) {
		const struct node *name = map->items[i], *value = map->items[i + 1];
		_cleanup_free_ char *text = NULL;
		struct error err;

		if (scalar_key(name->text, strlen(name->text), &err) < 0) {
			field_refuse(report, key, name, &err);
			continue;
		}
		if (node_is_null(value) && kind == PAIRS_ENVIRONMENT) {
			report_add(report, name->mark,
				   "%s: '%s' has no value (write \"\" for an empty one)", key,
				   name->text);
			continue;
		}
		if (value->kind != NODE_TEXT) {
			report_add(report, value->mark, "%s: '%s' must be text, not %s", key,
				   name->text, node_kind_name(value));
			continue;
		}
		text = xasprintf("%s=%s", name->text, node_is_null(value) ? "" : value->text);
		add_text(report, key, text, strlen(text), kind, (struct pair){ .mark = name->mark },
			 pairs);
	}
}

static void add_node(struct report *report, const char *key, const struct node *node,
		     enum pairs_kind kind, struct pairs *pairs)
{
	if (node->kind == NODE_MAP) {
		add_map(report, key, node, kind, pairs);
	} else if (node->kind == NODE_TEXT) {
		report_add(report, node->mark, "'%s' must be a mapping or a list, not %s", key,
			   node_kind_name(node));
	} else {
		for (size_t i = 0; i < node->count; i++) {
			const struct node *item = node->items[i];
			const char *text = field_text(report, key, item);

			if (text)
				add_text(report, key, text, strlen(text), kind,
					 (struct pair){ .mark = item->mark }, pairs);
		}
	}
}

void pairs_parse(struct report *report, const char *key, const struct node *node,
		 enum pairs_kind kind, struct strv *ret)
{
	__attribute__((cleanup(pairs_reset))) struct pairs pairs = { 0 };

	add_node(report, key, node, kind, &pairs);
	finish(report, key, &pairs, ret);
}

static void add_file_lines(struct report *report, const struct source *source, struct pairs *pairs)
{
	const char *at = source->text;
	struct pair pair = { .mark = { .source = source, .column = 1 }, .may_repeat = true };

	if (strncmp(at, "\xef\xbb\xbf", 3) == 0)
		at += 3;
	while (*at) {
		size_t length = strcspn(at, "\n"), blanks = strspn(at, " \t");
		size_t used = length > 0 && at[length - 1] == '\r' ? length - 1 : length;

		pair.mark.line++;
		pair.mark.column = (uint32_t)blanks + 1;
		/* The environment is kept as JSON, which has no other text; YAML has seen to it. */
		if (scalar_utf8(at, used) < used)
			report_add(report, pair.mark,
				   "env_file: not UTF-8 text (save the file as UTF-8)");
		else if (blanks < used && at[blanks] != '#')
			add_text(report, "env_file", at + blanks, used - blanks, PAIRS_ENVIRONMENT,
				 pair, pairs);
		at += length + (at[length] == '\n');
	}
}

static void add_file(struct report *report, const struct node *node, struct pairs *pairs)
{
	const char *text = field_text(report, "env_file", node);
	_cleanup_free_ char *path = NULL, *name = NULL;
	const struct source *manifest = node->mark.source, *source;
	size_t before = report_count(report);

	if (!text)
		return;
	path = source_beside(manifest->path, text);
	name = source_beside(manifest->name, text);
	source = report_read(report, path, name);
	if (source)
		add_file_lines(report, source, pairs);
	else if (report_count(report) != before)
		report_add(report, node->mark, "env_file: '%s' cannot be used", text);
}

void environment_parse(struct report *report, const struct node *environment,
		       const struct node *env_file, struct strv *ret)
{
	__attribute__((cleanup(pairs_reset))) struct pairs pairs = { 0 };

	if (env_file && env_file->kind == NODE_MAP)
		report_add(report, env_file->mark,
			   "'env_file' must be text or a list, not a mapping");
	else if (env_file && env_file->kind == NODE_TEXT)
		add_file(report, env_file, &pairs);
	else if (env_file)
		for (size_t i = 0; i < env_file->count; i++)
			add_file(report, env_file->items[i], &pairs);
	if (environment)
		add_node(report, "environment", environment, PAIRS_ENVIRONMENT, &pairs);
	finish(report, "environment", &pairs, ret);
}
