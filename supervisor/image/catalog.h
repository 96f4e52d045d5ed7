/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a store holds, as its files say it: published images, who refers to them, when they were
 * used. Read anew for each question, so that nothing can disagree with the disk. Called by image.c,
 * prune.c and the commands of the control socket.
 */
#ifndef STOKER_IMAGE_CATALOG_H
#define STOKER_IMAGE_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/strv.h"

struct store;

struct catalog_image {
	char *id;		/* 64 hex digits; owned, as all here */
	struct strv references; /* canonical; those that led to it the last time */
	struct strv manifests;	/* "sha256:...", of each reference */
	struct strv users;	/* names of instances; filled in by image_store_list */
	char *created;		/* RFC 3339, as the image says; "" when it does not */
	uint64_t size;		/* bytes of the squashfs */
	int64_t pulled_s;	/* seconds since 1970 */
	int64_t used_s;		/* when it was used last, as far as that is over */
	bool is_doomed;		/* chosen by prune_choose */
};

/* Zero-initialise it, and reset it. */
struct catalog {
	struct catalog_image *images; /* by id; owned */
	size_t count;
};

int catalog_read(const struct store *store, struct catalog *ret, struct error *err);
void catalog_reset(struct catalog *catalog);

/* The image that is known by this id, canonical reference or manifest. NULL: none. */
struct catalog_image *catalog_find(const struct catalog *catalog, const char *text);

/* The same for what people write: any spelling of a reference, a digest with or without "sha256:",
 * or at least eight digits of one. NULL with err set when there is none, or more than one. */
const struct catalog_image *catalog_choose(const struct catalog *catalog, const char *text,
					   struct error *err);

/* For `image list`, and with the contents of its record, notes and facts for `image inspect`. New
 * references; what cannot be read is left out. */
json_t *catalog_to_json(const struct catalog_image *image);
json_t *catalog_describe(const struct store *store, const struct catalog_image *image);

/* The digest of its config blob; "" when its facts are not there. */
void catalog_config(const struct store *store, const char *id, char ret[72]);

/* Adds the digests of the layers it was made of. */
void catalog_layers(const struct store *store, const char *id, struct strv *ret);

/* Removes layers of published images, and what no image can be found by any more: parts of images
 * that were never published or half removed, references to nowhere, files that a crash left under a
 * temporary name. */
void catalog_collect(const struct store *store);

/* Removes an image with all that belongs to it. */
int catalog_remove(const struct store *store, const struct catalog_image *image, struct error *err);

#endif
