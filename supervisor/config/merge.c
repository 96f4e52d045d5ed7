/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Duplicate keys and merge keys (yaml.org/type/merge.html) of one mapping; called by yaml.c when a
 * mapping is complete. Knows nodes, not libyaml.
 */
#include "config/merge.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

enum { MERGE_WORK_MAX = 1 << 22 }; /* comparisons of keys in one document */

static int compare_keys(const void *a, const void *b)
{
	const struct node *left = **(struct node * *const *)a, *right = **(struct node * *const *)b;
	int order = strcmp(left->text, right->text);

	/* Equal keys in the order of the file: both pointers are into the same array. */
	return order ? order
		     : (*(struct node * *const *)a > *(struct node * *const *)b) -
			       (*(struct node * *const *)a < *(struct node * *const *)b);
}

void map_drop_duplicates(struct node *map, struct report *report)
{
	size_t pairs = map->count / 2, kept = 0;
	_cleanup_free_ struct node ***sorted = xcalloc(pairs, sizeof(*sorted));
	const struct node *first = NULL;
	bool dropped = false;

	for (size_t i = 0; i < pairs; i++)
		sorted[i] = &map->items[2 * i];
	qsort(sorted, pairs, sizeof(*sorted), compare_keys);
	for (size_t i = 0; i < pairs; i++) {
		struct node *key = *sorted[i];

		if (!first || strcmp(first->text, key->text) != 0) {
			first = key;
			continue;
		}
		report_add(report, key->mark, "duplicate key '%s' (first in line %u)", key->text,
			   first->mark.line);
		*sorted[i] = NULL;
		dropped = true;
	}
	for (size_t i = 0; dropped && i < pairs; i++) {
		if (!map->items[2 * i])
			continue;
		map->items[2 * kept] = map->items[2 * i];
		map->items[2 * kept++ + 1] = map->items[2 * i + 1];
	}
	if (dropped)
		map->count = 2 * kept;
}

static bool is_merge_key(const struct node *key)
{
	return key->is_plain && strcmp(key->text, "<<") == 0;
}

/* The pairs of a map while it grows. */
struct pairs {
	struct node **items; /* owned */
	size_t count;
};

static bool has_key(const struct pairs *pairs, const char *text)
{
	for (size_t i = 0; i < pairs->count; i += 2)
		if (strcmp(pairs->items[i]->text, text) == 0)
			return true;
	return false;
}

static void add_pair(struct pairs *pairs, struct node *const *pair)
{
	pairs->items[pairs->count++] = pair[0];
	pairs->items[pairs->count++] = pair[1];
}

/* Appends the pairs of `from` whose keys are not there yet. */
static int merge_one(struct pairs *pairs, const struct node *from, size_t *work,
		     struct report *report)
{
	if (from->kind != NODE_MAP) {
		report_add(report, from->mark, "'<<' merges mappings, not %s",
			   node_kind_name(from));
		return -1;
	}
	*work += from->count * (from->count + pairs->count);
	if (*work > MERGE_WORK_MAX) {
		report_add(report, from->mark, "'<<' merges too many keys (split the file)");
		return -1;
	}
	pairs->items = xreallocarray(pairs->items, pairs->count + from->count,
				     sizeof(struct node *));
	for (size_t i = 0; i < from->count; i += 2)
		if (!has_key(pairs, from->items[i]->text))
			add_pair(pairs, &from->items[i]);
	return 0;
}

static int merge_all(struct pairs *pairs, const struct node *merge, size_t *work,
		     struct report *report)
{
	if (merge->kind != NODE_LIST)
		return merge_one(pairs, merge, work, report);
	for (size_t i = 0; i < merge->count; i++)
		if (merge_one(pairs, merge->items[i], work, report) < 0)
			return -1;
	return 0;
}

int map_merge(struct node *map, struct arena *arena, size_t *work, struct report *report)
{
	const struct node *merge = NULL;
	struct pairs pairs = { 0 };
	int result;

	for (size_t i = 0; i < map->count; i += 2)
		if (is_merge_key(map->items[i]))
			merge = map->items[i + 1];
	if (!merge)
		return 0;
	pairs.items = xcalloc(map->count, sizeof(struct node *));
	for (size_t i = 0; i < map->count; i += 2)
		if (!is_merge_key(map->items[i]))
			add_pair(&pairs, &map->items[i]);
	result = merge_all(&pairs, merge, work, report);
	if (result == 0) {
		map->count = pairs.count;
		map->items = arena_alloc(arena, pairs.count * sizeof(struct node *));
		if (pairs.count)
			memcpy(map->items, pairs.items, pairs.count * sizeof(struct node *));
	}
	free(pairs.items);
	return result;
}
