/* SPDX-License-Identifier: Apache-2.0 */
/* Paths inside the tree, as the image's own root would see them. */
#ifndef STOKER_IMAGE_RESOLVE_H
#define STOKER_IMAGE_RESOLVE_H

#include "base/error.h"
#include "base/strv.h"
#include "image/tree.h"

enum { RESOLVE_SYMLINKS_MAX = 40 };

/* A path split in two; zero-initialise it, and reset it. `name` is "" for the root itself. */
struct split_path {
	char *parent; /* owned */
	char *name;   /* owned */
};

/* "." and empty components go, an absolute path is re-rooted; "..", an empty path and names or
 * paths that are too long are errors. */
int resolve_split(const char *path, struct split_path *ret, struct error *err);
void split_path_reset(struct split_path *path);

/* Where a parent path leads: the last directory that exists, and what is missing below it. */
struct resolved {
	struct tree_node *directory; /* borrowed */
	struct strv missing;
	unsigned symlinks; /* followed on the way */
};

/* Follows symbolic links, absolute ones and ".." too, without leaving the root. */
int resolve_parent(const struct tree *tree, const char *parent, struct resolved *ret,
		   struct error *err);
void resolved_reset(struct resolved *resolved);

#endif
