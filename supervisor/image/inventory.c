/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store as a whole: what lies there, who needs it, and what may go. Asked by the control
 * socket, and by the store itself before a pull when the disk is nearly full.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "image/job.h"
#include "image/prune.h"

/* --- who needs what ----------------------------------------------------------------------------
 */

struct telling {
	struct catalog *catalog;
	bool lacks; /* somebody wants what is not here yet */
};

static void add_user(struct catalog_image *image, const char *who)
{
	if (!strv_contains(&image->users, who))
		strv_add(&image->users, who);
}

static void on_user(void *data, const char *who, const char *id, const char *reference)
{
	struct telling *telling = data;
	struct catalog_image *image = id ? catalog_find(telling->catalog, id) : NULL;
	struct reference parsed;

	if (image)
		add_user(image, who);
	if (!reference || reference_parse(reference, &parsed, NULL) < 0)
		return;
	_cleanup_free_ char *key = reference_format(&parsed);

	reference_reset(&parsed);
	image = catalog_find(telling->catalog, key);
	if (image)
		add_user(image, who);
	else
		telling->lacks = true;
}

/* Beside the instances: pulls whose outcome nobody has taken yet. */
static void tell_jobs(const struct image_store *store, struct telling *telling)
{
	for (const struct job *job = store->jobs; job; job = job->next) {
		if (job->state == JOB_UNCHECKED || job->state == JOB_CHECKING)
			continue; /* for an instance that has the image */
		on_user(telling, "(a pull)", job->image ? job->image->id : NULL, job->key);
		telling->lacks = true;
	}
}

static int read_all(const struct image_store *store, struct catalog *ret, bool *ret_lacks,
		    struct error *err)
{
	struct telling telling = { .catalog = ret };

	if (catalog_read(&store->disk, ret, err) < 0)
		return -1;
	if (store->users)
		store->users(store->users_data, on_user, &telling);
	tell_jobs(store, &telling);
	*ret_lacks = telling.lacks;
	return 0;
}

void image_store_set_users(struct image_store *store, image_users_fn *fn, void *data)
{
	store->users = fn;
	store->users_data = data;
}

void image_store_note_use(const struct image_store *store, const struct image *image)
{
	store_note_use(&store->disk, image->id);
}

int image_store_list(const struct image_store *store, struct catalog *ret, struct error *err)
{
	bool lacks;

	return read_all(store, ret, &lacks, err);
}

json_t *image_store_describe(const struct image_store *store, const struct catalog_image *image)
{
	return catalog_describe(&store->disk, image);
}

/* --- pruning -----------------------------------------------------------------------------------
 */

static uint64_t missing_bytes(const struct image_store *store)
{
	uint64_t wanted = store->settings->image_min_free, available;
	struct statvfs fs;

	if (wanted == 0 || statvfs(store->disk.squashfs, &fs) < 0)
		return 0;
	available = (uint64_t)fs.f_bavail * fs.f_frsize;
	return available < wanted ? wanted - available : 0;
}

int image_store_prune(const struct image_store *store, bool is_dry_run, struct prune_report *report,
		      struct error *err)
{
	const struct prune_rules rules = {
		.keep = store->settings->image_keep,
		.keep_for_s = (int64_t)(store->settings->image_keep_for_ms / 1000),
		.now_s = time(NULL),
		.missing_bytes = missing_bytes(store),
	};
	struct catalog catalog = { 0 };
	bool lacks = false;
	int result;

	if (read_all(store, &catalog, &lacks, err) < 0)
		return -1;
	prune_choose(&catalog, &rules);
	result = prune_images(&store->disk, &catalog, is_dry_run, report, err);
	/* What was fetched of an image that is still wanted need not be fetched again. */
	report->are_blobs_kept = lacks;
	if (result == 0 && !lacks)
		result = prune_blobs(&store->disk, &catalog, is_dry_run, report, err);
	catalog_reset(&catalog);
	return result;
}

void image_store_make_room(const struct image_store *store)
{
	struct prune_rules rules = { .keep = UINT64_MAX, .missing_bytes = missing_bytes(store) };
	struct prune_report report = { 0 };
	struct catalog catalog = { 0 };
	struct error err = { 0 };
	bool lacks;

	if (rules.missing_bytes == 0)
		return;
	if (read_all(store, &catalog, &lacks, &err) < 0) {
		log_warning("images: %s", err.text);
		return;
	}
	prune_choose(&catalog, &rules);
	if (prune_images(&store->disk, &catalog, false, &report, &err) < 0)
		log_warning("images: %s", err.text);
	STRV_EACH (image, &report.images)
		log_info("image %s removed: less than min_free was left", image);
	prune_report_reset(&report);
	catalog_reset(&catalog);
}
