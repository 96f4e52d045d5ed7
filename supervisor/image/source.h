/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer blob as a stream of verified, uncompressed bytes: reading, hashing and inflating run on a
 * thread of their own, a few buffers ahead of the reader.
 */
#ifndef STOKER_IMAGE_SOURCE_H
#define STOKER_IMAGE_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "image/report.h"

enum {
	DIGEST_HEX = 64,
	SOURCE_CHUNK = 256 << 10,
	SOURCE_RATIO_MAX = 1000,      /* uncompressed to compressed ... */
	SOURCE_RATIO_FREE = 64 << 20, /* ... beyond so many bytes */
};

struct layer_blob {
	int fd; /* borrowed; read from its start by pread */
	enum layer_type type;
	char digest[DIGEST_HEX + 1];  /* of the blob */
	char diff_id[DIGEST_HEX + 1]; /* of the uncompressed tar; "" = not checked */
};

struct source;

/* Lets libcrypto load what it loads on first use, before files are out of reach. */
int source_prepare(struct error *err);

/* Starts the thread. More than max_bytes of output is an error, later, by source_read. */
int source_open(const struct layer_blob *blob, uint64_t max_bytes, struct source **ret,
		struct error *err);

/* The next bytes, valid until the next call. Length 0: the end, and every digest matches. */
int source_read(struct source *source, const void **ret_bytes, size_t *ret_length,
		struct error *err);

/* Compressed bytes read and uncompressed bytes given so far. */
uint64_t source_consumed(const struct source *source);
uint64_t source_produced(const struct source *source);

/* Stops the thread wherever it is. */
struct source *source_close(struct source *source);
DEFINE_CLEANUP(struct source, source_close);

/* SHA-256 of a whole buffer as 64 hex digits. */
int source_digest(const void *bytes, size_t length, char ret[DIGEST_HEX + 1], struct error *err);

#endif
