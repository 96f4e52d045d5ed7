/* SPDX-License-Identifier: Apache-2.0 */
/* One layer blob's compression undone, a buffer at a time. */
#ifndef STOKER_IMAGE_INFLATE_H
#define STOKER_IMAGE_INFLATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "image/report.h"

struct inflate;

int inflate_open(enum layer_type type, struct inflate **ret, struct error *err);
struct inflate *inflate_close(struct inflate *inflate);
DEFINE_CLEANUP(struct inflate, inflate_close);

/* The blob's first bytes against its declared type. `length` may be less than 6 only when the blob
 * is that short. */
int inflate_check_magic(enum layer_type type, const uint8_t *bytes, size_t length,
			struct error *err);

/* Moves *bytes and *length past what was consumed and fills `out`; *ret_produced may be 0 when more
 * input is needed. Several gzip members and zstd frames in a row are one stream; anything else
 * after them is an error, as is a wrong checksum. */
int inflate_step(struct inflate *inflate, const uint8_t **bytes, size_t *length, uint8_t *out,
		 size_t out_size, size_t *ret_produced, struct error *err);

/* After the last byte: an error when the stream is not at its end. */
int inflate_finish(const struct inflate *inflate, struct error *err);

#endif
