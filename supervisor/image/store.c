/* SPDX-License-Identifier: Apache-2.0 */
/* The store's files. Everything here runs as root in the daemon, so nothing that the fetcher's uid
 * can write is followed, trusted or read. */
#include "image/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/json.h"
#include "image/blob.h"
#include "image/build.h"
#include "image/catalog.h"
#include "image/sha256.h"

enum { PART_KEPT_S = 24 * 3600, STORE_FACTS_MAX = 64 << 10 };

/* --- directories ----------------------------------------------------------------------------- */

static char *make_directory(const char *parent, const char *name, mode_t mode, struct error *err)
{
	char *path = xasprintf("%s/%s", parent, name);

	if (fs_mkdir_p(path, mode, err) == 0)
		return path;
	free(path);
	return NULL;
}

static int make_directories(const char *images, struct store *store, struct error *err)
{
	/* Others may pass through to squashfs/, which holds nothing secret. */
	store->blobs = make_directory(images, "blobs/sha256", 0700, err);
	store->squashfs = store->blobs ? make_directory(images, "squashfs", 0755, err) : NULL;
	store->refs = store->squashfs ? make_directory(images, "refs", 0700, err) : NULL;
	store->tmp = store->refs ? make_directory(images, "tmp", 0700, err) : NULL;
	if (!store->tmp)
		return -1;
	store->blobs_fd = open(store->blobs, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (store->blobs_fd < 0 ||
	    fchown(store->blobs_fd, store->fetch_uid, (gid_t)store->fetch_uid) < 0)
		return error_errno(err, errno, "%s: cannot give it to uid %u", store->blobs,
				   (unsigned)store->fetch_uid);
	return 0;
}

int store_open(const char *state_dir, uid_t fetch_uid, struct store *ret, struct error *err)
{
	_cleanup_free_ char *images = xasprintf("%s/images", state_dir);
	_cleanup_free_ char *tmp = xasprintf("%s/tmp", images);
	struct store store = { .blobs_fd = -1, .fetch_uid = fetch_uid };

	if (fs_mkdir_p(images, 0755, err) < 0 || fs_remove_tree(tmp, err) < 0 ||
	    make_directories(images, &store, err) < 0) {
		store_close(&store);
		return -1;
	}
	store_collect_blobs(&store);
	catalog_collect(&store);
	*ret = store;
	return 0;
}

void store_close(struct store *store)
{
	if (store->blobs_fd >= 0)
		close(store->blobs_fd);
	free(store->blobs);
	free(store->squashfs);
	free(store->refs);
	free(store->tmp);
	*store = (struct store){ .blobs_fd = -1 };
}

/* A part is worth keeping for as long as somebody may come back to it. */
static bool is_leftover(int directory, const char *name)
{
	struct stat st;

	if (strncmp(name, BLOB_TEMPORARY_PREFIX, strlen(BLOB_TEMPORARY_PREFIX)) == 0)
		return true;
	return strncmp(name, BLOB_PART_PREFIX, strlen(BLOB_PART_PREFIX)) == 0 &&
	       fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       st.st_mtime + PART_KEPT_S < time(NULL);
}

void store_collect_blobs(const struct store *store)
{
	DIR *dir = opendir(store->blobs);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (is_leftover(dirfd(dir), entry->d_name))
			unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
}

/* --- images ---------------------------------------------------------------------------------- */

static const char *const type_names[] = {
	[LAYER_TAR] = "tar", [LAYER_GZIP] = "gzip", [LAYER_ZSTD] = "zstd"
};

void store_image_id(const char *config_digest, const struct oci_descriptor *layers, size_t count,
		    const struct compression *compression, bool has_verity, char ret[STORE_ID_SIZE])
{
	_cleanup_strbuf_ struct strbuf text = { 0 };
	char digest[OCI_DIGEST_SIZE], method[COMPRESSION_TEXT_SIZE];

	compression_format(compression, method);
	strbuf_printf(&text, "flattener %d %s%s\nconfig %s\n", BUILD_VERSION, method,
		      has_verity ? " verity" : "", config_digest);
	for (size_t i = 0; i < count; i++)
		strbuf_printf(&text, "layer %s %s\n", type_names[layers[i].layer_type],
			      layers[i].digest);
	sha256_digest(text.data, text.length, digest);
	memcpy(ret, digest + strlen("sha256:"), STORE_ID_SIZE);
}

bool store_is_id(const char *text)
{
	return strlen(text) == STORE_ID_SIZE - 1 &&
	       strspn(text, "0123456789abcdef") == STORE_ID_SIZE - 1;
}

/* A squashfs is never empty; the record of an image that says nothing of itself is. */
static bool is_published(const char *path, off_t size_min)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= size_min &&
	       st.st_uid == geteuid() && (st.st_mode & 0222) == 0;
}

struct image *store_find(const struct store *store, const char *id, const char *manifest_digest)
{
	struct image *image;

	if (!store_is_id(id) || !oci_digest_valid(manifest_digest))
		return NULL;
	image = xcalloc(1, sizeof(*image));
	image->id = xstrdup(id);
	image->digest = xstrdup(manifest_digest);
	image->squashfs_path = xasprintf("%s/%s.sqfs", store->squashfs, id);
	image->record_path = xasprintf("%s/%s.record", store->squashfs, id);
	if (is_published(image->squashfs_path, 1) && is_published(image->record_path, 0))
		return image;
	return image_free(image);
}

struct image *image_free(struct image *image)
{
	if (!image)
		return NULL;
	free(image->id);
	free(image->digest);
	free(image->squashfs_path);
	free(image->record_path);
	free(image);
	return NULL;
}

struct image *image_copy(const struct image *image)
{
	struct image *copy;

	if (!image)
		return NULL;
	copy = xcalloc(1, sizeof(*copy));
	copy->id = xstrdup(image->id);
	copy->digest = xstrdup(image->digest);
	copy->squashfs_path = xstrdup(image->squashfs_path);
	copy->record_path = xstrdup(image->record_path);
	return copy;
}

/* --- references ------------------------------------------------------------------------------ */

static char *reference_path(const struct store *store, const char *reference)
{
	char digest[OCI_DIGEST_SIZE];

	sha256_digest(reference, strlen(reference), digest);
	return xasprintf("%s/%s", store->refs, digest + strlen("sha256:"));
}

struct image *store_find_reference(const struct store *store, const char *reference)
{
	_cleanup_free_ char *path = reference_path(store, reference);
	_cleanup_strbuf_ struct strbuf bytes = { 0 };
	_cleanup_json_ json_t *root = NULL;

	/* A file that is absent or damaged means only that the registry is asked again. */
	if (fs_read(path, STORE_REFERENCE_MAX, &bytes, NULL) < 0 ||
	    json_parse(strbuf_text(&bytes), bytes.length, path, &root, NULL) < 0 ||
	    strcmp(json_string_or(root, "reference", ""), reference) != 0)
		return NULL;
	return store_find(store, json_string_or(root, "image", ""),
			  json_string_or(root, "manifest", ""));
}

void store_forget_reference(const struct store *store, const char *reference)
{
	_cleanup_free_ char *path = reference_path(store, reference);

	unlink(path);
}

int store_write_reference(const struct store *store, const char *reference,
			  const struct image *image, struct error *err)
{
	_cleanup_free_ char *path = reference_path(store, reference);
	_cleanup_json_ json_t *root = json_object();
	_cleanup_free_ char *line = NULL;

	json_object_set_new(root, "reference", json_string(reference));
	json_object_set_new(root, "manifest", json_string(image->digest));
	json_object_set_new(root, "image", json_string(image->id));
	line = json_line(root);
	return fs_write_atomic(path, line, strlen(line), 0600, err);
}

/* --- blobs ----------------------------------------------------------------------------------- */

int store_open_blob(const struct store *store, const char *digest, uint64_t size, int *ret_fd,
		    struct error *err)
{
	const char *name = digest + strlen("sha256:");
	_cleanup_close_ int fd = openat(store->blobs_fd, name,
					O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(err, errno, "%s/%s", store->blobs, name);
	if (!S_ISREG(st.st_mode) || st.st_uid != store->fetch_uid || st.st_nlink != 1)
		return error_set(err, "%s/%s: not a plain file of uid %u", store->blobs, name,
				 (unsigned)store->fetch_uid);
	if (size > 0 && (uint64_t)st.st_size != size)
		return error_set(err, "%s/%s: %lld bytes instead of %llu", store->blobs, name,
				 (long long)st.st_size, (unsigned long long)size);
	*ret_fd = take_fd(&fd);
	return 0;
}

void store_remove_blobs(const struct store *store, const struct strv *digests)
{
	STRV_EACH (digest, digests)
		unlinkat(store->blobs_fd, digest + strlen("sha256:"), 0);
}

/* --- builds ---------------------------------------------------------------------------------- */

static int create(const char *path, struct error *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		error_errno(err, errno, "%s: cannot create", path);
	return fd;
}

/* In the order in which they are published. */
static const char *const suffixes[STORE_PARTS] = {
	[STORE_NOTES] = "notes",
	[STORE_RECORD] = "record",
	[STORE_SQUASHFS] = "sqfs",
};

int store_begin(const struct store *store, struct store_build *ret, struct error *err)
{
	static unsigned serial;
	struct store_build build = STORE_BUILD_NONE;

	serial++;
	for (size_t i = 0; i < STORE_PARTS; i++) {
		build.paths[i] = xasprintf("%s/%u.%s", store->tmp, serial, suffixes[i]);
		build.fds[i] = create(build.paths[i], err);
		if (build.fds[i] < 0) {
			store_abandon(&build);
			return -1;
		}
	}
	*ret = build;
	return 0;
}

static int publish_file(int fd, const char *from, const char *to, struct error *err)
{
	if (fchown(fd, geteuid(), getegid()) < 0 || fchmod(fd, 0444) < 0 || fsync(fd) < 0)
		return error_errno(err, errno, "%s: cannot sync", from);
	if (rename(from, to) < 0)
		return error_errno(err, errno, "%s: cannot rename to '%s'", from, to);
	return 0;
}

/* A crash may keep any of the names, in any order: until the last sync that of the squashfs is not
 * given, so that what is found by it is whole. */
int store_publish(const struct store *store, struct store_build *build, const char *id,
		  struct error *err)
{
	_cleanup_close_ int directory = open(store->squashfs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (directory < 0)
		return error_errno(err, errno, "%s: cannot open", store->squashfs);
	for (size_t i = 0; i < STORE_PARTS; i++) {
		_cleanup_free_ char *to = xasprintf("%s/%s.%s", store->squashfs, id, suffixes[i]);

		if (i == STORE_SQUASHFS && fsync(directory) < 0)
			return error_errno(err, errno, "%s: cannot sync", store->squashfs);
		if (publish_file(build->fds[i], build->paths[i], to, err) < 0)
			return -1;
		free(take_ptr(build->paths[i]));
	}
	if (fsync(directory) < 0)
		return error_errno(err, errno, "%s: cannot sync", store->squashfs);
	return 0;
}

void store_abandon(struct store_build *build)
{
	for (size_t i = 0; i < STORE_PARTS; i++) {
		if (build->paths[i])
			unlink(build->paths[i]);
		free(take_ptr(build->paths[i]));
		if (build->fds[i] >= 0)
			close(take_fd(&build->fds[i]));
	}
}

int store_write_facts(const struct store *store, const char *id, const char *config_digest,
		      const struct oci_descriptor *layers, size_t count, bool has_verity,
		      struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/%s.json", store->squashfs, id);
	_cleanup_json_ json_t *root = json_object();
	_cleanup_free_ char *line = NULL;
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:I}", "digest", layers[i].digest,
						      "type", type_names[layers[i].layer_type],
						      "size", (json_int_t)layers[i].size));
	json_object_set_new(root, "config", json_string(config_digest));
	json_object_set_new(root, "layers", list);
	json_object_set_new(root, "verity", json_boolean(has_verity));
	line = json_line(root);
	return fs_write_atomic(path, line, strlen(line), 0444, err);
}

bool store_has_verity(const struct store *store, const char *id)
{
	_cleanup_free_ char *path = xasprintf("%s/%s.json", store->squashfs, id);
	_cleanup_strbuf_ struct strbuf bytes = { 0 };
	_cleanup_json_ json_t *root = NULL;

	/* One without facts is of no use here: it is made anew. */
	return fs_read(path, STORE_FACTS_MAX, &bytes, NULL) == 0 &&
	       json_parse(strbuf_text(&bytes), bytes.length, path, &root, NULL) == 0 &&
	       json_is_true(json_object_get(root, "verity"));
}

void store_note_use(const struct store *store, const char *id)
{
	_cleanup_free_ char *record = xasprintf("%s/%s.record", store->squashfs, id);

	/* Of no consequence but that it may be pruned sooner. */
	if (utimensat(AT_FDCWD, record, NULL, AT_SYMLINK_NOFOLLOW) < 0)
		errno = 0;
}
