/* SPDX-License-Identifier: Apache-2.0 */
#include "image/prune.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "image/store.h"

void prune_report_reset(struct prune_report *report)
{
	strv_reset(&report->images);
	*report = (struct prune_report){ 0 };
}

/* --- choosing ----------------------------------------------------------------------------------
 */

static int compare_use(const void *a, const void *b)
{
	const struct catalog_image *left = *(struct catalog_image *const *)a;
	const struct catalog_image *right = *(struct catalog_image *const *)b;

	if (left->used_s != right->used_s)
		return left->used_s > right->used_s ? -1 : 1;
	return strcmp(left->id, right->id);
}

void prune_choose(struct catalog *catalog, const struct prune_rules *rules)
{
	struct catalog_image **unused = xcalloc(catalog->count + 1, sizeof(struct catalog_image *));
	uint64_t freed = 0;
	size_t count = 0;

	for (size_t i = 0; i < catalog->count; i++)
		if (catalog->images[i].users.count == 0)
			unused[count++] = &catalog->images[i];
	qsort(unused, count, sizeof(struct catalog_image *), compare_use);
	for (size_t i = count; i-- > 0;) {
		bool is_old = rules->now_s - unused[i]->used_s >= rules->keep_for_s;

		if ((i < rules->keep || !is_old) && freed >= rules->missing_bytes)
			continue;
		unused[i]->is_doomed = true;
		freed += unused[i]->size;
	}
	free(unused);
}

/* --- removing ----------------------------------------------------------------------------------
 */

int prune_images(const struct store *store, const struct catalog *catalog, bool is_dry_run,
		 struct prune_report *report, struct error *err)
{
	for (size_t i = 0; i < catalog->count; i++) {
		const struct catalog_image *image = &catalog->images[i];

		if (!image->is_doomed)
			continue;
		if (!is_dry_run && catalog_remove(store, image, err) < 0)
			return -1;
		strv_add(&report->images,
			 image->references.count ? image->references.items[0] : image->id);
		report->image_bytes += image->size;
	}
	return 0;
}

/* Names of the blobs that stay: what an image was made of can be looked at. */
static void collect_kept(const struct store *store, const struct catalog *catalog, struct strv *ret)
{
	for (size_t i = 0; i < catalog->count; i++) {
		char config[OCI_DIGEST_SIZE];

		if (catalog->images[i].is_doomed)
			continue;
		STRV_EACH (manifest, &catalog->images[i].manifests)
			strv_add(ret, manifest + strlen("sha256:"));
		catalog_config(store, catalog->images[i].id, config);
		if (config[0])
			strv_add(ret, config + strlen("sha256:"));
	}
}

/* The directory is the fetcher's: whatever has a name there, nothing is opened. */
int prune_blobs(const struct store *store, const struct catalog *catalog, bool is_dry_run,
		struct prune_report *report, struct error *err)
{
	_cleanup_strv_ struct strv kept = { 0 };
	DIR *dir = opendir(store->blobs);
	struct dirent *entry;
	struct stat st;

	if (!dir)
		return error_errno(err, errno, "%s: cannot list", store->blobs);
	collect_kept(store, catalog, &kept);
	while ((entry = readdir(dir))) {
		if (strv_contains(&kept, entry->d_name) ||
		    fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    S_ISDIR(st.st_mode))
			continue;
		if (!is_dry_run && unlinkat(dirfd(dir), entry->d_name, 0) < 0)
			continue;
		report->blobs++;
		report->blob_bytes += (uint64_t)st.st_size;
	}
	closedir(dir);
	return 0;
}
