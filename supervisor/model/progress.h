/* SPDX-License-Identifier: Apache-2.0 */
/* How far an image is on its way here: what image/ knows, and status and stokerctl show. */
#ifndef STOKER_MODEL_PROGRESS_H
#define STOKER_MODEL_PROGRESS_H

#include <stddef.h>
#include <stdint.h>

#include "base/json.h"

enum { PROGRESS_DIGEST_SIZE = 72 }; /* "sha256:", 64 digits, NUL */

/* One layer in the stage "download", in bytes as they are transferred. */
struct layer_progress {
	char digest[PROGRESS_DIGEST_SIZE];
	uint64_t done, total;
};

struct image_progress {
	char stage[16];	      /* "resolve", "download", "build"; "": there is none */
	uint64_t done, total; /* bytes; total 0 = not known yet */
	uint64_t rate;	      /* bytes a second, lately; 0 = not known yet */
	/* Bottom first; none but in "download". Borrowed until control returns to the loop. */
	const struct layer_progress *layers;
	size_t layer_count;
};

/* Sets progress_stage, progress_done, progress_total, progress_rate and, when there are any,
 * progress_layers: a list of {digest, done, total}. */
void image_progress_to_json(const struct image_progress *progress, json_t *object);

#endif
