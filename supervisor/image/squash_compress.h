/* SPDX-License-Identifier: Apache-2.0 */
/* Compressors for image/squash.c: objects of libsquashfs, ended by sqfs_destroy(). */
#ifndef STOKER_IMAGE_SQUASH_COMPRESS_H
#define STOKER_IMAGE_SQUASH_COMPRESS_H

#include <sqfs/compressor.h>

#include "model/compression.h"

/* As superblocks have it. */
SQFS_COMPRESSOR squash_compressor_id(const struct compression *compression);

/* Both ways. Returns 0 or an error of libsquashfs; what was made before it is the caller's too. */
int squash_compressors_new(const struct compression *compression, size_t block_size,
			   sqfs_compressor_t **ret_compressor,
			   sqfs_compressor_t **ret_decompressor);

#endif
