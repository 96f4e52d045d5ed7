/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file system in memory, without file contents: names, inodes, links, extended attributes. Layers
 * are merged into it (image/merge.h) and it is written out as a squashfs (image/squash.h). Its size
 * is bounded whatever the layers say.
 */
#ifndef STOKER_IMAGE_TREE_H
#define STOKER_IMAGE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"

enum {
	TREE_NODES_MAX = 2000000,     /* names, directories that no entry names included */
	TREE_DIRECTORY_MAX = 1000000, /* names in one directory */
	TREE_BYTES_MAX = 512 << 20,   /* memory for all of it */
	TREE_PATH_MAX = 4096,	      /* bytes, of an entry and of what it resolves to */
	TREE_NAME_MAX = 255,	      /* bytes of one component */
	TREE_TARGET_MAX = 4095,	      /* bytes of a symbolic link */
	TREE_XATTRS_MAX = 64 << 10,   /* bytes of names and values of one inode */
	TREE_XATTR_COUNT_MAX = 1000,  /* of one inode: they are kept as a list */
};

/* In order of their names, each name once. */
struct tree_xattr {
	struct tree_xattr *next;
	uint32_t length;
	uint16_t name_length;
	char bytes[]; /* name, NUL, then `length` bytes of value */
};

struct squash_contents;

struct tree_inode {
	uint32_t mode; /* type and permissions, as in st_mode */
	uint32_t uid, gid;
	uint32_t mtime;
	uint32_t links;		   /* names of it in the tree */
	uint32_t number;	   /* for the writer */
	uint64_t reference;	   /* for the writer */
	struct tree_xattr *xattrs; /* owned */
	union {
		struct {
			uint64_t size;
			uint32_t layer, ordinal; /* which entry of which layer holds the data */
			struct squash_contents *contents; /* borrowed; NULL: not written yet */
		} file;
		struct {
			struct tree_node *first;
			uint32_t count, subdirectories;
		} directory;
		struct {
			uint32_t major, minor;
		} device;
		char *target; /* owned; of a symbolic link */
	};
};

struct tree_node {
	struct tree_node *parent;	   /* NULL: the root */
	struct tree_node *next, *previous; /* siblings, in no order */
	struct tree_node *same_hash;
	struct tree_inode *inode;
	uint32_t hash;
	uint32_t layer;	      /* the last one that set it or something below it */
	uint32_t cleared;     /* of a directory: the last layer that emptied it of lower ones */
	uint16_t path_length; /* of its whole path */
	uint16_t name_length;
	char name[]; /* NUL-terminated */
};

struct tree;

struct tree *tree_new(void); /* an empty root directory, 0755, owned by root, mtime 0 */
struct tree *tree_free(struct tree *tree);
DEFINE_CLEANUP(struct tree, tree_free);

struct tree_node *tree_root(const struct tree *tree);
uint32_t tree_count(const struct tree *tree); /* nodes, without the root */

static inline bool tree_is_directory(const struct tree_node *node)
{
	return S_ISDIR(node->inode->mode);
}

/* The node of that name in a directory, or NULL. */
struct tree_node *tree_lookup(const struct tree *tree, const struct tree_node *directory,
			      const char *name, size_t length);

/* Adds a name that is not there yet. With `inode` NULL a new one of type and permissions `mode`,
 * otherwise a further link to it. */
int tree_add(struct tree *tree, struct tree_node *directory, const char *name, size_t length,
	     struct tree_inode *inode, uint32_t mode, struct tree_node **ret, struct error *err);

/* Removes the node and all below it. Inodes live while they have names. Not for the root. */
void tree_remove(struct tree *tree, struct tree_node *node);

/* Of a symbolic link without a target yet. */
int tree_set_target(struct tree *tree, struct tree_inode *inode, const char *target,
		    struct error *err);

/* Adds or replaces one attribute. */
int tree_set_xattr(struct tree *tree, struct tree_inode *inode, const char *name, const void *value,
		   size_t length, struct error *err);
void tree_clear_xattrs(struct tree *tree, struct tree_inode *inode);

/* Puts the names of every directory in the order of their bytes. */
void tree_sort(struct tree *tree);

/* The next node in depth-first order, parents first; NULL after the last. Start with the root. */
struct tree_node *tree_next(const struct tree_node *node);

#endif
