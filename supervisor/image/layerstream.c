/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds image/layers.c. One thread reads the blob, hashes it and inflates it into a ring of
 * buffers; another hashes the uncompressed bytes for the diffID (OCI image specification,
 * config.md), while the reader looks at them. SHA-256 is libcrypto's.
 */
#include "image/layerstream.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "image/inflate.h"

/* A thread that found no room comes back when half of it is free: to be woken costs more than to
 * wait. */
enum { RING = 6, RING_HALF = RING / 2 };

struct chunk {
	uint8_t *bytes; /* owned, LAYER_CHUNK of them */
	size_t length;
};

struct layer_stream {
	struct layer_blob blob;
	uint64_t max_bytes;
	pthread_t inflater, hasher;
	bool inflates, hashes; /* the threads were started */

	/* The inflater's own. */
	struct inflate *inflate; /* owned */
	EVP_MD_CTX *blob_hash;	 /* owned */
	uint64_t inflated;

	/* The hasher's own, until it ends. */
	EVP_MD_CTX *tar_hash; /* owned; NULL when there is no diffID to check */
	bool hash_failed;

	/* The reader's own. */
	bool holding; /* the reader still looks at the oldest chunk */
	uint64_t produced;

	atomic_uint_fast64_t consumed;

	/* Shared, under the lock. Chunks are counted from the first on; each has its place in the
	 * ring, which is free again when reader and hasher have both let it go. */
	pthread_mutex_t lock;
	pthread_cond_t room, filled; /* for the inflater; for reader and hasher */
	struct chunk ring[RING];
	uint64_t published, released, hashed;
	bool ended, failed, stop;
	struct error failure; /* written once, before `failed` */
};

/* --- hashing -----------------------------------------------------------------------------------
 */

static EVP_MD_CTX *hash_new(void)
{
	EVP_MD_CTX *hash = EVP_MD_CTX_new();

	if (hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1)
		return hash;
	EVP_MD_CTX_free(hash);
	return NULL;
}

int layer_stream_prepare(struct error *err)
{
	EVP_MD_CTX *hash = NULL;

	if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) == 1)
		hash = hash_new();
	if (!hash)
		return error_set(err, "cannot set up SHA-256");
	EVP_MD_CTX_free(hash);
	return 0;
}

static int hash_end(EVP_MD_CTX *hash, char ret[DIGEST_HEX + 1], struct error *err)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned length = 0;

	if (EVP_DigestFinal_ex(hash, sum, &length) != 1 || length * 2 != DIGEST_HEX)
		return error_set(err, "cannot compute SHA-256");
	for (unsigned i = 0; i < length; i++) {
		ret[2 * i] = "0123456789abcdef"[sum[i] >> 4];
		ret[2 * i + 1] = "0123456789abcdef"[sum[i] & 15];
	}
	ret[DIGEST_HEX] = '\0';
	return 0;
}

static int hash_check(EVP_MD_CTX *hash, const char *what, const char *expected, struct error *err)
{
	char actual[DIGEST_HEX + 1];

	if (hash_end(hash, actual, err) < 0)
		return -1;
	if (strcmp(actual, expected) != 0)
		return error_set(err, "%s is sha256:%s, not sha256:%s as promised", what, actual,
				 expected);
	return 0;
}

int layer_stream_digest(const void *bytes, size_t length, char ret[DIGEST_HEX + 1],
			struct error *err)
{
	EVP_MD_CTX *hash = hash_new();
	int result;

	if (!hash || EVP_DigestUpdate(hash, bytes, length) != 1)
		result = error_set(err, "cannot compute SHA-256");
	else
		result = hash_end(hash, ret, err);
	EVP_MD_CTX_free(hash);
	return result;
}

/* --- the threads -------------------------------------------------------------------------------
 */

/* Chunks that the reader or the hasher has still to look at. */
static uint64_t in_use(const struct layer_stream *stream)
{
	uint64_t free_up_to = stream->released;

	if (stream->tar_hash && stream->hashed < free_up_to)
		free_up_to = stream->hashed;
	return stream->published - free_up_to;
}

/* Under the lock, after a chunk was let go. */
static void tell_room(struct layer_stream *stream)
{
	if (in_use(stream) == RING_HALF)
		pthread_cond_signal(&stream->room);
}

/* A free buffer, or NULL when the reader wants no more. */
static struct chunk *wait_for_room(struct layer_stream *stream)
{
	struct chunk *chunk = NULL;

	pthread_mutex_lock(&stream->lock);
	if (in_use(stream) == RING)
		while (in_use(stream) > RING_HALF && !stream->stop)
			pthread_cond_wait(&stream->room, &stream->lock);
	if (!stream->stop)
		chunk = &stream->ring[stream->published % RING];
	pthread_mutex_unlock(&stream->lock);
	return chunk;
}

static void publish(struct layer_stream *stream)
{
	pthread_mutex_lock(&stream->lock);
	stream->published++;
	pthread_cond_broadcast(&stream->filled);
	pthread_mutex_unlock(&stream->lock);
}

/* The next chunk that is not hashed, or NULL after the last. */
static const struct chunk *next_to_hash(struct layer_stream *stream, bool done)
{
	const struct chunk *chunk = NULL;

	pthread_mutex_lock(&stream->lock);
	if (done) {
		stream->hashed++;
		tell_room(stream);
	}
	while (stream->hashed == stream->published && !stream->ended && !stream->stop)
		pthread_cond_wait(&stream->filled, &stream->lock);
	if (stream->hashed < stream->published && !stream->stop)
		chunk = &stream->ring[stream->hashed % RING];
	pthread_mutex_unlock(&stream->lock);
	return chunk;
}

static void *hash_thread(void *argument)
{
	struct layer_stream *stream = argument;
	const struct chunk *chunk = next_to_hash(stream, false);

	for (; chunk; chunk = next_to_hash(stream, true))
		if (EVP_DigestUpdate(stream->tar_hash, chunk->bytes, chunk->length) != 1)
			stream->hash_failed = true;
	return NULL;
}

static int check_growth(struct layer_stream *stream, struct error *err)
{
	uint64_t consumed = atomic_load(&stream->consumed);

	if (stream->inflated > stream->max_bytes)
		return error_set(err, "the image is larger than 32 GiB uncompressed");
	if (stream->inflated > LAYER_RATIO_FREE && stream->blob.type != LAYER_TAR &&
	    stream->inflated / LAYER_RATIO_MAX > consumed)
		return error_set(err, "grows more than %d-fold when uncompressed", LAYER_RATIO_MAX);
	return 0;
}

/* Inflates one input buffer into as many chunks as it takes. 1: the reader left. Output is held
 * back until the input ends or a chunk is full, so that chunks are large. */
static int inflate_input(struct layer_stream *stream, struct chunk **chunk, const uint8_t *bytes,
			 size_t length, struct error *err)
{
	size_t produced;

	do {
		size_t before = length;

		if (!*chunk) {
			*chunk = wait_for_room(stream);
			if (!*chunk)
				return 1;
			(*chunk)->length = 0;
		}
		if (inflate_step(stream->inflate, &bytes, &length,
				 (*chunk)->bytes + (*chunk)->length, LAYER_CHUNK - (*chunk)->length,
				 &produced, err) < 0)
			return -1;
		if (produced == 0 && length == before && length > 0)
			return error_set(err, "the decoder does not get on");
		(*chunk)->length += produced;
		stream->inflated += produced;
		if (check_growth(stream, err) < 0)
			return -1;
		if ((*chunk)->length == LAYER_CHUNK) {
			publish(stream);
			*chunk = NULL;
		}
		/* A full chunk may have left output behind inside the decoder. */
	} while (length > 0 || !*chunk);
	return 0;
}

static ssize_t read_blob(struct layer_stream *stream, uint8_t *buffer, struct error *err)
{
	uint64_t at = atomic_load(&stream->consumed);
	ssize_t n;

	do
		n = pread(stream->blob.fd, buffer, LAYER_CHUNK, (off_t)at);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_errno(err, errno, "cannot read");
	if (n > 0 && EVP_DigestUpdate(stream->blob_hash, buffer, (size_t)n) != 1)
		return error_set(err, "cannot compute SHA-256");
	atomic_store(&stream->consumed, at + (uint64_t)n);
	return n;
}

/* 0: all given and verified; 1: the reader left. */
static int pump(struct layer_stream *stream, uint8_t *buffer, struct error *err)
{
	struct chunk *chunk = NULL;
	bool first = true;
	ssize_t n;

	while ((n = read_blob(stream, buffer, err)) > 0) {
		int result;

		if (first && inflate_check_magic(stream->blob.type, buffer, (size_t)n, err) < 0)
			return -1;
		first = false;
		result = inflate_input(stream, &chunk, buffer, (size_t)n, err);
		if (result != 0)
			return result;
	}
	if (n < 0)
		return -1;
	/* The digest first: of a blob that was swapped or cut, nothing else is worth telling. */
	if (hash_check(stream->blob_hash, "its digest", stream->blob.digest, err) < 0 ||
	    inflate_finish(stream->inflate, err) < 0)
		return -1;
	if (chunk && chunk->length > 0)
		publish(stream);
	return 0;
}

static void *inflate_thread(void *argument)
{
	struct layer_stream *stream = argument;
	uint8_t *buffer = xcalloc(1, LAYER_CHUNK);
	struct error err = { 0 };
	int result = pump(stream, buffer, &err);

	free(buffer);
	pthread_mutex_lock(&stream->lock);
	stream->ended = true;
	stream->failed = result < 0;
	if (result < 0)
		stream->failure = err;
	pthread_cond_broadcast(&stream->filled);
	pthread_mutex_unlock(&stream->lock);
	return NULL;
}

/* --- the reader --------------------------------------------------------------------------------
 */

int layer_stream_open(const struct layer_blob *blob, uint64_t max_bytes, struct layer_stream **ret,
		      struct error *err)
{
	CLEANUP(layer_stream_close_cleanup)
	struct layer_stream *stream = xcalloc(1, sizeof(*stream));
	int number;

	stream->blob = *blob;
	stream->max_bytes = max_bytes;
	pthread_mutex_init(&stream->lock, NULL);
	pthread_cond_init(&stream->room, NULL);
	pthread_cond_init(&stream->filled, NULL);
	stream->blob_hash = hash_new();
	stream->tar_hash = blob->diff_id[0] ? hash_new() : NULL;
	if (!stream->blob_hash || (blob->diff_id[0] && !stream->tar_hash))
		return error_set(err, "cannot set up SHA-256");
	for (unsigned i = 0; i < RING; i++)
		stream->ring[i].bytes = xcalloc(1, LAYER_CHUNK);
	if (inflate_open(blob->type, &stream->inflate, err) < 0)
		return -1;
	number = pthread_create(&stream->inflater, NULL, inflate_thread, stream);
	stream->inflates = number == 0;
	if (number == 0 && stream->tar_hash) {
		number = pthread_create(&stream->hasher, NULL, hash_thread, stream);
		stream->hashes = number == 0;
	}
	if (number != 0)
		return error_errno(err, number, "cannot start a thread");
	*ret = take_ptr(stream);
	return 0;
}

/* Returns the chunk that was lent out and waits for the next; NULL at the end or on failure. */
static const struct chunk *next_chunk(struct layer_stream *stream, bool *ret_failed)
{
	const struct chunk *chunk = NULL;

	pthread_mutex_lock(&stream->lock);
	if (stream->holding) {
		stream->released++;
		stream->holding = false;
		tell_room(stream);
	}
	while (stream->released == stream->published && !stream->ended)
		pthread_cond_wait(&stream->filled, &stream->lock);
	if (stream->released < stream->published) {
		chunk = &stream->ring[stream->released % RING];
		stream->holding = true;
	}
	*ret_failed = !chunk && stream->failed;
	pthread_mutex_unlock(&stream->lock);
	return chunk;
}

/* After the last chunk; the hasher ends by itself. */
static int check_diff_id(struct layer_stream *stream, struct error *err)
{
	if (!stream->hashes)
		return 0;
	stream->hashes = false;
	pthread_join(stream->hasher, NULL);
	if (stream->hash_failed)
		return error_set(err, "cannot compute SHA-256");
	return hash_check(stream->tar_hash, "its diffID", stream->blob.diff_id, err);
}

int layer_stream_read(struct layer_stream *stream, const void **ret_bytes, size_t *ret_length,
		      struct error *err)
{
	bool failed;
	const struct chunk *chunk = next_chunk(stream, &failed);

	*ret_bytes = chunk ? chunk->bytes : NULL;
	*ret_length = chunk ? chunk->length : 0;
	if (failed) {
		if (err)
			*err = stream->failure;
		return -1;
	}
	if (!chunk)
		return check_diff_id(stream, err);
	stream->produced += chunk->length;
	return 0;
}

uint64_t layer_stream_consumed(const struct layer_stream *stream)
{
	return atomic_load(&stream->consumed);
}

uint64_t layer_stream_produced(const struct layer_stream *stream)
{
	return stream->produced;
}

struct layer_stream *layer_stream_close(struct layer_stream *stream)
{
	if (!stream)
		return NULL;
	pthread_mutex_lock(&stream->lock);
	stream->stop = true;
	pthread_cond_signal(&stream->room);
	pthread_cond_broadcast(&stream->filled);
	pthread_mutex_unlock(&stream->lock);
	if (stream->inflates)
		pthread_join(stream->inflater, NULL);
	if (stream->hashes)
		pthread_join(stream->hasher, NULL);
	inflate_close(stream->inflate);
	EVP_MD_CTX_free(stream->blob_hash);
	EVP_MD_CTX_free(stream->tar_hash);
	for (unsigned i = 0; i < RING; i++)
		free(stream->ring[i].bytes);
	pthread_cond_destroy(&stream->room);
	pthread_cond_destroy(&stream->filled);
	pthread_mutex_destroy(&stream->lock);
	free(stream);
	return NULL;
}
