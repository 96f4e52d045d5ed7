/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by image/flatten.c: contents first, in the order in which the layers give them, then the
 * tree. This, squash_blocks.c and squash_compress.c are the home of libsquashfs (LGPL, linked
 * dynamically). The format is squashfs 4.0, Documentation/filesystems/squashfs.rst of the kernel;
 * names are sorted by bytes because the kernel searches them so.
 */
#include "image/squash.h"

#include <inttypes.h>
#include <sqfs/block_processor.h>
#include <sqfs/compressor.h>
#include <sqfs/dir_writer.h>
#include <sqfs/error.h>
#include <sqfs/frag_table.h>
#include <sqfs/id_table.h>
#include <sqfs/inode.h>
#include <sqfs/meta_writer.h>
#include <sqfs/super.h>
#include <sqfs/xattr_writer.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "image/hashkey.h"
#include "image/squash_blocks.h"
#include "image/squash_compress.h"

enum {
	DEVICE_BLOCK = 4096,
	/* Pieces that may wait for a worker: 128 KiB each, however small the file. */
	BACKLOG = 60,
	BACKLOG_PER_JOB = 10,
	ID_SLOT_BITS = 17,
	ID_SLOTS = 1 << ID_SLOT_BITS, /* twice what the format holds */
	NO_XATTRS = 0xffffffff,
	NO_FRAGMENT = 0xffffffff,
};

/* Distinct ids -> place in the table; libsquashfs would search it from the start each time. */
struct id_map {
	uint32_t ids[ID_SLOTS];
	uint32_t places[ID_SLOTS]; /* 1 + place; 0 = free */
	uint32_t count;
	uint64_t key; /* odd */
};

/* One file's blocks. The processor keeps the inode's address and fills it in while it works. */
struct squash_contents {
	sqfs_inode_generic_t *inode; /* owned */
	struct squash_contents *next;
};

struct squash {
	sqfs_file_t *file;
	sqfs_compressor_t *compressor, *decompressor;
	sqfs_frag_table_t *fragments;
	sqfs_block_writer_t *blocks;
	sqfs_block_processor_t *processor;
	sqfs_id_table_t *ids;
	sqfs_xattr_writer_t *xattrs;
	sqfs_meta_writer_t *inodes, *directories;
	sqfs_dir_writer_t *directory;
	struct id_map *id_map;		  /* owned */
	struct squash_contents *contents; /* owned */
	sqfs_super_t super;
};

/* --- errors and ids ----------------------------------------------------------------------------
 */

static const char *error_word(int code)
{
	switch (code) {
	case SQFS_ERROR_ALLOC:
		return "out of memory";
	case SQFS_ERROR_COMPRESSOR:
		return "the compressor failed";
	case SQFS_ERROR_OVERFLOW:
		return "too large for the format";
	case SQFS_ERROR_CORRUPTED:
		return "read back something else than was written";
	default:
		return "cannot read or write";
	}
}

static int squash_error(const struct squash *squash, int code, const char *what, struct error *err)
{
	int number = squash->file ? squash_file_errno(squash->file) : 0;

	if (number != 0)
		return error_errno(err, number, "squashfs: %s", what);
	return error_set(err, "squashfs: %s: %s (%d)", what, error_word(code), code);
}

static struct id_map *id_map_new(void)
{
	struct id_map *map = xcalloc(1, sizeof(*map));

	map->key = hash_key();
	return map;
}

/* The slot of an id: its own or the free one where it belongs. */
static uint32_t id_slot(const struct id_map *map, uint32_t id)
{
	uint32_t slot = (uint32_t)(id * map->key >> (64 - ID_SLOT_BITS));

	while (map->places[slot] != 0 && map->ids[slot] != id)
		slot = (slot + 1) % ID_SLOTS;
	return slot;
}

static int add_id(struct id_map *map, uint32_t id, struct error *err)
{
	uint32_t slot = id_slot(map, id);

	if (map->places[slot] != 0)
		return 0;
	if (map->count >= SQUASH_IDS_MAX)
		return error_set(err, "the image has more than %d different owners and groups",
				 SQUASH_IDS_MAX);
	map->ids[slot] = id;
	map->places[slot] = ++map->count;
	return 0;
}

int squash_check(const struct tree *tree, struct error *err)
{
	_cleanup_free_ struct id_map *map = id_map_new();

	for (const struct tree_node *node = tree_root(tree); node; node = tree_next(node))
		if (add_id(map, node->inode->uid, err) < 0 ||
		    add_id(map, node->inode->gid, err) < 0)
			return -1;
	return 0;
}

static int id_index(struct squash *squash, uint32_t id, sqfs_u16 *ret, struct error *err)
{
	struct id_map *map = squash->id_map;
	uint32_t slot = id_slot(map, id);

	if (map->places[slot] == 0) {
		int code = sqfs_id_table_id_to_index(squash->ids, id, ret);

		if (code != 0)
			return squash_error(squash, code, "ids", err);
		map->ids[slot] = id;
		map->places[slot] = 1U + *ret;
	}
	*ret = (sqfs_u16)(map->places[slot] - 1);
	return 0;
}

/* --- opening -----------------------------------------------------------------------------------
 */

static int write_head(struct squash *squash, const struct compression *compression,
		      struct error *err)
{
	int code = sqfs_super_init(&squash->super, SQUASH_BLOCK, 0,
				   squash_compressor_id(compression));

	if (code == 0)
		code = sqfs_super_write(&squash->super, squash->file);
	if (code == 0)
		code = squash->compressor->write_options(squash->compressor, squash->file);
	if (code < 0)
		return squash_error(squash, code, "superblock", err);
	if (code > 0)
		squash->super.flags |= SQFS_FLAG_COMPRESSOR_OPTIONS;
	return 0;
}

/* With `.file` and `.uncmp` equal fragments are compared byte by byte, not by a 32-bit sum. */
static int open_processor(struct squash *squash, unsigned jobs, struct error *err)
{
	sqfs_block_processor_desc_t wanted = {
		.size = sizeof(wanted),
		.max_block_size = SQUASH_BLOCK,
		.num_workers = jobs,
		.max_backlog = BACKLOG + BACKLOG_PER_JOB * jobs,
		.cmp = squash->compressor,
		.wr = squash->blocks,
		.tbl = squash->fragments,
		.file = squash->file,
		.uncmp = squash->decompressor,
	};
	int code = sqfs_block_processor_create_ex(&wanted, &squash->processor);

	return code == 0 ? 0 : squash_error(squash, code, "threads", err);
}

static int open_tables(struct squash *squash, struct error *err)
{
	squash->ids = sqfs_id_table_create(0);
	squash->xattrs = sqfs_xattr_writer_create(0);
	squash->inodes = sqfs_meta_writer_create(squash->file, squash->compressor, 0);
	squash->directories = sqfs_meta_writer_create(squash->file, squash->compressor,
						      SQFS_META_WRITER_KEEP_IN_MEMORY);
	if (squash->directories)
		squash->directory = sqfs_dir_writer_create(squash->directories,
							   SQFS_DIR_WRITER_CREATE_EXPORT_TABLE);
	if (!squash->ids || !squash->xattrs || !squash->inodes || !squash->directory)
		return squash_error(squash, SQFS_ERROR_ALLOC, "tables", err);
	return 0;
}

int squash_open(int fd, unsigned jobs, const struct compression *compression, struct squash **ret,
		struct error *err)
{
	CLEANUP(squash_close_cleanup) struct squash *squash = xcalloc(1, sizeof(*squash));
	int code;

	squash->id_map = id_map_new();
	squash->file = squash_file_new(fd);
	squash->blocks = squash_blocks_new(squash->file);
	squash->fragments = sqfs_frag_table_create(0);
	if (!squash->fragments)
		return squash_error(squash, SQFS_ERROR_ALLOC, "tables", err);
	code = squash_compressors_new(compression, SQUASH_BLOCK, &squash->compressor,
				      &squash->decompressor);
	if (code != 0)
		return squash_error(squash, code, "compressor", err);
	if (write_head(squash, compression, err) < 0 || open_processor(squash, jobs, err) < 0 ||
	    open_tables(squash, err) < 0)
		return -1;
	*ret = take_ptr(squash);
	return 0;
}

/* The processor's threads end first; what they use after them. */
struct squash *squash_close(struct squash *squash)
{
	if (!squash)
		return NULL;
	sqfs_destroy(squash->processor);
	sqfs_destroy(squash->directory);
	sqfs_destroy(squash->directories);
	sqfs_destroy(squash->inodes);
	sqfs_destroy(squash->xattrs);
	sqfs_destroy(squash->ids);
	sqfs_destroy(squash->fragments);
	sqfs_destroy(squash->blocks);
	sqfs_destroy(squash->decompressor);
	sqfs_destroy(squash->compressor);
	sqfs_destroy(squash->file);
	while (squash->contents) {
		struct squash_contents *contents = squash->contents;

		squash->contents = contents->next;
		sqfs_free(contents->inode);
		free(contents);
	}
	free(squash->id_map);
	free(squash);
	return NULL;
}

/* --- contents ----------------------------------------------------------------------------------
 */

int squash_begin_file(struct squash *squash, struct squash_contents **ret, struct error *err)
{
	struct squash_contents *contents = xcalloc(1, sizeof(*contents));
	int code;

	contents->next = squash->contents;
	squash->contents = contents;
	code = sqfs_block_processor_begin_file(squash->processor, &contents->inode, NULL, 0);
	if (code != 0)
		return squash_error(squash, code, "contents", err);
	*ret = contents;
	return 0;
}

int squash_write(struct squash *squash, const void *bytes, size_t length, struct error *err)
{
	int code = length == 0 ? 0 : sqfs_block_processor_append(squash->processor, bytes, length);

	return code == 0 ? 0 : squash_error(squash, code, "contents", err);
}

int squash_end_file(struct squash *squash, struct error *err)
{
	int code = sqfs_block_processor_end_file(squash->processor);

	return code == 0 ? 0 : squash_error(squash, code, "contents", err);
}

/* --- inodes ------------------------------------------------------------------------------------
 */

/* Subdirectories, then the rest, then the directory itself; as deep as a path is long. */
static void number_inodes(struct tree_node *directory, uint32_t *count)
{
	struct tree_node *first = directory->inode->directory.first;

	for (struct tree_node *node = first; node; node = node->next)
		if (tree_is_directory(node))
			number_inodes(node, count);
	for (struct tree_node *node = first; node; node = node->next)
		if (!tree_is_directory(node) && node->inode->number == 0)
			node->inode->number = ++*count;
	directory->inode->number = ++*count;
}

static int store_xattrs(struct squash *squash, const struct tree_inode *inode, sqfs_u32 *ret,
			struct error *err)
{
	int code = 0;

	*ret = NO_XATTRS;
	if (!inode->xattrs)
		return 0;
	code = sqfs_xattr_writer_begin(squash->xattrs, 0);
	for (const struct tree_xattr *xattr = inode->xattrs; xattr && code == 0;
	     xattr = xattr->next)
		code = sqfs_xattr_writer_add(squash->xattrs, xattr->bytes,
					     xattr->bytes + xattr->name_length + 1, xattr->length);
	if (code == 0)
		code = sqfs_xattr_writer_end(squash->xattrs, ret);
	return code == 0 ? 0 : squash_error(squash, code, "attributes", err);
}

static sqfs_inode_generic_t *new_inode(sqfs_u16 type, size_t extra)
{
	sqfs_inode_generic_t *inode = xcalloc(1, sizeof(*inode) + extra + 1);

	inode->base.type = type;
	inode->payload_bytes_available = (sqfs_u32)extra;
	inode->payload_bytes_used = (sqfs_u32)extra;
	return inode;
}

/* As the kernel's new_encode_dev(). */
static uint32_t device_number(uint32_t major, uint32_t minor)
{
	return (minor & 0xff) | major << 8 | (minor & ~0xffu) << 12;
}

static sqfs_inode_generic_t *make_file(struct tree_inode *from)
{
	sqfs_inode_generic_t *inode = from->file.contents ? take_ptr(from->file.contents->inode)
							  : NULL;

	if (!inode) {
		inode = new_inode(SQFS_INODE_FILE, 0);
		sqfs_inode_set_frag_location(inode, NO_FRAGMENT, NO_FRAGMENT);
	}
	if (from->links > 1) {
		sqfs_inode_make_extended(inode);
		inode->data.file_ext.nlink = from->links;
	}
	return inode;
}

static sqfs_inode_generic_t *make_symlink(const struct tree_inode *from)
{
	size_t length = strlen(from->target);
	sqfs_inode_generic_t *inode = new_inode(SQFS_INODE_SLINK, length);

	memcpy(inode->extra, from->target, length);
	inode->data.slink.nlink = from->links;
	inode->data.slink.target_size = (sqfs_u32)length;
	return inode;
}

static sqfs_inode_generic_t *make_inode(struct tree_inode *from)
{
	sqfs_inode_generic_t *inode;

	switch (from->mode & S_IFMT) {
	case S_IFREG:
		return make_file(from);
	case S_IFLNK:
		return make_symlink(from);
	case S_IFIFO:
		inode = new_inode(SQFS_INODE_FIFO, 0);
		inode->data.ipc.nlink = from->links;
		return inode;
	default:
		inode = new_inode(S_ISCHR(from->mode) ? SQFS_INODE_CDEV : SQFS_INODE_BDEV, 0);
		inode->data.dev.nlink = from->links;
		inode->data.dev.devno = device_number(from->device.major, from->device.minor);
		return inode;
	}
}

static int write_inode(struct squash *squash, struct tree_inode *from, sqfs_inode_generic_t *inode,
		       struct error *err)
{
	sqfs_u64 block;
	sqfs_u32 offset;
	int code;

	inode->base.mode = (sqfs_u16)from->mode;
	inode->base.mod_time = from->mtime;
	inode->base.inode_number = from->number;
	if (id_index(squash, from->uid, &inode->base.uid_idx, err) < 0 ||
	    id_index(squash, from->gid, &inode->base.gid_idx, err) < 0)
		return -1;
	sqfs_meta_writer_get_position(squash->inodes, &block, &offset);
	from->reference = block << 16 | offset;
	code = sqfs_meta_writer_write_inode(squash->inodes, inode);
	return code == 0 ? 0 : squash_error(squash, code, "inodes", err);
}

static int write_other(struct squash *squash, struct tree_inode *from, struct error *err)
{
	sqfs_inode_generic_t *inode;
	sqfs_u32 xattrs;
	int result;

	if (store_xattrs(squash, from, &xattrs, err) < 0)
		return -1;
	inode = make_inode(from);
	if (xattrs != NO_XATTRS) {
		sqfs_inode_make_extended(inode);
		sqfs_inode_set_xattr_index(inode, xattrs);
	}
	result = write_inode(squash, from, inode, err);
	free(inode);
	return result;
}

/* --- directories -------------------------------------------------------------------------------
 */

static int list_directory(struct squash *squash, const struct tree_inode *from, struct error *err)
{
	int code = sqfs_dir_writer_begin(squash->directory, 0);

	for (const struct tree_node *node = from->directory.first; node && code == 0;
	     node = node->next)
		code = sqfs_dir_writer_add_entry(squash->directory, node->name, node->inode->number,
						 node->inode->reference,
						 (sqfs_u16)node->inode->mode);
	if (code == 0)
		code = sqfs_dir_writer_end(squash->directory);
	return code == 0 ? 0 : squash_error(squash, code, "directories", err);
}

/* The links of a directory are its name, its "." and the ".." of its subdirectories. */
static void set_directory_links(sqfs_inode_generic_t *inode, uint32_t subdirectories)
{
	if (inode->base.type == SQFS_INODE_EXT_DIR)
		inode->data.dir_ext.nlink = 2 + subdirectories;
	else
		inode->data.dir.nlink = 2 + subdirectories;
}

static int write_directory(struct squash *squash, struct tree_node *node, uint32_t parent,
			   struct error *err);

static int write_children(struct squash *squash, const struct tree_node *directory,
			  struct error *err)
{
	for (struct tree_node *node = directory->inode->directory.first; node; node = node->next) {
		if (tree_is_directory(node)) {
			if (write_directory(squash, node, directory->inode->number, err) < 0)
				return -1;
		} else if (node->inode->reference == UINT64_MAX) {
			if (write_other(squash, node->inode, err) < 0)
				return -1;
		}
	}
	return 0;
}

static int write_directory(struct squash *squash, struct tree_node *node, uint32_t parent,
			   struct error *err)
{
	sqfs_inode_generic_t *inode;
	sqfs_u32 xattrs;
	int result;

	if (write_children(squash, node, err) < 0 ||
	    store_xattrs(squash, node->inode, &xattrs, err) < 0 ||
	    list_directory(squash, node->inode, err) < 0)
		return -1;
	inode = sqfs_dir_writer_create_inode(squash->directory, 0, xattrs, parent);
	if (!inode)
		return squash_error(squash, SQFS_ERROR_ALLOC, "directories", err);
	set_directory_links(inode, node->inode->directory.subdirectories);
	result = write_inode(squash, node->inode, inode, err);
	sqfs_free(inode);
	return result;
}

/* --- the end -----------------------------------------------------------------------------------
 */

static int write_tree(struct squash *squash, struct tree *tree, struct error *err)
{
	struct tree_node *root = tree_root(tree);
	uint32_t count = 0;
	int code;

	tree_sort(tree);
	for (struct tree_node *node = root; node; node = tree_next(node)) {
		node->inode->number = 0;
		node->inode->reference = UINT64_MAX;
	}
	number_inodes(root, &count);
	squash->super.inode_count = count;
	squash->super.inode_table_start = squash->file->get_size(squash->file);
	/* The root's parent is by convention the number after the last inode's. */
	if (write_directory(squash, root, count + 1, err) < 0)
		return -1;
	code = sqfs_meta_writer_flush(squash->inodes);
	if (code == 0)
		code = sqfs_meta_writer_flush(squash->directories);
	squash->super.root_inode_ref = root->inode->reference;
	squash->super.directory_table_start = squash->file->get_size(squash->file);
	if (code == 0)
		code = sqfs_meta_write_write_to_file(squash->directories);
	return code == 0 ? 0 : squash_error(squash, code, "directories", err);
}

static int write_tables(struct squash *squash, const struct tree_inode *root, struct error *err)
{
	sqfs_super_t *super = &squash->super;
	sqfs_u64 size;
	int code = sqfs_frag_table_write(squash->fragments, squash->file, super,
					 squash->compressor);

	if (code == 0)
		code = sqfs_dir_writer_write_export_table(squash->directory, squash->file,
							  squash->compressor, root->number,
							  root->reference, super);
	if (code == 0)
		code = sqfs_id_table_write(squash->ids, squash->file, super, squash->compressor);
	if (code == 0)
		code = sqfs_xattr_writer_flush(squash->xattrs, squash->file, super,
					       squash->compressor);
	size = squash->file->get_size(squash->file);
	super->bytes_used = size;
	if (code == 0)
		code = sqfs_super_write(super, squash->file);
	/* Block devices come in whole sectors. */
	size = (size + DEVICE_BLOCK - 1) / DEVICE_BLOCK * DEVICE_BLOCK;
	if (code == 0)
		code = squash->file->truncate(squash->file, size);
	return code == 0 ? 0 : squash_error(squash, code, "tables", err);
}

int squash_finish(struct squash *squash, struct tree *tree, struct error *err)
{
	int code = sqfs_block_processor_finish(squash->processor);

	if (code != 0)
		return squash_error(squash, code, "contents", err);
	if (write_tree(squash, tree, err) < 0)
		return -1;
	return write_tables(squash, tree_root(tree)->inode, err);
}
