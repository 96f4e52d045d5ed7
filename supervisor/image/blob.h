/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache of blobs: files named by the hexadecimal digits of their SHA-256, in one directory. A
 * file has its name only when its content was verified; until then it is "tmp-...", worth nothing
 * without its process, or "part-HEX", which another process may go on with. Nothing is synced:
 * after a crash of the host a content may be another than its name says, as blob_cached finds out.
 */
#ifndef STOKER_IMAGE_BLOB_H
#define STOKER_IMAGE_BLOB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strbuf.h"
#include "image/oci.h"

#define BLOB_TEMPORARY_PREFIX "tmp-"
#define BLOB_PART_PREFIX      "part-"

struct blob; /* one being written */

/* True when the cache holds it; its size and digest are checked again, and what does not match is
 * removed. */
bool blob_cached(int cache, const struct oci_descriptor *want);

/* Reads a cached blob whole. */
int blob_read(int cache, const struct oci_descriptor *want, size_t max, struct strbuf *ret,
	      struct error *err);

/* Starts one. `want` is copied; an empty digest there means that nothing is known yet, neither
 * digest nor size. */
int blob_begin(int cache, const struct oci_descriptor *want, struct blob **ret, struct error *err);

/* Goes on with what an earlier process left of it, whose bytes are hashed again, or starts one that
 * others can go on with. One process has it at a time: 1 when another has it now, and then what it
 * leaves, the whole or a part, is there when it has ended. */
int blob_resume(int cache, const struct oci_descriptor *want, struct blob **ret, struct error *err);

int blob_write(struct blob *blob, const void *bytes, size_t length, struct error *err);
int blob_restart(struct blob *blob, struct error *err);
uint64_t blob_size(const struct blob *blob);

/* Verifies and publishes it. *ret (may be NULL) gets digest and size. err->number is EBADMSG when
 * the content is not what was wanted. */
int blob_finish(struct blob *blob, struct oci_descriptor *ret, struct error *err);

/* Removes what was not published, unless another process could go on with it; returns NULL. */
struct blob *blob_free(struct blob *blob);

DEFINE_CLEANUP(struct blob, blob_free);

/* From memory: begin, write, finish. */
int blob_store(int cache, const struct oci_descriptor *want, const void *bytes, size_t length,
	       struct error *err);

#endif
