/* SPDX-License-Identifier: Apache-2.0 */
/* Members of a tar archive that holds an image, by name. Used by the two origins of that kind. */
#ifndef STOKER_IMAGE_ARCHIVE_H
#define STOKER_IMAGE_ARCHIVE_H

#include <stdbool.h>

#include "image/fetch.h"

/* A member to be brought into the cache. */
struct archive_member {
	char *name;		    /* owned; a link in its place is replaced by its target */
	struct oci_descriptor blob; /* digest "": not known before, filled in */
	bool is_tar_left;	    /* in: leave it there if it is not compressed ... */
	bool found;		    /* ... so that only its size and type were learnt */
};

void archive_member_reset(struct archive_member *member);

/* The source must be a regular file that can be read. */
int archive_check(struct fetch *fetch, struct error *err);

/* Reads one member whole. */
int archive_read_member(struct fetch *fetch, const char *name, size_t max, struct strbuf *ret,
			struct error *err);

/* Brings all of them into the cache in one pass; one more for each level of links. Sets found,
 * blob.layer_type by the content, and what was not known of blob. A missing member is an error. */
int archive_copy_members(struct fetch *fetch, struct archive_member *members, size_t count,
			 struct error *err);

#endif
