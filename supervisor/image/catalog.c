/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the store as values. The directories read here are root's; what lies in them was
 * published by store.c. */
#include "image/catalog.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "image/notes.h"
#include "image/store.h"
#include "model/reference.h"

enum { SHORT_DIGEST_MIN = 8 };

static void close_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* --- references --------------------------------------------------------------------------------
 */

/* One file of refs/: "" in *ret_id when it is not one, or names nothing. */
struct reference_file {
	char *name;
	char *reference, *manifest, *id; /* all owned */
};

static void reference_file_reset(struct reference_file *file)
{
	free(file->name);
	free(file->reference);
	free(file->manifest);
	free(file->id);
	*file = (struct reference_file){ 0 };
}

/* False after the last one. A file that cannot be read has empty strings. */
static bool next_reference(const struct store *store, DIR *dir, struct reference_file *ret)
{
	struct dirent *entry;

	reference_file_reset(ret);
	while (dir && (entry = readdir(dir))) {
		_cleanup_strbuf_ struct strbuf bytes = { 0 };
		_cleanup_json_ json_t *root = NULL;
		_cleanup_free_ char *path = NULL;

		if (entry->d_name[0] == '.')
			continue;
		path = xasprintf("%s/%s", store->refs, entry->d_name);
		if (fs_read(path, STORE_REFERENCE_MAX, &bytes, NULL) == 0)
			json_parse(strbuf_text(&bytes), bytes.length, path, &root, NULL);
		ret->name = xstrdup(entry->d_name);
		ret->reference = xstrdup(json_string_or(root, "reference", ""));
		ret->manifest = xstrdup(json_string_or(root, "manifest", ""));
		ret->id = xstrdup(json_string_or(root, "image", ""));
		return true;
	}
	return false;
}

static void read_references(const struct store *store, struct catalog *catalog)
{
	CLEANUP(close_dir) DIR *dir = opendir(store->refs);
	struct reference_file file = { 0 };

	while (next_reference(store, dir, &file)) {
		struct catalog_image *image = *file.id ? catalog_find(catalog, file.id) : NULL;

		if (!image || !*file.reference || !oci_digest_valid(file.manifest))
			continue;
		strv_add(&image->references, file.reference);
		strv_add(&image->manifests, file.manifest);
	}
	reference_file_reset(&file);
}

/* --- images ------------------------------------------------------------------------------------
 */

static char *part_path(const struct store *store, const char *id, const char *suffix)
{
	return xasprintf("%s/%s.%s", store->squashfs, id, suffix);
}

static void note_created(void *data, uint32_t tag, const char *text, size_t length)
{
	char **created = data;

	if (tag != NOTE_CREATED || *created)
		return;
	*created = xstrndup(text, length);
}

static void add_image(const struct store *store, const char *id, struct catalog *catalog)
{
	_cleanup_free_ char *squashfs = part_path(store, id, "sqfs");
	_cleanup_free_ char *record = part_path(store, id, "record");
	_cleanup_free_ char *notes = part_path(store, id, "notes");
	struct catalog_image image = { 0 };
	struct stat st, used;

	if (stat(squashfs, &st) < 0 || stat(record, &used) < 0)
		return;
	image.id = xstrdup(id);
	image.size = (uint64_t)st.st_size;
	image.pulled_s = st.st_mtim.tv_sec;
	image.used_s = used.st_mtim.tv_sec;
	notes_read(notes, note_created, &image.created, NULL);
	if (!image.created)
		image.created = xstrdup("");
	catalog->images = xreallocarray(catalog->images, catalog->count + 1, sizeof(image));
	catalog->images[catalog->count++] = image;
}

static int compare_ids(const void *a, const void *b)
{
	return strcmp(((const struct catalog_image *)a)->id, ((const struct catalog_image *)b)->id);
}

/* "ID.SUFFIX" -> ID, when that is what it is; the caller frees it. */
static char *id_of(const char *name, const char *suffix)
{
	_cleanup_free_ char *id = xstrndup(name, strcspn(name, "."));

	if (!store_is_id(id) || (suffix && strcmp(name + STORE_ID_SIZE, suffix) != 0))
		return NULL;
	return take_ptr(id);
}

int catalog_read(const struct store *store, struct catalog *ret, struct error *err)
{
	CLEANUP(close_dir) DIR *dir = opendir(store->squashfs);
	struct catalog catalog = { 0 };
	struct dirent *entry;

	if (!dir)
		return error_errno(err, errno, "%s: cannot list", store->squashfs);
	while ((entry = readdir(dir))) {
		_cleanup_free_ char *id = id_of(entry->d_name, "sqfs");

		if (id)
			add_image(store, id, &catalog);
	}
	if (catalog.count > 0)
		qsort(catalog.images, catalog.count, sizeof(*catalog.images), compare_ids);
	read_references(store, &catalog);
	*ret = catalog;
	return 0;
}

void catalog_reset(struct catalog *catalog)
{
	for (size_t i = 0; i < catalog->count; i++) {
		struct catalog_image *image = &catalog->images[i];

		free(image->id);
		free(image->created);
		strv_reset(&image->references);
		strv_reset(&image->manifests);
		strv_reset(&image->users);
	}
	free(catalog->images);
	*catalog = (struct catalog){ 0 };
}

/* --- finding -----------------------------------------------------------------------------------
 */

struct catalog_image *catalog_find(const struct catalog *catalog, const char *text)
{
	for (size_t i = 0; i < catalog->count; i++) {
		struct catalog_image *image = &catalog->images[i];

		if (strcmp(image->id, text) == 0 || strv_contains(&image->references, text) ||
		    strv_contains(&image->manifests, text))
			return image;
	}
	return NULL;
}

static bool begins_with(const struct catalog_image *image, const char *digits)
{
	STRV_EACH (manifest, &image->manifests)
		if (strncmp(manifest + strlen("sha256:"), digits, strlen(digits)) == 0)
			return true;
	return strncmp(image->id, digits, strlen(digits)) == 0;
}

static const struct catalog_image *choose_by_digits(const struct catalog *catalog,
						    const char *digits, struct error *err)
{
	const struct catalog_image *found = NULL;

	for (size_t i = 0; i < catalog->count; i++) {
		if (!begins_with(&catalog->images[i], digits))
			continue;
		if (found) {
			error_set(err, "more than one image begins with '%s' (write more of it)",
				  digits);
			return NULL;
		}
		found = &catalog->images[i];
	}
	return found;
}

const struct catalog_image *catalog_choose(const struct catalog *catalog, const char *text,
					   struct error *err)
{
	const char *digits = strncmp(text, "sha256:", 7) == 0 ? text + 7 : text;
	const struct catalog_image *image = catalog_find(catalog, text);
	struct error why = { 0 };
	struct reference reference;

	if (!image && strspn(digits, "0123456789abcdef") == strlen(digits) &&
	    strlen(digits) >= SHORT_DIGEST_MIN)
		image = choose_by_digits(catalog, digits, &why);
	if (!image && !why.text[0] && reference_parse(text, &reference, &why) == 0) {
		_cleanup_free_ char *key = reference_format(&reference);

		reference_reset(&reference);
		image = catalog_find(catalog, key);
		if (!image)
			error_set(&why,
				  "there is no image '%s' in the store (`stokerctl image "
				  "list` lists them)",
				  key);
	}
	if (!image && err)
		*err = why;
	return image;
}

/* --- removing ----------------------------------------------------------------------------------
 */

static const char *const part_suffixes[] = { "sqfs", "record", "notes", "json" };

/* After the references what an image is found by, so that a crash leaves a whole image, or parts
 * that catalog_collect removes. */
int catalog_remove(const struct store *store, const struct catalog_image *image, struct error *err)
{
	STRV_EACH (reference, &image->references)
		store_forget_reference(store, reference);
	for (size_t i = 0; i < sizeof(part_suffixes) / sizeof(part_suffixes[0]); i++) {
		_cleanup_free_ char *path = part_path(store, image->id, part_suffixes[i]);

		if (unlink(path) < 0 && errno != ENOENT)
			return error_errno(err, errno, "%s: cannot remove", path);
	}
	return 0;
}

static void collect_parts(const struct store *store)
{
	CLEANUP(close_dir) DIR *dir = opendir(store->squashfs);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		_cleanup_free_ char *id = id_of(entry->d_name, NULL);
		_cleanup_free_ char *squashfs = id ? part_path(store, id, "sqfs") : NULL;
		const char *dot = strrchr(entry->d_name, '.');

		if (!id || (access(squashfs, F_OK) == 0 && dot && strcmp(dot, ".new") != 0))
			continue;
		unlinkat(dirfd(dir), entry->d_name, 0);
	}
}

/* Layers that became a published image just before a crash. */
static void collect_layers(const struct store *store)
{
	CLEANUP(close_dir) DIR *dir = opendir(store->squashfs);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		_cleanup_free_ char *id = id_of(entry->d_name, "sqfs");
		_cleanup_strv_ struct strv layers = { 0 };

		if (!id)
			continue;
		catalog_layers(store, id, &layers);
		store_remove_blobs(store, &layers);
	}
}

void catalog_collect(const struct store *store)
{
	CLEANUP(close_dir) DIR *dir = NULL;
	struct reference_file file = { 0 };

	collect_parts(store);
	collect_layers(store);
	dir = opendir(store->refs);
	while (next_reference(store, dir, &file)) {
		_cleanup_free_ char *squashfs = part_path(store, file.id, "sqfs");

		if (!store_is_id(file.id) || strchr(file.name, '.') || access(squashfs, F_OK) < 0)
			unlinkat(dirfd(dir), file.name, 0);
	}
	reference_file_reset(&file);
}
