/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by image/build.c and image/verify.c. Format 1 of dm-verity with SHA-256 over salt and
 * block, in blocks of 4096 bytes: Documentation/admin-guide/device-mapper/verity.rst of Linux; the
 * superblock is that of cryptsetup's lib/verity/verity.c (struct verity_sb), so that its tools need
 * to be told nothing but the offset and the root hash.
 *
 *   data            the squashfs, whole blocks
 *   superblock      one block, of which 512 bytes are used
 *   tree            the level of one block first, the level with the hashes of the data last
 */
#include "image/verity.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"

enum {
	HASH = 32,
	SALT = 32,
	PER_BLOCK = VERITY_BLOCK / HASH,
	LEVELS_MAX = 9,		  /* 128^9 is more blocks than 64 bits have bytes */
	CHUNK_BLOCKS = PER_BLOCK, /* read at once: those whose hashes fill one block */
};

/* One for all: the same image has the same root hash on every host. */
static const char salt[SALT + 1] = "stoker: the salt of image trees.";

struct superblock {
	uint8_t signature[8]; /* "verity" */
	uint32_t version;
	uint32_t hash_type;
	uint8_t uuid[16];
	char algorithm[32];
	uint32_t data_block_size;
	uint32_t hash_block_size;
	uint64_t data_blocks;
	uint16_t salt_size;
	uint8_t pad1[6];
	uint8_t salt[256];
	uint8_t pad2[168];
} __attribute__((packed));

_Static_assert(sizeof(struct superblock) == 512, "as cryptsetup reads it");

/* Block numbers in the file; level 0 has the hashes of the data. */
struct layout {
	uint64_t data_blocks;
	uint64_t starts[LEVELS_MAX], counts[LEVELS_MAX];
	unsigned levels; /* 0: a single block of data, whose hash is the root */
	uint64_t end;
};

static void plan(uint64_t data_blocks, struct layout *ret)
{
	struct layout layout = { .data_blocks = data_blocks, .end = data_blocks + 1 };

	for (uint64_t count = data_blocks; count > 1;) {
		count = (count + PER_BLOCK - 1) / PER_BLOCK;
		layout.counts[layout.levels++] = count;
	}
	for (unsigned level = layout.levels; level-- > 0;) {
		layout.starts[level] = layout.end;
		layout.end += layout.counts[level];
	}
	*ret = layout;
}

/* --- hashing ---------------------------------------------------------------------------------- */

struct hasher {
	EVP_MD_CTX *salted; /* has taken the salt */
	EVP_MD_CTX *work;
	uint8_t *chunk; /* CHUNK_BLOCKS blocks */
};

static void hasher_reset(struct hasher *hasher)
{
	EVP_MD_CTX_free(hasher->salted);
	EVP_MD_CTX_free(hasher->work);
	free(hasher->chunk);
}

static int hasher_init(struct hasher *hasher, struct error *err)
{
	hasher->chunk = xcalloc(CHUNK_BLOCKS, VERITY_BLOCK);
	hasher->salted = EVP_MD_CTX_new();
	hasher->work = EVP_MD_CTX_new();
	if (!hasher->salted || !hasher->work ||
	    EVP_DigestInit_ex(hasher->salted, EVP_sha256(), NULL) != 1 ||
	    EVP_DigestUpdate(hasher->salted, salt, SALT) != 1)
		return error_set(err, "hash tree: cannot set up SHA-256");
	return 0;
}

static int hash_block(struct hasher *hasher, const uint8_t *block, uint8_t ret[HASH],
		      struct error *err)
{
	if (EVP_MD_CTX_copy_ex(hasher->work, hasher->salted) != 1 ||
	    EVP_DigestUpdate(hasher->work, block, VERITY_BLOCK) != 1 ||
	    EVP_DigestFinal_ex(hasher->work, ret, NULL) != 1)
		return error_set(err, "hash tree: cannot compute SHA-256");
	return 0;
}

static int read_blocks(int fd, uint64_t first, size_t count, uint8_t *to, struct error *err)
{
	size_t done = 0, length = count * VERITY_BLOCK;

	while (done < length) {
		ssize_t n = pread(fd, to + done, length - done,
				  (off_t)(first * VERITY_BLOCK + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_errno(err, n < 0 ? errno : EIO,
					   "block %" PRIu64 ": cannot read",
					   first + done / VERITY_BLOCK);
		done += (size_t)n;
	}
	return 0;
}

static int write_block(int fd, uint64_t number, const void *block, struct error *err)
{
	size_t done = 0;

	while (done < VERITY_BLOCK) {
		ssize_t n = pwrite(fd, (const char *)block + done, VERITY_BLOCK - done,
				   (off_t)(number * VERITY_BLOCK + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_errno(err, errno, "hash tree: cannot write");
		done += (size_t)n;
	}
	return 0;
}

/* The hashes of up to PER_BLOCK blocks from `first` on, as they fill a block of the level above. */
static int hash_blocks(struct hasher *hasher, int fd, uint64_t first, uint64_t end,
		       uint8_t ret[VERITY_BLOCK], struct error *err)
{
	size_t count = end - first < PER_BLOCK ? (size_t)(end - first) : PER_BLOCK;

	memset(ret, 0, VERITY_BLOCK);
	if (read_blocks(fd, first, count, hasher->chunk, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (hash_block(hasher, hasher->chunk + i * VERITY_BLOCK, ret + i * HASH, err) < 0)
			return -1;
	return 0;
}

/* What is to be done with each block of the tree as it must be. */
typedef int tree_fn(int fd, uint64_t number, const uint8_t *block, uint64_t below,
		    struct error *err);

/* Level by level, from the data up; a level is read back from the file. */
static int each_tree_block(int fd, const struct layout *layout, tree_fn *fn, uint8_t ret_root[HASH],
			   struct error *err)
{
	CLEANUP(hasher_reset) struct hasher hasher = { 0 };
	uint64_t below = 0, below_end = layout->data_blocks;
	uint8_t block[VERITY_BLOCK];

	if (hasher_init(&hasher, err) < 0)
		return -1;
	for (unsigned level = 0; level < layout->levels; level++) {
		for (uint64_t i = 0; i < layout->counts[level]; i++) {
			uint64_t first = below + i * PER_BLOCK;

			if (hash_blocks(&hasher, fd, first, below_end, block, err) < 0 ||
			    fn(fd, layout->starts[level] + i, block, first, err) < 0)
				return -1;
		}
		below = layout->starts[level];
		below_end = below + layout->counts[level];
	}
	if (read_blocks(fd, below, 1, block, err) < 0)
		return -1;
	return hash_block(&hasher, block, ret_root, err);
}

static void put_hex(char *to, const void *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		snprintf(to + 2 * i, 3, "%02x", ((const uint8_t *)bytes)[i]);
}

static void format(const struct layout *layout, const uint8_t root[HASH],
		   char ret_text[VERITY_TEXT_SIZE])
{
	char root_hex[2 * HASH + 1], salt_hex[2 * SALT + 1];

	put_hex(root_hex, root, HASH);
	put_hex(salt_hex, salt, SALT);
	snprintf(ret_text, VERITY_TEXT_SIZE, "%" PRIu64 " %" PRIu64 " sha256 %s %s",
		 layout->data_blocks, layout->data_blocks + 1, root_hex, salt_hex);
}

/* --- adding it -------------------------------------------------------------------------------- */

static int add_block(int fd, uint64_t number, const uint8_t *block, uint64_t below,
		     struct error *err)
{
	(void)below;
	return write_block(fd, number, block, err);
}

static int write_superblock(int fd, const struct layout *layout, const uint8_t root[HASH],
			    struct error *err)
{
	uint8_t block[VERITY_BLOCK] = { 0 };
	struct superblock superblock = {
		.signature = "verity",
		.version = htole32(1),
		.hash_type = htole32(1),
		.algorithm = "sha256",
		.data_block_size = htole32(VERITY_BLOCK),
		.hash_block_size = htole32(VERITY_BLOCK),
		.data_blocks = htole64(layout->data_blocks),
		.salt_size = htole16(SALT),
	};

	memcpy(superblock.uuid, root, sizeof(superblock.uuid));
	memcpy(superblock.salt, salt, SALT);
	memcpy(block, &superblock, sizeof(superblock));
	return write_block(fd, layout->data_blocks, block, err);
}

int verity_append(int fd, char ret_text[VERITY_TEXT_SIZE], struct error *err)
{
	struct layout layout;
	uint8_t root[HASH];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_errno(err, errno, "hash tree: cannot inspect the squashfs");
	if (st.st_size == 0 || st.st_size % VERITY_BLOCK != 0)
		return error_set(err, "hash tree: the squashfs has %lld bytes, not whole blocks",
				 (long long)st.st_size);
	plan((uint64_t)st.st_size / VERITY_BLOCK, &layout);
	if (each_tree_block(fd, &layout, add_block, root, err) < 0 ||
	    write_superblock(fd, &layout, root, err) < 0)
		return -1;
	format(&layout, root, ret_text);
	return 0;
}

/* --- checking it ------------------------------------------------------------------------------ */

static int compare_block(int fd, uint64_t number, const uint8_t *block, uint64_t below,
			 struct error *err)
{
	uint8_t stored[VERITY_BLOCK];

	if (read_blocks(fd, number, 1, stored, err) < 0)
		return -1;
	for (size_t i = 0; i < PER_BLOCK; i++)
		if (memcmp(stored + i * HASH, block + i * HASH, HASH) != 0)
			return error_set(err, "block %" PRIu64 " is not what its hash says",
					 below + i);
	return 0;
}

int verity_check(int fd, const char *text, struct error *err)
{
	struct layout layout;
	uint64_t data_blocks, start;
	char own[VERITY_TEXT_SIZE];
	uint8_t root[HASH];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_errno(err, errno, "cannot inspect");
	if (sscanf(text, "%" SCNu64 " %" SCNu64 " ", &data_blocks, &start) != 2 ||
	    data_blocks == 0 || data_blocks > (uint64_t)INT64_MAX / VERITY_BLOCK / 2)
		return error_set(err, "its record holds no hash tree's root");
	plan(data_blocks, &layout);
	if ((uint64_t)st.st_size != layout.end * VERITY_BLOCK)
		return error_set(err, "%lld bytes instead of %" PRIu64, (long long)st.st_size,
				 layout.end * VERITY_BLOCK);
	if (each_tree_block(fd, &layout, compare_block, root, err) < 0)
		return -1;
	format(&layout, root, own);
	if (strcmp(own, text) != 0)
		return error_set(err, "its hash tree is not the one that was made for it");
	return 0;
}
