/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by image/merge.c for every entry and hard link target. The walk is that of a kernel in a
 * chroot (path_resolution(7)), except that missing components are no error: layers may name a file
 * before or without its directory.
 */
#include "image/resolve.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/strbuf.h"

void split_path_reset(struct split_path *path)
{
	free(path->parent);
	free(path->name);
	*path = (struct split_path){ 0 };
}

void resolved_reset(struct resolved *resolved)
{
	strv_reset(&resolved->missing);
	*resolved = (struct resolved){ 0 };
}

/* The next component of *path; length 0 at its end. */
static const char *next_component(const char **path, size_t *ret_length)
{
	const char *start = *path + strspn(*path, "/");

	*ret_length = strcspn(start, "/");
	*path = start + *ret_length;
	return start;
}

static bool is_word(const char *component, size_t length, const char *word)
{
	return strlen(word) == length && memcmp(component, word, length) == 0;
}

int resolve_split(const char *path, struct split_path *ret, struct error *err)
{
	_cleanup_strbuf_ struct strbuf parent = { 0 };
	const char *name = "", *component;
	size_t name_length = 0, length;

	if (path[0] == '\0')
		return error_set(err, "an entry without a name");
	if (strlen(path) > TREE_PATH_MAX)
		return error_set(err, "a path of %zu bytes (%d are allowed)", strlen(path),
				 TREE_PATH_MAX);
	while (component = next_component(&path, &length), length > 0) {
		if (is_word(component, length, "."))
			continue;
		if (is_word(component, length, ".."))
			return error_set(err, "'..' in a path");
		if (length > TREE_NAME_MAX)
			return error_set(err, "a name of %zu bytes (%d are allowed)", length,
					 TREE_NAME_MAX);
		if (name_length > 0) {
			strbuf_putc(&parent, '/');
			strbuf_add(&parent, name, name_length);
		}
		name = component;
		name_length = length;
	}
	split_path_reset(ret);
	ret->parent = strbuf_take(&parent);
	ret->name = xstrndup(name, name_length);
	return 0;
}

static void go_up(struct resolved *at)
{
	if (at->missing.count > 0) {
		free(at->missing.items[--at->missing.count]);
		at->missing.items[at->missing.count] = NULL;
	} else if (at->directory->parent) {
		at->directory = at->directory->parent;
	}
}

/* Puts a link's target in front of what is left to walk. */
static int enter_symlink(const struct tree *tree, const struct tree_node *link, const char *rest,
			 char **pending, struct resolved *at, struct error *err)
{
	char *longer;

	if (++at->symlinks > RESOLVE_SYMLINKS_MAX)
		return error_set(err, "its parent leads through more than %d symbolic links",
				 RESOLVE_SYMLINKS_MAX);
	if (link->inode->target[0] == '/')
		at->directory = tree_root(tree);
	longer = xasprintf("%s/%s", link->inode->target, rest);
	free(*pending);
	*pending = longer;
	return 0;
}

int resolve_parent(const struct tree *tree, const char *parent, struct resolved *ret,
		   struct error *err)
{
	_cleanup_free_ char *pending = xstrdup(parent);
	const char *rest = pending, *component;
	size_t length;

	resolved_reset(ret);
	ret->directory = tree_root(tree);
	while (component = next_component(&rest, &length), length > 0) {
		struct tree_node *node;

		if (is_word(component, length, "."))
			continue;
		if (is_word(component, length, "..")) {
			go_up(ret);
			continue;
		}
		node = ret->missing.count > 0
			       ? NULL
			       : tree_lookup(tree, ret->directory, component, length);
		if (!node) {
			strv_add_taken(&ret->missing, xstrndup(component, length));
		} else if (tree_is_directory(node)) {
			ret->directory = node;
		} else if (!S_ISLNK(node->inode->mode)) {
			return error_set(err, "its parent is not a directory");
		} else {
			if (enter_symlink(tree, node, rest, &pending, ret, err) < 0)
				return -1;
			rest = pending;
		}
	}
	return 0;
}
