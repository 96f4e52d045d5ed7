/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which images go, and their going. Nothing goes that an instance uses or a manifest wants. Called
 * by image.c: for an operator, and when the disk is nearly full.
 */
#ifndef STOKER_IMAGE_PRUNE_H
#define STOKER_IMAGE_PRUNE_H

#include "image/catalog.h"

struct prune_rules {
	uint64_t keep;		/* so many unused images stay, those that were used last ... */
	int64_t keep_for_s;	/* ... and those that were used within this time; seconds */
	int64_t now_s;		/* seconds since 1970 */
	uint64_t missing_bytes; /* by which free space falls short: then unused ones go anyway */
};

/* What went, or would go. Zero-initialise it, and reset it. */
struct prune_report {
	struct strv images; /* a reference or the id of each */
	uint64_t image_bytes;
	uint64_t blobs, blob_bytes; /* that no image refers to */
	bool are_blobs_kept;	    /* a pull is under way, and may need them */
};

/* Sets is_doomed. Pure: users and times are in the catalog. */
void prune_choose(struct catalog *catalog, const struct prune_rules *rules);

/* Removes the doomed. With is_dry_run nothing is removed, and the report is the same. */
int prune_images(const struct store *store, const struct catalog *catalog, bool is_dry_run,
		 struct prune_report *report, struct error *err);

/* Removes blobs that are neither manifest nor config of an image that stays. */
int prune_blobs(const struct store *store, const struct catalog *catalog, bool is_dry_run,
		struct prune_report *report, struct error *err);

void prune_report_reset(struct prune_report *report);

#endif
