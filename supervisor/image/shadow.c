/* SPDX-License-Identifier: Apache-2.0 */
/* Used by image/flatten.c. A set of hashes of paths: should two be equal, a file is written in the
 * second reading instead of the first, no more. */
#include "image/shadow.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "image/hashkey.h"
#include "image/merge.h"

enum { FIRST_SLOTS = 1024, HIDES_ITSELF = 1, HIDES_BELOW = 2, FLAGS = 3 };

struct shadow {
	uint64_t *slots; /* owned; a path's hash, with its last bits for the flags; 0: free */
	size_t count, capacity; /* a power of two */
	uint64_t key;
};

/* A path on the way down: the hash of what was walked, and the next component. */
struct walk {
	uint64_t hash;
	const char *component, *rest;
	size_t length;
};

struct shadow *shadow_new(void)
{
	struct shadow *shadow = xcalloc(1, sizeof(*shadow));

	shadow->key = hash_key();
	shadow->capacity = FIRST_SLOTS;
	shadow->slots = xcalloc(shadow->capacity, sizeof(*shadow->slots));
	return shadow;
}

struct shadow *shadow_free(struct shadow *shadow)
{
	if (shadow)
		free(shadow->slots);
	free(shadow);
	return NULL;
}

/* --- paths -------------------------------------------------------------------------------------
 */

static bool next_component(struct walk *walk)
{
	do {
		walk->component = walk->rest + strspn(walk->rest, "/");
		walk->length = strcspn(walk->component, "/");
		walk->rest = walk->component + walk->length;
	} while (walk->length == 1 && walk->component[0] == '.');
	return walk->length > 0;
}

static void descend(struct walk *walk, const char *name, size_t length)
{
	walk->hash = (walk->hash ^ '/') * 0x100000001b3;
	for (size_t i = 0; i < length; i++)
		walk->hash = (walk->hash ^ (uint8_t)name[i]) * 0x100000001b3;
}

static struct walk start(const char *path)
{
	return (struct walk){ .hash = 0xcbf29ce484222325, .rest = path };
}

/* --- the set -----------------------------------------------------------------------------------
 */

static uint64_t *slot_of(const struct shadow *shadow, uint64_t hash)
{
	size_t at;

	hash &= ~(uint64_t)FLAGS;
	at = (size_t)(hash * shadow->key >> 32) & (shadow->capacity - 1);
	while (shadow->slots[at] != 0 && (shadow->slots[at] & ~(uint64_t)FLAGS) != hash)
		at = (at + 1) & (shadow->capacity - 1);
	return &shadow->slots[at];
}

static void grow(struct shadow *shadow)
{
	uint64_t *old = shadow->slots;
	size_t count = shadow->capacity;

	shadow->capacity *= 2;
	shadow->slots = xcalloc(shadow->capacity, sizeof(*shadow->slots));
	for (size_t i = 0; i < count; i++)
		if (old[i] != 0)
			*slot_of(shadow, old[i]) = old[i];
	free(old);
}

static void set_flags(struct shadow *shadow, uint64_t hash, unsigned flags)
{
	uint64_t *slot;

	if (shadow->count * 2 >= shadow->capacity)
		grow(shadow);
	slot = slot_of(shadow, hash);
	if (*slot == 0) {
		*slot = hash & ~(uint64_t)FLAGS;
		shadow->count++;
	}
	*slot |= flags;
}

void shadow_add(struct shadow *shadow, const char *path, bool is_directory)
{
	struct walk walk = start(path), parent = walk;
	const char *name = "";
	size_t length = 0, prefix = strlen(MERGE_WHITEOUT_PREFIX);

	while (next_component(&walk)) {
		parent.hash = walk.hash;
		name = walk.component;
		length = walk.length;
		descend(&walk, name, length);
	}
	if (length == strlen(MERGE_OPAQUE_MARKER) &&
	    memcmp(name, MERGE_OPAQUE_MARKER, length) == 0) {
		set_flags(shadow, parent.hash, HIDES_BELOW);
	} else if (length > prefix && memcmp(name, MERGE_WHITEOUT_PREFIX, prefix) == 0) {
		descend(&parent, name + prefix, length - prefix);
		set_flags(shadow, parent.hash, HIDES_ITSELF | HIDES_BELOW);
	} else {
		set_flags(shadow, walk.hash, HIDES_ITSELF | (is_directory ? 0 : HIDES_BELOW));
	}
}

bool shadow_hides(const struct shadow *shadow, const char *path)
{
	struct walk walk = start(path);
	size_t prefix = strlen(MERGE_WHITEOUT_PREFIX);
	bool is_whiteout = false;

	while (next_component(&walk)) {
		if (*slot_of(shadow, walk.hash) & HIDES_BELOW)
			return true;
		descend(&walk, walk.component, walk.length);
		is_whiteout = walk.length >= prefix &&
			      memcmp(walk.component, MERGE_WHITEOUT_PREFIX, prefix) == 0;
	}
	return is_whiteout || *slot_of(shadow, walk.hash) & HIDES_ITSELF;
}
