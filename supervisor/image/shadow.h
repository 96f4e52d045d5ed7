/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the layers read so far hide of those below them, by path as written. A guess, made to save a
 * second reading: a path through a symbolic link, or another name of the same file, it does not
 * know. Only image/merge.h decides what an image is.
 */
#ifndef STOKER_IMAGE_SHADOW_H
#define STOKER_IMAGE_SHADOW_H

#include <stdbool.h>

#include "base/cleanup.h"

struct shadow;

struct shadow *shadow_new(void);
struct shadow *shadow_free(struct shadow *shadow);

/* An entry of a layer that was read whole: from now on its path, and what its path ends or empties,
 * is hidden in lower layers. Whiteouts and opaque markers are told by their names. */
void shadow_add(struct shadow *shadow, const char *path, bool is_directory);

/* Whether a file of the next layer is hidden; a whiteout always is, for nobody sees it. */
bool shadow_hides(const struct shadow *shadow, const char *path);

#endif
