/* SPDX-License-Identifier: Apache-2.0 */
/* What a YAML mapping's keys come to: each once, and those of "<<" merged in. */
#ifndef STOKER_CONFIG_MERGE_H
#define STOKER_CONFIG_MERGE_H

#include "config/arena.h"
#include "config/yaml.h"

/* All keys must be text. Reports each key that was there before and takes it out with its value. */
void map_drop_duplicates(struct node *map, struct report *report);

/* Replaces "<<" by the pairs of the mapping, or the list of mappings, that is its value; the map's
 * own keys win, then the earlier mapping. `work` counts what merging cost in this document so far,
 * and bounds it. -1: reported. */
int map_merge(struct node *map, struct arena *arena, size_t *work, struct report *report);

#endif
