/* SPDX-License-Identifier: Apache-2.0 */
/* What libsquashfs writes through: a file that is a descriptor, and data blocks deduplicated by an
 * index. Both are objects of libsquashfs: sqfs_destroy() ends them. */
#ifndef STOKER_IMAGE_SQUASH_BLOCKS_H
#define STOKER_IMAGE_SQUASH_BLOCKS_H

#include <sqfs/block_writer.h>
#include <sqfs/io.h>

/* The descriptor is borrowed and must refer to an empty file. Never NULL. */
sqfs_file_t *squash_file_new(int fd);

/* The errno of the first failed read or write; 0 when there was none. */
int squash_file_errno(const sqfs_file_t *file);

/* The file must outlive it. Never NULL. */
sqfs_block_writer_t *squash_blocks_new(sqfs_file_t *file);

#endif
