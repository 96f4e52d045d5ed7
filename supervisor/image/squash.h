/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree and its files' contents -> a squashfs 4.0 (128 KiB blocks) behind a descriptor.
 * The same tree and contents give the same bytes, whatever the number of jobs.
 */
#ifndef STOKER_IMAGE_SQUASH_H
#define STOKER_IMAGE_SQUASH_H

#include "base/cleanup.h"
#include "base/error.h"
#include "image/tree.h"
#include "model/compression.h"

enum {
	SQUASH_BLOCK = 128 << 10,
	SQUASH_IDS_MAX = 65535, /* distinct owners and groups, together */
	SQUASH_JOBS_MAX = 64,
};

struct squash;
struct squash_contents;

/* Starts an image in an empty file that is open for reading and writing; it stays the caller's. */
int squash_open(int fd, unsigned jobs, const struct compression *compression, struct squash **ret,
		struct error *err);
struct squash *squash_close(struct squash *squash);
DEFINE_CLEANUP(struct squash, squash_close);

/* Whether the format can hold the tree; costs little, so ask before contents are compressed. */
int squash_check(const struct tree *tree, struct error *err);

/* The contents of one regular file, which is not empty: what squash_write gets until
 * squash_end_file. The handle is for tree_inode.file.contents of one inode, or of none; it lives
 * until squash_close.
 */
int squash_begin_file(struct squash *squash, struct squash_contents **ret, struct error *err);
int squash_write(struct squash *squash, const void *bytes, size_t length, struct error *err);
int squash_end_file(struct squash *squash, struct error *err);

/* After all contents: inodes, directories and tables; then the file is complete. Sorts the tree. */
int squash_finish(struct squash *squash, struct tree *tree, struct error *err);

#endif
