/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by image/layers.c for each entry of each layer, bottom layer first. A node remembers the
 * last layer that set it or something below it: a whiteout removes what bears an older number.
 */
#include "image/merge.h"

#include <inttypes.h>
#include <string.h>

#include "image/resolve.h"

enum { DEVICE_MAJOR_MAX = (1 << 12) - 1, DEVICE_MINOR_MAX = (1 << 20) - 1 };

/* --- values ------------------------------------------------------------------------------------
 */

static int check_entry(const struct merge_entry *entry, struct error *err)
{
	/* The last id, -1, means "leave it" to the kernel. */
	if (entry->uid < 0 || entry->uid >= UINT32_MAX)
		return error_set(err, "owner %" PRId64 " is out of range", entry->uid);
	if (entry->gid < 0 || entry->gid >= UINT32_MAX)
		return error_set(err, "group %" PRId64 " is out of range", entry->gid);
	if (entry->mtime > UINT32_MAX)
		return error_set(err, "modification time %" PRId64 " is out of range",
				 entry->mtime);
	if (entry->size < 0)
		return error_set(err, "size %" PRId64 " is out of range", entry->size);
	if ((entry->kind == MERGE_CHARACTER || entry->kind == MERGE_BLOCK) &&
	    (entry->major > DEVICE_MAJOR_MAX || entry->minor > DEVICE_MINOR_MAX))
		return error_set(err, "device %" PRIu64 ":%" PRIu64 " is out of range",
				 entry->major, entry->minor);
	return 0;
}

static uint32_t type_bits(enum merge_kind kind)
{
	switch (kind) {
	case MERGE_DIRECTORY:
		return S_IFDIR;
	case MERGE_SYMLINK:
		return S_IFLNK;
	case MERGE_CHARACTER:
		return S_IFCHR;
	case MERGE_BLOCK:
		return S_IFBLK;
	case MERGE_FIFO:
		return S_IFIFO;
	case MERGE_FILE:
	case MERGE_HARD_LINK:
		break;
	}
	return S_IFREG;
}

/* Linux knows more namespaces, squashfs these three. SELinux labels belong to the host that made
 * the image. */
static bool keep_xattr(const char *name)
{
	if (strcmp(name, "security.selinux") == 0)
		return false;
	return strncmp(name, "user.", 5) == 0 || strncmp(name, "trusted.", 8) == 0 ||
	       strncmp(name, "security.", 9) == 0;
}

static int set_metadata(struct tree *tree, struct tree_inode *inode,
			const struct merge_entry *entry, struct error *err)
{
	uint32_t type = type_bits(entry->kind);

	inode->mode = type | (type == S_IFLNK ? 0777 : entry->permissions & 07777);
	inode->uid = (uint32_t)entry->uid;
	inode->gid = (uint32_t)entry->gid;
	inode->mtime = entry->mtime < 0 ? 0 : (uint32_t)entry->mtime;
	tree_clear_xattrs(tree, inode);
	for (size_t i = 0; i < entry->xattr_count; i++) {
		const struct merge_xattr *xattr = &entry->xattrs[i];

		if (keep_xattr(xattr->name) &&
		    tree_set_xattr(tree, inode, xattr->name, xattr->value, xattr->length, err) < 0)
			return -1;
	}
	return 0;
}

static int set_type_specifics(struct tree *tree, struct tree_inode *inode,
			      const struct merge_entry *entry, struct error *err)
{
	switch (entry->kind) {
	case MERGE_FILE:
		inode->file.size = (uint64_t)entry->size;
		inode->file.layer = entry->layer;
		inode->file.ordinal = entry->ordinal;
		inode->file.contents = entry->contents;
		return 0;
	case MERGE_SYMLINK:
		return tree_set_target(tree, inode, entry->target ? entry->target : "", err);
	case MERGE_CHARACTER:
	case MERGE_BLOCK:
		inode->device.major = (uint32_t)entry->major;
		inode->device.minor = (uint32_t)entry->minor;
		return 0;
	case MERGE_DIRECTORY:
	case MERGE_HARD_LINK:
	case MERGE_FIFO:
		break;
	}
	return 0;
}

/* --- whiteouts ---------------------------------------------------------------------------------
 */

static void mark(struct tree_node *node, uint32_t layer)
{
	for (; node && node->layer != layer; node = node->parent)
		node->layer = layer;
}

/* Removes from below a directory all that this layer has not set. As deep as a path is long. What
 * a layer adds is its own, so once for each directory is enough: a million markers beside a million
 * names must not become their product. */
static void remove_lower(struct tree *tree, struct tree_node *directory, uint32_t layer)
{
	struct tree_node *next;

	if (directory->cleared == layer)
		return;
	directory->cleared = layer;
	for (struct tree_node *node = directory->inode->directory.first; node; node = next) {
		next = node->next;
		if (node->layer != layer)
			tree_remove(tree, node);
		else if (tree_is_directory(node))
			remove_lower(tree, node, layer);
	}
}

static int apply_opaque(struct tree *tree, const char *parent, uint32_t layer, struct error *err)
{
	struct resolved at = { 0 };
	int result = resolve_parent(tree, parent, &at, err);

	if (result == 0 && at.symlinks > 0)
		result = error_set(err, "an opaque marker behind a symbolic link");
	else if (result == 0 && at.missing.count == 0)
		remove_lower(tree, at.directory, layer);
	resolved_reset(&at);
	return result;
}

static int apply_whiteout(struct tree *tree, const struct split_path *path, uint32_t layer,
			  struct error *err)
{
	const char *name = path->name + strlen(MERGE_WHITEOUT_PREFIX);
	struct resolved at = { 0 };
	struct tree_node *node = NULL;

	if (strcmp(path->name, MERGE_OPAQUE_MARKER) == 0)
		return apply_opaque(tree, path->parent, layer, err);
	if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return error_set(err, "a whiteout that names nothing");
	if (resolve_parent(tree, path->parent, &at, err) < 0) {
		resolved_reset(&at);
		return -1;
	}
	if (at.symlinks > 0) {
		resolved_reset(&at);
		return error_set(err, "a whiteout behind a symbolic link");
	}
	if (at.missing.count == 0)
		node = tree_lookup(tree, at.directory, name, strlen(name));
	if (node && node->layer != layer)
		tree_remove(tree, node);
	else if (node && tree_is_directory(node))
		remove_lower(tree, node, layer);
	resolved_reset(&at);
	return 0;
}

/* --- entries -----------------------------------------------------------------------------------
 */

/* Directories that no entry names: 0755, root's, from the epoch. */
static int make_missing(struct tree *tree, struct resolved *at, struct error *err)
{
	STRV_EACH (name, &at->missing) {
		if (tree_add(tree, at->directory, name, strlen(name), NULL, S_IFDIR | 0755,
			     &at->directory, err) < 0)
			return -1;
	}
	return 0;
}

/* The inode that a hard link names; its last component is not followed. */
static int find_link_target(const struct tree *tree, const char *target, struct tree_inode **ret,
			    struct error *err)
{
	struct split_path path = { 0 };
	struct resolved at = { 0 };
	const struct tree_node *node = NULL;
	int result = resolve_split(target, &path, err);

	if (result == 0)
		result = resolve_parent(tree, path.parent, &at, err);
	if (result == 0 && path.name[0] == '\0')
		node = tree_root(tree);
	else if (result == 0 && at.missing.count == 0)
		node = tree_lookup(tree, at.directory, path.name, strlen(path.name));
	if (result == 0 && !node)
		result = error_set(err, "does not exist");
	else if (result == 0 && tree_is_directory(node))
		result = error_set(err, "is a directory");
	else if (result == 0)
		*ret = node->inode;
	split_path_reset(&path);
	resolved_reset(&at);
	return result;
}

static int add_node(struct tree *tree, struct tree_node *directory, const char *name,
		    const struct merge_entry *entry, struct tree_node **ret, struct error *err)
{
	struct tree_inode *target = NULL;

	if (entry->kind != MERGE_HARD_LINK)
		return tree_add(tree, directory, name, strlen(name), NULL, type_bits(entry->kind),
				ret, err);
	if (!entry->target)
		return error_set(err, "a hard link to nothing");
	if (find_link_target(tree, entry->target, &target, err) < 0)
		return error_wrap(err, "hard link to '%.200s'", entry->target);
	return tree_add(tree, directory, name, strlen(name), target, 0, ret, err);
}

static int apply_at(struct tree *tree, struct tree_node *directory, const char *name,
		    const struct merge_entry *entry, struct error *err)
{
	struct tree_node *node = tree_lookup(tree, directory, name, strlen(name));

	if (node && !(tree_is_directory(node) && entry->kind == MERGE_DIRECTORY)) {
		tree_remove(tree, node);
		node = NULL;
	}
	if (!node) {
		if (add_node(tree, directory, name, entry, &node, err) < 0)
			return -1;
		if (entry->kind != MERGE_HARD_LINK &&
		    set_type_specifics(tree, node->inode, entry, err) < 0)
			return -1;
	}
	mark(node, entry->layer);
	/* A hard link has no metadata of its own. */
	return entry->kind == MERGE_HARD_LINK ? 0 : set_metadata(tree, node->inode, entry, err);
}

static int apply_entry(struct tree *tree, const struct split_path *path,
		       const struct merge_entry *entry, struct error *err)
{
	struct resolved at = { 0 };
	int result = resolve_parent(tree, path->parent, &at, err);

	if (result == 0)
		result = make_missing(tree, &at, err);
	if (result == 0)
		result = apply_at(tree, at.directory, path->name, entry, err);
	resolved_reset(&at);
	return result;
}

static int apply_root(struct tree *tree, const struct merge_entry *entry, struct error *err)
{
	struct tree_node *root = tree_root(tree);

	if (entry->kind != MERGE_DIRECTORY)
		return error_set(err, "the root of the image is not a directory");
	root->layer = entry->layer;
	return set_metadata(tree, root->inode, entry, err);
}

int merge_apply(struct tree *tree, const struct merge_entry *entry, struct error *err)
{
	struct split_path path = { 0 };
	int result = resolve_split(entry->path, &path, err);

	if (result == 0)
		result = check_entry(entry, err);
	if (result == 0 && path.name[0] == '\0')
		result = apply_root(tree, entry, err);
	else if (result == 0 &&
		 strncmp(path.name, MERGE_WHITEOUT_PREFIX, strlen(MERGE_WHITEOUT_PREFIX)) == 0)
		result = apply_whiteout(tree, &path, entry->layer, err);
	else if (result == 0)
		result = apply_entry(tree, &path, entry, err);
	split_path_reset(&path);
	if (result < 0)
		return error_wrap(err, "'%.200s'", entry->path);
	return 0;
}
