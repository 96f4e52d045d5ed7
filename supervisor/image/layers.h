/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One layer read from its first to its last entry: what the tar says, entry by entry, and the
 * contents of those files that the reader wants. At the end, its digests were verified.
 */
#ifndef STOKER_IMAGE_LAYERS_H
#define STOKER_IMAGE_LAYERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "image/layerstream.h"
#include "image/merge.h"

#define LAYERS_BYTES_MAX (32ULL << 30) /* uncompressed, of all layers */
#define LAYERS_FILES_MAX (64ULL << 30) /* contents of the files that are left, holes included */

enum { LAYERS_ENTRIES_MAX = 2000000 }; /* of all layers */

/* Loads what libc and libraries load on first use, before files are out of reach. */
int layers_prepare(struct error *err);

/* What the layers so far have used up. */
struct layers_budget {
	uint64_t bytes;
	uint32_t entries;
};

/* Called now and then: compressed bytes of this layer that were read. */
typedef void layers_progress_fn(void *data, uint64_t consumed);

struct layers_progress {
	layers_progress_fn *fn; /* NULL: nobody wants to know */
	void *data;
};

/* Who wants to know. For a file whose contents are wanted, write follows entry, with all bytes in
 * order (holes as zeros), then end. */
struct layers_visitor {
	/* What the entry points to lives until the call returns. */
	int (*entry)(void *data, struct merge_entry *entry, bool *ret_wanted, struct error *err);
	int (*write)(void *data, const void *bytes, size_t length, struct error *err);
	int (*end)(void *data, struct error *err);
	void *data;
};

/* Reads an open layer to its end; `layer` counts from 1, bottom first. The budget is of all layers
 * that are read once: NULL for one that was read before. */
int layers_read(struct layer_stream *stream, uint32_t layer, struct layers_budget *budget,
		const struct layers_visitor *visitor, const struct layers_progress *progress,
		struct error *err);

#endif
