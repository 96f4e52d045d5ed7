/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for many small things that live and die together: the nodes of one YAML document. */
#ifndef STOKER_CONFIG_ARENA_H
#define STOKER_CONFIG_ARENA_H

#include <stddef.h>

/* Zero-initialise it. */
struct arena {
	struct arena_chunk *chunks; /* owned */
};

/* Zeroed, aligned for any type; valid until arena_reset. */
void *arena_alloc(struct arena *arena, size_t size);

/* A NUL-terminated copy. */
char *arena_text(struct arena *arena, const void *text, size_t length);

void arena_reset(struct arena *arena); /* frees everything */

#endif
