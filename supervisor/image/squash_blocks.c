/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Used by image/squash.c. libsquashfs's own file opens a path, which a confined worker has not, and
 * its own block writer compares every file with every earlier one; here a hash over a file's block
 * checksums finds the candidates, and their bytes decide. Interface: sqfs/io.h and
 * sqfs/block_writer.h of squashfs-tools-ng 1.2.
 */
#include "image/squash_blocks.h"

#include <errno.h>
#include <sqfs/block.h>
#include <sqfs/error.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"

/* --- the file ----------------------------------------------------------------------------------
 */

struct squash_file {
	sqfs_file_t base;
	int fd;
	int number; /* errno of the first failure */
	sqfs_u64 size;
};

static int note_failure(struct squash_file *file, int number)
{
	if (file->number == 0)
		file->number = number;
	return SQFS_ERROR_IO;
}

static int file_read_at(sqfs_file_t *base, sqfs_u64 offset, void *buffer, size_t size)
{
	struct squash_file *file = (struct squash_file *)base;
	char *to = buffer;

	while (size > 0) {
		ssize_t n = pread(file->fd, to, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? note_failure(file, errno) : SQFS_ERROR_OUT_OF_BOUNDS;
		to += n;
		offset += (sqfs_u64)n;
		size -= (size_t)n;
	}
	return 0;
}

static int file_write_at(sqfs_file_t *base, sqfs_u64 offset, const void *buffer, size_t size)
{
	struct squash_file *file = (struct squash_file *)base;
	const char *from = buffer;

	while (size > 0) {
		ssize_t n = pwrite(file->fd, from, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return note_failure(file, n < 0 ? errno : ENOSPC);
		from += n;
		offset += (sqfs_u64)n;
		size -= (size_t)n;
	}
	if (offset > file->size)
		file->size = offset;
	return 0;
}

static sqfs_u64 file_get_size(const sqfs_file_t *base)
{
	return ((const struct squash_file *)base)->size;
}

static int file_truncate(sqfs_file_t *base, sqfs_u64 size)
{
	struct squash_file *file = (struct squash_file *)base;

	if (ftruncate(file->fd, (off_t)size) < 0)
		return note_failure(file, errno);
	file->size = size;
	return 0;
}

static void file_destroy(sqfs_object_t *object)
{
	free(object);
}

sqfs_file_t *squash_file_new(int fd)
{
	struct squash_file *file = xcalloc(1, sizeof(*file));

	file->base.base.destroy = file_destroy;
	file->base.read_at = file_read_at;
	file->base.write_at = file_write_at;
	file->base.get_size = file_get_size;
	file->base.truncate = file_truncate;
	file->fd = fd;
	return &file->base;
}

int squash_file_errno(const sqfs_file_t *file)
{
	return ((const struct squash_file *)file)->number;
}

/* --- the block writer --------------------------------------------------------------------------
 */

enum {
	/* Images can be made so that many different files share one hash; beyond a few candidates a
	 * duplicate is simply stored. */
	CANDIDATES_MAX = 16,
	FIRST_BUCKETS = 1024,
	COMPARE_CHUNK = 64 << 10,
};

/* A file whose blocks are on disk, all in a row. */
struct stored_run {
	sqfs_u64 offset;
	sqfs_u64 length;
	sqfs_u64 hash;
	sqfs_u32 next; /* 1 + index of the next with the same hash's bucket; 0 = none */
};

struct squash_blocks {
	sqfs_block_writer_t base;
	sqfs_file_t *file; /* borrowed */
	sqfs_u64 block_count;

	/* The file being written: libsquashfs gives the blocks of one file in a row. */
	sqfs_u64 start;
	sqfs_u64 blocks;
	sqfs_u64 hash;

	struct stored_run *runs; /* owned */
	sqfs_u32 run_count, run_capacity;
	sqfs_u32 *buckets; /* owned; 1 + index into runs */
	sqfs_u32 bucket_count;
};

static sqfs_u64 mix(sqfs_u64 hash, sqfs_u64 value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15;
	return hash ^ hash >> 29;
}

static void grow_buckets(struct squash_blocks *writer)
{
	free(writer->buckets);
	writer->bucket_count *= 2;
	writer->buckets = xcalloc(writer->bucket_count, sizeof(*writer->buckets));
	for (sqfs_u32 i = 0; i < writer->run_count; i++) {
		sqfs_u32 *head = &writer->buckets[writer->runs[i].hash % writer->bucket_count];

		writer->runs[i].next = *head;
		*head = i + 1;
	}
}

static void remember_run(struct squash_blocks *writer, sqfs_u64 length)
{
	sqfs_u32 *head;

	if (writer->run_count == writer->run_capacity) {
		writer->run_capacity = writer->run_capacity ? writer->run_capacity * 2 : 64;
		writer->runs = xreallocarray(writer->runs, writer->run_capacity,
					     sizeof(*writer->runs));
	}
	if (writer->run_count >= writer->bucket_count)
		grow_buckets(writer);
	head = &writer->buckets[writer->hash % writer->bucket_count];
	writer->runs[writer->run_count] = (struct stored_run){
		.offset = writer->start,
		.length = length,
		.hash = writer->hash,
		.next = *head,
	};
	*head = ++writer->run_count;
}

/* 1: the same bytes; 0: others; negative: an error of libsquashfs. */
static int same_bytes(struct squash_blocks *writer, sqfs_u64 a, sqfs_u64 b, sqfs_u64 length)
{
	_cleanup_free_ char *buffer = xcalloc(2, COMPARE_CHUNK);

	while (length > 0) {
		size_t part = length < COMPARE_CHUNK ? (size_t)length : COMPARE_CHUNK;
		int result = file_read_at(writer->file, a, buffer, part);

		if (result == 0)
			result = file_read_at(writer->file, b, buffer + COMPARE_CHUNK, part);
		if (result != 0)
			return result;
		if (memcmp(buffer, buffer + COMPARE_CHUNK, part) != 0)
			return 0;
		a += part;
		b += part;
		length -= part;
	}
	return 1;
}

static int find_run(struct squash_blocks *writer, sqfs_u64 length, sqfs_u64 *ret_offset)
{
	sqfs_u32 at = writer->buckets[writer->hash % writer->bucket_count];
	unsigned tried = 0;

	while (at != 0 && tried < CANDIDATES_MAX) {
		const struct stored_run *run = &writer->runs[at - 1];

		at = run->next;
		if (run->hash != writer->hash || run->length != length)
			continue;
		tried++;
		int same = same_bytes(writer, run->offset, writer->start, length);

		if (same != 0) {
			*ret_offset = run->offset;
			return same;
		}
	}
	return 0;
}

/* Sets where the file begins; a file that is there already is taken back. */
static int end_run(struct squash_blocks *writer, sqfs_u32 flags, sqfs_u64 *location)
{
	sqfs_u64 length = file_get_size(writer->file) - writer->start;
	int found = 0;

	*location = writer->blocks > 0 ? writer->start : 0;
	if (writer->blocks == 0)
		return 0;
	if (!(flags & SQFS_BLK_DONT_DEDUPLICATE))
		found = find_run(writer, length, location);
	if (found < 0)
		return found;
	if (found == 0) {
		remember_run(writer, length);
		return 0;
	}
	writer->block_count -= writer->blocks;
	return file_truncate(writer->file, writer->start);
}

static int blocks_write(sqfs_block_writer_t *base, void *user, sqfs_u32 size, sqfs_u32 checksum,
			sqfs_u32 flags, const sqfs_u8 *data, sqfs_u64 *location)
{
	struct squash_blocks *writer = (struct squash_blocks *)base;
	sqfs_u64 offset = file_get_size(writer->file);

	(void)user;
	if (flags & SQFS_BLK_FIRST_BLOCK) {
		writer->start = offset;
		writer->blocks = 0;
		writer->hash = 0;
	}
	*location = offset;
	if (size > 0 && !(flags & SQFS_BLK_IS_SPARSE)) {
		int result = file_write_at(writer->file, offset, data, size);

		if (result != 0)
			return result;
		writer->blocks++;
		writer->block_count++;
		writer->hash = mix(writer->hash,
				   (sqfs_u64)size << 32 | checksum |
					   (flags & SQFS_BLK_IS_COMPRESSED ? 0 : 1ULL << 63));
	}
	return flags & SQFS_BLK_LAST_BLOCK ? end_run(writer, flags, location) : 0;
}

static sqfs_u64 blocks_count(const sqfs_block_writer_t *base)
{
	return ((const struct squash_blocks *)base)->block_count;
}

static void blocks_destroy(sqfs_object_t *object)
{
	struct squash_blocks *writer = (struct squash_blocks *)object;

	free(writer->runs);
	free(writer->buckets);
	free(writer);
}

sqfs_block_writer_t *squash_blocks_new(sqfs_file_t *file)
{
	struct squash_blocks *writer = xcalloc(1, sizeof(*writer));

	writer->base.base.destroy = blocks_destroy;
	writer->base.write_data_block = blocks_write;
	writer->base.get_block_count = blocks_count;
	writer->file = file;
	writer->bucket_count = FIRST_BUCKETS;
	writer->buckets = xcalloc(writer->bucket_count, sizeof(*writer->buckets));
	return &writer->base;
}
