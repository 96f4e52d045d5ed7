/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer blob as a stream of verified, uncompressed bytes: reading, hashing and inflating run on
 * threads of their own, a few buffers ahead of the reader.
 */
#ifndef STOKER_IMAGE_LAYERSTREAM_H
#define STOKER_IMAGE_LAYERSTREAM_H

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "image/report.h"

enum {
	DIGEST_HEX = 64,
	LAYER_CHUNK = 256 << 10,
	LAYER_RATIO_MAX = 1000,	     /* uncompressed to compressed ... */
	LAYER_RATIO_FREE = 64 << 20, /* ... beyond so many bytes */
};

struct layer_blob {
	int fd; /* borrowed; read from its start by pread */
	enum layer_type type;
	char digest[DIGEST_HEX + 1];  /* of the blob */
	char diff_id[DIGEST_HEX + 1]; /* of the uncompressed tar; "" = not checked */
};

struct layer_stream;

/* Lets libcrypto load what it loads on first use, before files are out of reach. */
int layer_stream_prepare(struct error *err);

/* Starts the threads. More than max_bytes of output is an error, later, by layer_stream_read. */
int layer_stream_open(const struct layer_blob *blob, uint64_t max_bytes, struct layer_stream **ret,
		      struct error *err);

/* The next bytes, valid until the next call. Length 0: the end, and every digest matches. */
int layer_stream_read(struct layer_stream *stream, const void **ret_bytes, size_t *ret_length,
		      struct error *err);

/* Compressed bytes read and uncompressed bytes given so far. */
uint64_t layer_stream_consumed(const struct layer_stream *stream);
uint64_t layer_stream_produced(const struct layer_stream *stream);

/* Stops the threads wherever they are. */
struct layer_stream *layer_stream_close(struct layer_stream *stream);
DEFINE_CLEANUP(struct layer_stream, layer_stream_close);

/* SHA-256 of a whole buffer as 64 hex digits. */
int layer_stream_digest(const void *bytes, size_t length, char ret[DIGEST_HEX + 1],
			struct error *err);

#endif
