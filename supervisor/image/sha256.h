/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 in pieces, and as the text of a digest. */
#ifndef STOKER_IMAGE_SHA256_H
#define STOKER_IMAGE_SHA256_H

#include <stddef.h>

#include "image/oci.h"

struct sha256;

struct sha256 *sha256_new(void);
void sha256_reset(struct sha256 *hash); /* as if new */
void sha256_add(struct sha256 *hash, const void *bytes, size_t length);
void sha256_finish(struct sha256 *hash, char ret[OCI_DIGEST_SIZE]); /* "sha256:..." */
struct sha256 *sha256_free(struct sha256 *hash);

void sha256_digest(const void *bytes, size_t length, char ret[OCI_DIGEST_SIZE]);

#endif
