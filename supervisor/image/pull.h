/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One image into one file, without a daemon: `stokerctl image pull -o FILE`. The work is done by
 * the same two confined processes, in a store of its own beside the file, DIR/.FILE.part. A pull
 * that was killed leaves that directory, and the next one for the same file uses what it holds.
 */
#ifndef STOKER_IMAGE_PULL_H
#define STOKER_IMAGE_PULL_H

#include "image/image.h"

struct image_pull;

struct image_pull_options {
	const char *reference;
	const char *platform; /* "os/arch[/variant]"; NULL: this host's */
	const char *output;   /* path of the squashfs; replaced when it is complete and synced */
	const struct compression *compression; /* NULL: as the settings say */
};

/* Fires once, never from inside a call. `image` is borrowed and without paths that last; exactly
 * one of image and err is set. image_pull_free from inside is fine. */
typedef void image_pull_fn(void *data, const struct image *image, const struct error *err);

/* Needs root, for the workers run as uid_base and uid_base + 1 of the settings, which must outlive
 * it. Options are copied. */
int image_pull_start(struct loop *loop, const struct settings *settings,
		     const struct image_pull_options *options, image_pull_fn *fn, void *data,
		     struct image_pull **ret, struct error *err);

void image_pull_progress(const struct image_pull *pull, struct image_progress *ret);

/* Ends it; all but a finished file is removed. NULL is fine; returns NULL. */
struct image_pull *image_pull_free(struct image_pull *pull);

#endif
