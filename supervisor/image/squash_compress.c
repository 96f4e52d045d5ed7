/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Used by image/squash.c. Around each compressor of libsquashfs 1.2 there is one that stores as it
 * is what would grow: its lz4 gives more bytes than it took, for tables of a few bytes, and neither
 * the kernel nor unsquashfs reads a block that is larger than what it stands for.
 */
#include "image/squash_compress.h"

#include <sqfs/error.h>
#include <stdlib.h>

#include "base/alloc.h"

struct careful {
	sqfs_compressor_t base;
	sqfs_compressor_t *inner; /* owned */
};

static void careful_destroy(sqfs_object_t *object)
{
	sqfs_destroy(((struct careful *)object)->inner);
	free(object);
}

static void careful_configuration(const sqfs_compressor_t *base, sqfs_compressor_config_t *ret)
{
	const struct careful *careful = (const struct careful *)base;

	careful->inner->get_configuration(careful->inner, ret);
}

static int careful_write_options(sqfs_compressor_t *base, sqfs_file_t *file)
{
	struct careful *careful = (struct careful *)base;

	return careful->inner->write_options(careful->inner, file);
}

static int careful_read_options(sqfs_compressor_t *base, sqfs_file_t *file)
{
	struct careful *careful = (struct careful *)base;

	return careful->inner->read_options(careful->inner, file);
}

/* 0: to be stored as it is. */
static sqfs_s32 careful_block(sqfs_compressor_t *base, const sqfs_u8 *in, sqfs_u32 size,
			      sqfs_u8 *out, sqfs_u32 out_size)
{
	struct careful *careful = (struct careful *)base;
	sqfs_s32 length = careful->inner->do_block(careful->inner, in, size, out, out_size);

	return length > 0 && (sqfs_u32)length >= size ? 0 : length;
}

static sqfs_object_t *careful_copy(const sqfs_object_t *object);

/* Takes the inner one over; NULL when that is NULL. */
static sqfs_compressor_t *careful_new(sqfs_compressor_t *inner)
{
	struct careful *careful;

	if (!inner)
		return NULL;
	careful = xcalloc(1, sizeof(*careful));
	careful->base.base.destroy = careful_destroy;
	careful->base.base.copy = careful_copy;
	careful->base.get_configuration = careful_configuration;
	careful->base.write_options = careful_write_options;
	careful->base.read_options = careful_read_options;
	careful->base.do_block = careful_block;
	careful->inner = inner;
	return &careful->base;
}

static sqfs_object_t *careful_copy(const sqfs_object_t *object)
{
	return (sqfs_object_t *)careful_new(sqfs_copy(((const struct careful *)object)->inner));
}

SQFS_COMPRESSOR squash_compressor_id(const struct compression *compression)
{
	static const SQFS_COMPRESSOR ids[] = {
		[COMPRESSION_ZSTD] = SQFS_COMP_ZSTD,
		[COMPRESSION_GZIP] = SQFS_COMP_GZIP,
		[COMPRESSION_LZ4] = SQFS_COMP_LZ4,
		[COMPRESSION_XZ] = SQFS_COMP_XZ,
	};

	return ids[compression->method];
}

int squash_compressors_new(const struct compression *compression, size_t block_size,
			   sqfs_compressor_t **ret_compressor, sqfs_compressor_t **ret_decompressor)
{
	sqfs_compressor_t *inner = NULL;
	sqfs_compressor_config_t config;
	int code = sqfs_compressor_config_init(&config, squash_compressor_id(compression),
					       block_size, 0);

	if (compression->level > 0)
		config.level = compression->level;
	if (code == 0)
		code = sqfs_compressor_create(&config, &inner);
	*ret_compressor = careful_new(inner);
	config.flags |= SQFS_COMP_FLAG_UNCOMPRESS;
	return code == 0 ? sqfs_compressor_create(&config, ret_decompressor) : code;
}
