/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers in two passes: the first merges every layer's names into the tree and verifies digest and
 * diffID, the second fetches the contents of the files that are left, and verifies the digest
 * again, for a blob may change between the two.
 */
#ifndef STOKER_IMAGE_LAYERS_H
#define STOKER_IMAGE_LAYERS_H

#include <stdint.h>

#include "base/error.h"
#include "image/layerstream.h"
#include "image/tree.h"

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

/* Merges one layer; `layer` counts from 1, bottom first. */
int layers_merge(struct tree *tree, const struct layer_blob *blob, uint32_t layer,
		 struct layers_budget *budget, const struct layers_progress *progress,
		 struct error *err);

/* Where contents go: begin, then all bytes in order (holes as zeros), then end; for each file. */
struct layers_sink {
	int (*begin)(void *data, struct tree_inode *inode, struct error *err);
	int (*write)(void *data, const void *bytes, size_t length, struct error *err);
	int (*end)(void *data, struct error *err);
	void *data;
};

/* Streams the files of one layer that are named by `wanted`: inodes in the order of their ordinals.
 */
int layers_stream(const struct layer_blob *blob, struct tree_inode *const *wanted, size_t count,
		  const struct layers_sink *sink, const struct layers_progress *progress,
		  struct error *err);

#endif
