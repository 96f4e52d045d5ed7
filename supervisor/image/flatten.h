/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers -> squashfs, in one reading where that is possible. Layers are read top first, so that of
 * each file it can be guessed at once whether anything above hides it, and its contents go straight
 * into the image. When all names are known they are merged, bottom first; where the guess was wrong
 * contents are fetched by a second reading, or the image is begun anew.
 */
#ifndef STOKER_IMAGE_FLATTEN_H
#define STOKER_IMAGE_FLATTEN_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "image/layerstream.h"
#include "model/compression.h"

struct flatten_options {
	int fd; /* the squashfs: an empty file, open for reading and writing */
	unsigned jobs;
	struct compression compression;
	const struct layer_blob *layers; /* bottom first */
	size_t layer_count;		 /* 1 to REPORT_LAYERS_MAX */

	/* Compressed bytes read, of those to be read as far as that is known. NULL: not told. */
	void (*progress)(void *data, uint64_t done, uint64_t total);
	void *data;
};

/* Every digest and diffID is verified. After an error the file holds something unfinished. */
int flatten_layers(const struct flatten_options *options, struct error *err);

#endif
