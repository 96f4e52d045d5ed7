/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The home of libext2fs: makes ext4 file systems in process. Called by instance/ for the writable
 * layer of a VM; what it makes is mounted by stoker-init in the guest, never by the host.
 *
 * The order of calls is that of mke2fs(8) (e2fsprogs, misc/mke2fs.c). What mke2fs spends its time
 * on is left out: a fresh sparse file reads as zeros, so inode tables and journal need no writing.
 */
#include "disk/disk.h"

#include <errno.h>
#include <ext2fs/ext2fs.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

enum {
	BLOCK_BYTES = 4096,
	INODE_BYTES = 256,
	BYTES_PER_INODE = 16384,   /* mke2fs.conf(5): its default */
	JOURNAL_BLOCKS = 1024,	   /* 4 MiB, the least that jbd2 takes (JBD2_MIN_JOURNAL_BLOCKS) */
	LOST_AND_FOUND_BLOCKS = 4, /* e2fsck(8) wants room that it need not allocate */
	LOG_GROUPS_PER_FLEX = 4,
};

static ext2_filsys close_fs(ext2_filsys fs)
{
	ext2fs_free(fs);
	return NULL;
}

static void close_fs_cleanup(ext2_filsys *fs)
{
	if (*fs)
		close_fs(*fs);
}

/* libext2fs speaks errno below its own table of messages. */
static int error_ext2fs(struct error *err, errcode_t code, const char *path, const char *step)
{
	if (code > 0 && code < 4096)
		return error_errno(err, (int)code, "%s: make a file system: %s", path, step);
	return error_set(err, "%s: make a file system: %s: %s", path, step, error_message(code));
}

static void fill_parameters(struct ext2_super_block *super, const struct disk_options *options)
{
	uint64_t blocks = options->size_bytes / BLOCK_BYTES;
	uint64_t inodes = options->size_bytes / BYTES_PER_INODE;

	super->s_rev_level = EXT2_DYNAMIC_REV;
	super->s_log_block_size = 2; /* 1024 << 2 */
	super->s_log_cluster_size = 2;
	super->s_inode_size = INODE_BYTES;
	super->s_inodes_count = inodes < UINT32_MAX / 2 ? (uint32_t)inodes : UINT32_MAX / 2;
	super->s_log_groups_per_flex = LOG_GROUPS_PER_FLEX;
	super->s_errors = EXT2_ERRORS_RO;
	ext2fs_blocks_count_set(super, blocks);
	ext2fs_set_feature_dir_index(super);
	ext2fs_set_feature_xattr(super);
	ext2fs_set_feature_filetype(super);
	ext2fs_set_feature_extents(super);
	ext2fs_set_feature_flex_bg(super);
	ext2fs_set_feature_64bit(super);
	ext2fs_set_feature_sparse_super(super);
	ext2fs_set_feature_large_file(super);
	ext2fs_set_feature_huge_file(super);
	ext2fs_set_feature_dir_nlink(super);
	ext2fs_set_feature_extra_isize(super);
	ext2fs_set_feature_metadata_csum(super);
}

/* Everything that mke2fs would draw from the clock or at random. */
static void stamp(ext2_filsys fs, const struct disk_options *options)
{
	struct ext2_super_block *super = fs->super;

	_Static_assert(sizeof(super->s_uuid) == sizeof(options->uuid), "a UUID has 16 bytes");
	_Static_assert(sizeof(super->s_hash_seed) == sizeof(options->uuid), "as has the hash seed");

	fs->now = (time_t)options->now;
	super->s_mkfs_time = (uint32_t)options->now;
	super->s_lastcheck = (uint32_t)options->now;
	super->s_wtime = (uint32_t)options->now;
	memcpy(super->s_uuid, options->uuid, sizeof(super->s_uuid));
	memcpy(super->s_hash_seed, options->uuid, sizeof(super->s_hash_seed));
	super->s_def_hash_version = EXT2_HASH_HALF_MD4;
	super->s_flags |= EXT2_FLAGS_SIGNED_HASH;
	super->s_checksum_type = EXT2_CRC32C_CHKSUM; /* not taken from the parameters */
	super->s_max_mnt_count = -1;
	super->s_checkinterval = 0;
}

/* The file is new: its holes are the zeros that a lazy mount would otherwise have to write. */
static void mark_tables_zeroed(ext2_filsys fs)
{
	for (dgrp_t group = 0; group < fs->group_desc_count; group++) {
		ext2fs_bg_flags_set(fs, group, EXT2_BG_INODE_ZEROED);
		ext2fs_group_desc_csum_set(fs, group);
	}
}

static errcode_t make_lost_and_found(ext2_filsys fs)
{
	ext2_ino_t inode;
	errcode_t code = ext2fs_mkdir(fs, EXT2_ROOT_INO, 0, "lost+found");

	if (!code)
		code = ext2fs_lookup(fs, EXT2_ROOT_INO, "lost+found", strlen("lost+found"), NULL,
				     &inode);
	for (int i = 1; !code && i < LOST_AND_FOUND_BLOCKS; i++)
		code = ext2fs_expand_dir(fs, inode);
	return code;
}

/* ext4 keeps the first inodes for itself; number 1 is the list of bad blocks, here empty. */
static void reserve_inodes(ext2_filsys fs)
{
	ext2fs_inode_alloc_stats2(fs, EXT2_BAD_INO, +1, 0);
	for (ext2_ino_t inode = EXT2_ROOT_INO + 1; inode < EXT2_FIRST_INODE(fs->super); inode++)
		ext2fs_inode_alloc_stats2(fs, inode, +1, 0);
	ext2fs_mark_ib_dirty(fs);
}

static int populate(ext2_filsys fs, const char *path, struct error *err)
{
	errcode_t code = ext2fs_allocate_tables(fs);

	if (code)
		return error_ext2fs(err, code, path, "allocate tables");
	mark_tables_zeroed(fs);

	code = ext2fs_mkdir(fs, EXT2_ROOT_INO, EXT2_ROOT_INO, NULL);
	if (code)
		return error_ext2fs(err, code, path, "root directory");
	code = make_lost_and_found(fs);
	if (code)
		return error_ext2fs(err, code, path, "lost+found");
	reserve_inodes(fs);

	/* The device "name" is a descriptor number: there is no mount table to look it up in. */
	code = ext2fs_add_journal_inode2(fs, JOURNAL_BLOCKS, ~0ULL,
					 EXT2_MKJOURNAL_LAZYINIT | EXT2_MKJOURNAL_NO_MNT_CHECK);
	if (code)
		return error_ext2fs(err, code, path, "journal");
	return 0;
}

static int make_file_system(int fd, const char *path, const struct disk_options *options,
			    struct error *err)
{
	struct ext2_super_block parameters = { 0 };
	CLEANUP(close_fs_cleanup) ext2_filsys fs = NULL;
	_cleanup_close_ int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	char number[16];
	errcode_t code;

	if (own < 0)
		return error_errno(err, errno, "%s: duplicate the descriptor", path);
	snprintf(number, sizeof(number), "%d", own);
	fill_parameters(&parameters, options);
	code = ext2fs_initialize(number, EXT2_FLAG_64BITS, &parameters, unixfd_io_manager, &fs);
	if (code)
		return error_ext2fs(err, code, path, "initialize");
	own = -1; /* closed with fs */

	stamp(fs, options);
	ext2fs_init_csum_seed(fs);
	if (populate(fs, path, err))
		return -1;

	/* Unsynced: before the guest's first flush, which syncs the whole file, nobody was promised
	 * anything that is in it. */
	code = ext2fs_close2(fs, EXT2_FLAG_FLUSH_NO_SYNC);
	if (code)
		return error_ext2fs(err, code, path, "write");
	fs = NULL;
	return 0;
}

static int fill(int fd, const char *path, const struct disk_options *options, struct error *err)
{
	if (ftruncate(fd, (off_t)options->size_bytes))
		return error_errno(err, errno, "%s: set its size to %llu bytes", path,
				   (unsigned long long)options->size_bytes);
	if (make_file_system(fd, path, options, err))
		return -1;
	if (fchown(fd, options->owner, (gid_t)-1))
		return error_errno(err, errno, "%s: give it to uid %u", path, options->owner);
	return 0;
}

int disk_create(const char *path, const struct disk_options *options, int *ret_fd,
		struct error *err)
{
	_cleanup_close_ int fd = -1;

	if (options->size_bytes < DISK_MIN_BYTES || options->size_bytes % BLOCK_BYTES ||
	    options->size_bytes > LLONG_MAX)
		return error_set(
			err,
			"%s: %llu bytes are no size for a disk (a multiple of %d, at least %d)",
			path, (unsigned long long)options->size_bytes, BLOCK_BYTES, DISK_MIN_BYTES);
	/* libext2fs takes a time of 0 as "ask the clock"; the superblock's fields have 32 bits. */
	if (options->now <= 0 || options->now > UINT32_MAX)
		return error_set(err, "%s: the time %lld does not fit an ext4 superblock", path,
				 (long long)options->now);

	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_errno(err, errno, "%s: create", path);
	if (fill(fd, path, options, err)) {
		unlink(path);
		return -1;
	}
	*ret_fd = take_fd(&fd);
	return 0;
}
