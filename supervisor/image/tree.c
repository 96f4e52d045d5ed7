/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Used by image/merge.c, which changes it, and image/squash.c, which writes it out. One hash table
 * over (directory, name) serves all look-ups; directories are doubly linked lists. Every byte held
 * is counted, because strangers choose how many names there are and how long.
 */
#include "image/tree.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

enum { FIRST_BUCKETS = 1024 };

struct tree {
	struct tree_node *root;	    /* owned */
	struct tree_node **buckets; /* owned */
	size_t bucket_count;	    /* a power of two */
	uint32_t node_count;
	uint64_t bytes;
};

/* --- memory ------------------------------------------------------------------------------------
 */

static int charge(struct tree *tree, size_t bytes, struct error *err)
{
	if (tree->bytes + bytes > TREE_BYTES_MAX)
		return error_set(err, "the image's names and attributes need more than %d MiB",
				 TREE_BYTES_MAX >> 20);
	tree->bytes += bytes;
	return 0;
}

static size_t xattr_bytes(const struct tree_xattr *xattr)
{
	return sizeof(*xattr) + xattr->name_length + 1 + xattr->length;
}

static size_t node_bytes(size_t name_length)
{
	return sizeof(struct tree_node) + name_length + 1;
}

static void free_inode(struct tree *tree, struct tree_inode *inode)
{
	tree_clear_xattrs(tree, inode);
	if (S_ISLNK(inode->mode) && inode->target) {
		tree->bytes -= strlen(inode->target) + 1;
		free(inode->target);
	}
	tree->bytes -= sizeof(*inode);
	free(inode);
}

static void free_node(struct tree *tree, struct tree_node *node)
{
	if (--node->inode->links == 0)
		free_inode(tree, node->inode);
	tree->bytes -= node_bytes(node->name_length);
	free(node);
}

/* --- the hash table ----------------------------------------------------------------------------
 */

/* FNV-1a over the name, started with the directory's address, which no image can choose. */
static uint32_t hash_name(const struct tree_node *directory, const char *name, size_t length)
{
	uint64_t hash = 0xcbf29ce484222325 ^ (uintptr_t)directory * 0x9e3779b97f4a7c15;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (uint8_t)name[i]) * 0x100000001b3;
	return (uint32_t)(hash ^ hash >> 32);
}

static struct tree_node **bucket(const struct tree *tree, uint32_t hash)
{
	return &tree->buckets[hash & (tree->bucket_count - 1)];
}

static void grow_table(struct tree *tree)
{
	struct tree_node **old = tree->buckets;
	size_t old_count = tree->bucket_count;

	tree->bucket_count *= 2;
	tree->buckets = xcalloc(tree->bucket_count, sizeof(*tree->buckets));
	for (size_t i = 0; i < old_count; i++)
		for (struct tree_node *node = old[i], *next; node; node = next) {
			struct tree_node **head = bucket(tree, node->hash);

			next = node->same_hash;
			node->same_hash = *head;
			*head = node;
		}
	free(old);
}

static void insert_hashed(struct tree *tree, struct tree_node *node)
{
	struct tree_node **head;

	if (tree->node_count >= tree->bucket_count)
		grow_table(tree);
	head = bucket(tree, node->hash);
	node->same_hash = *head;
	*head = node;
}

static void remove_hashed(struct tree *tree, const struct tree_node *node)
{
	struct tree_node **link = bucket(tree, node->hash);

	while (*link != node)
		link = &(*link)->same_hash;
	*link = node->same_hash;
}

struct tree_node *tree_lookup(const struct tree *tree, const struct tree_node *directory,
			      const char *name, size_t length)
{
	uint32_t hash = hash_name(directory, name, length);

	for (struct tree_node *node = *bucket(tree, hash); node; node = node->same_hash)
		if (node->hash == hash && node->parent == directory &&
		    node->name_length == length && memcmp(node->name, name, length) == 0)
			return node;
	return NULL;
}

/* --- nodes -------------------------------------------------------------------------------------
 */

static struct tree_inode *new_inode(struct tree *tree, uint32_t mode, struct error *err)
{
	struct tree_inode *inode;

	if (charge(tree, sizeof(*inode), err) < 0)
		return NULL;
	inode = xcalloc(1, sizeof(*inode));
	inode->mode = mode;
	return inode;
}

struct tree *tree_new(void)
{
	struct tree *tree = xcalloc(1, sizeof(*tree));

	tree->bucket_count = FIRST_BUCKETS;
	tree->buckets = xcalloc(tree->bucket_count, sizeof(*tree->buckets));
	tree->root = xcalloc(1, node_bytes(0));
	tree->root->inode = new_inode(tree, S_IFDIR | 0755, NULL);
	tree->root->inode->links = 1;
	tree->bytes += node_bytes(0);
	return tree;
}

struct tree *tree_free(struct tree *tree)
{
	if (!tree)
		return NULL;
	while (tree->root->inode->directory.first)
		tree_remove(tree, tree->root->inode->directory.first);
	free_node(tree, tree->root);
	free(tree->buckets);
	free(tree);
	return NULL;
}

struct tree_node *tree_root(const struct tree *tree)
{
	return tree->root;
}

uint32_t tree_count(const struct tree *tree)
{
	return tree->node_count;
}

static int check_name(const struct tree *tree, const struct tree_node *directory, size_t length,
		      struct error *err)
{
	if (length > TREE_NAME_MAX)
		return error_set(err, "a name of %zu bytes (%d are allowed)", length,
				 TREE_NAME_MAX);
	if (directory->path_length + 1 + length > TREE_PATH_MAX)
		return error_set(err, "its path is longer than %d bytes", TREE_PATH_MAX);
	if (tree->node_count >= TREE_NODES_MAX)
		return error_set(err, "the image has more than %d files", TREE_NODES_MAX);
	if (directory->inode->directory.count >= TREE_DIRECTORY_MAX)
		return error_set(err, "its directory has more than %d names", TREE_DIRECTORY_MAX);
	return 0;
}

static void link_node(struct tree *tree, struct tree_node *directory, struct tree_node *node)
{
	struct tree_inode *inode = directory->inode;

	node->parent = directory;
	node->next = inode->directory.first;
	if (node->next)
		node->next->previous = node;
	inode->directory.first = node;
	inode->directory.count++;
	if (tree_is_directory(node))
		inode->directory.subdirectories++;
	insert_hashed(tree, node);
	tree->node_count++;
}

static void unlink_node(struct tree *tree, struct tree_node *node)
{
	struct tree_inode *inode = node->parent->inode;

	if (node->previous)
		node->previous->next = node->next;
	else
		inode->directory.first = node->next;
	if (node->next)
		node->next->previous = node->previous;
	inode->directory.count--;
	if (tree_is_directory(node))
		inode->directory.subdirectories--;
	remove_hashed(tree, node);
	tree->node_count--;
}

int tree_add(struct tree *tree, struct tree_node *directory, const char *name, size_t length,
	     struct tree_inode *inode, uint32_t mode, struct tree_node **ret, struct error *err)
{
	struct tree_node *node;

	if (check_name(tree, directory, length, err) < 0 ||
	    charge(tree, node_bytes(length), err) < 0)
		return -1;
	if (!inode)
		inode = new_inode(tree, mode, err);
	if (!inode) {
		tree->bytes -= node_bytes(length);
		return -1;
	}
	inode->links++;
	node = xcalloc(1, node_bytes(length));
	memcpy(node->name, name, length);
	node->name_length = (uint16_t)length;
	node->path_length = (uint16_t)(directory->path_length + 1 + length);
	node->hash = hash_name(directory, name, length);
	node->inode = inode;
	link_node(tree, directory, node);
	*ret = node;
	return 0;
}

/* Without recursion: always the first leaf below, until the node itself is one. */
void tree_remove(struct tree *tree, struct tree_node *node)
{
	struct tree_node *at = node;

	for (;;) {
		struct tree_node *parent = at->parent;
		bool last = at == node;

		if (tree_is_directory(at) && at->inode->directory.first) {
			at = at->inode->directory.first;
			continue;
		}
		unlink_node(tree, at);
		free_node(tree, at);
		if (last)
			return;
		at = parent;
	}
}

struct tree_node *tree_next(const struct tree_node *node)
{
	if (tree_is_directory(node) && node->inode->directory.first)
		return node->inode->directory.first;
	while (node && !node->next)
		node = node->parent;
	return node ? node->next : NULL;
}

static int compare_names(const void *a, const void *b)
{
	const struct tree_node *const *left = a, *const *right = b;

	return strcmp((*left)->name, (*right)->name);
}

static void sort_directory(struct tree_inode *inode)
{
	struct tree_node **nodes, **link = &inode->directory.first, *previous = NULL;
	size_t count = inode->directory.count;

	if (count < 2)
		return;
	nodes = xcalloc(count, sizeof(*nodes));
	for (size_t i = 0; i < count; i++) {
		nodes[i] = *link;
		link = &(*link)->next;
	}
	qsort(nodes, count, sizeof(struct tree_node *), compare_names);
	link = &inode->directory.first;
	for (size_t i = 0; i < count; i++) {
		*link = nodes[i];
		nodes[i]->previous = previous;
		previous = nodes[i];
		link = &nodes[i]->next;
	}
	*link = NULL;
	free(nodes);
}

void tree_sort(struct tree *tree)
{
	for (struct tree_node *node = tree->root; node; node = tree_next(node))
		if (tree_is_directory(node))
			sort_directory(node->inode);
}

/* --- targets and attributes --------------------------------------------------------------------
 */

int tree_set_target(struct tree *tree, struct tree_inode *inode, const char *target,
		    struct error *err)
{
	size_t length = strlen(target);

	if (length == 0)
		return error_set(err, "a symbolic link to nothing");
	if (length > TREE_TARGET_MAX)
		return error_set(err, "a symbolic link of %zu bytes (%d are allowed)", length,
				 TREE_TARGET_MAX);
	if (charge(tree, length + 1, err) < 0)
		return -1;
	inode->target = xstrdup(target);
	return 0;
}

static void remove_xattr(struct tree *tree, struct tree_xattr **link)
{
	struct tree_xattr *xattr = *link;

	*link = xattr->next;
	tree->bytes -= xattr_bytes(xattr);
	free(xattr);
}

void tree_clear_xattrs(struct tree *tree, struct tree_inode *inode)
{
	while (inode->xattrs)
		remove_xattr(tree, &inode->xattrs);
}

static struct tree_xattr *new_xattr(const char *name, size_t name_length, const void *value,
				    size_t length)
{
	struct tree_xattr *xattr = xcalloc(1, sizeof(*xattr) + name_length + 1 + length);

	xattr->name_length = (uint16_t)name_length;
	xattr->length = (uint32_t)length;
	memcpy(xattr->bytes, name, name_length);
	if (length > 0)
		memcpy(xattr->bytes + name_length + 1, value, length);
	return xattr;
}

int tree_set_xattr(struct tree *tree, struct tree_inode *inode, const char *name, const void *value,
		   size_t length, struct error *err)
{
	size_t name_length = strlen(name), total = 0, count = 0;
	struct tree_xattr **link = &inode->xattrs;
	struct tree_xattr *xattr;

	if (name_length > TREE_NAME_MAX)
		return error_set(err, "an attribute name of %zu bytes (%d are allowed)",
				 name_length, TREE_NAME_MAX);
	while (*link && strcmp((*link)->bytes, name) < 0)
		link = &(*link)->next;
	if (*link && strcmp((*link)->bytes, name) == 0)
		remove_xattr(tree, link);
	for (const struct tree_xattr *each = inode->xattrs; each; each = each->next, count++)
		total += each->name_length + each->length;
	if (count >= TREE_XATTR_COUNT_MAX)
		return error_set(err, "more than %d attributes", TREE_XATTR_COUNT_MAX);
	if (length > TREE_XATTRS_MAX || total + name_length + length > TREE_XATTRS_MAX)
		return error_set(err, "more than %d KiB of attributes", TREE_XATTRS_MAX >> 10);
	if (charge(tree, sizeof(*xattr) + name_length + 1 + length, err) < 0)
		return -1;
	xattr = new_xattr(name, name_length, value, length);
	xattr->next = *link;
	*link = xattr;
	return 0;
}
