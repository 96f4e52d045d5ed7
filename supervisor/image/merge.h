/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One layer entry after the other becomes part of the tree, by the rules of the OCI image
 * specification (layer.md, "Applying Changesets") as umoci applies them: whiteouts and opaque
 * markers touch lower layers only, whatever the order; symbolic links in a parent path are followed
 * inside the image's root; a directory on a directory keeps its children; anything else replaces.
 */
#ifndef STOKER_IMAGE_MERGE_H
#define STOKER_IMAGE_MERGE_H

#include <stdint.h>

#include "base/error.h"
#include "image/tree.h"

/* Names that remove: the rest of the name from lower layers, or all of the directory's. */
#define MERGE_WHITEOUT_PREFIX ".wh."
#define MERGE_OPAQUE_MARKER   ".wh..wh..opq"

enum merge_kind {
	MERGE_FILE,
	MERGE_DIRECTORY,
	MERGE_SYMLINK,
	MERGE_HARD_LINK,
	MERGE_CHARACTER,
	MERGE_BLOCK,
	MERGE_FIFO
};

struct squash_contents;

struct merge_xattr {
	const char *name;
	const void *value;
	size_t length;
};

/* As the tar says it; nothing in it is trusted. Borrowed. */
struct merge_entry {
	const char *path;
	enum merge_kind kind;
	const char *target; /* of links; NULL otherwise */
	uint32_t permissions;
	int64_t uid, gid, mtime;
	uint64_t major, minor;
	int64_t size;
	uint32_t layer;			  /* from 1, bottom first */
	uint32_t ordinal;		  /* place in the layer */
	struct squash_contents *contents; /* of a file; NULL: not written */
	const struct merge_xattr *xattrs;
	size_t xattr_count;
};

/* An error names the entry. The tree is of no use after one. */
int merge_apply(struct tree *tree, const struct merge_entry *entry, struct error *err);

#endif
