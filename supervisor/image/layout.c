/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The origin that is a directory: OCI image-spec 1.1, image-layout.md. The daemon opened it; files
 * in it are opened by this process, which has no more rights there than anyone. Links are not
 * followed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "image/blob.h"
#include "image/fetch.h"

static int layout_open(struct fetch *fetch, struct error *err)
{
	struct stat st;

	if (fstat(fetch->source, &st) < 0)
		return error_errno(err, errno, "%s", fetch->reference.path);
	if (!S_ISDIR(st.st_mode))
		return error_set(err, "%s: not a directory (an archive is oci-archive:FILE)",
				 fetch->reference.path);
	return 0;
}

static void layout_close(struct fetch *fetch)
{
	(void)fetch;
}

static int open_file(const struct fetch *fetch, int directory, const char *name, int flags,
		     struct error *err)
{
	int fd = openat(directory, name, flags | O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	if (errno == EACCES || errno == EPERM)
		return error_set(err,
				 "%s: '%s' is not readable for the image fetcher, which is not "
				 "root (chmod -R a+rX %s)",
				 fetch->reference.path, name, fetch->reference.path);
	if (errno == ENOENT)
		return error_set(err, "%s: no '%s' in it, so it is not a whole OCI layout",
				 fetch->reference.path, name);
	return error_errno(err, errno, "%s: '%s'", fetch->reference.path, name);
}

static int open_blob(const struct fetch *fetch, const char *digest, struct error *err)
{
	_cleanup_close_ int blobs = open_file(fetch, fetch->source, "blobs", O_DIRECTORY, err);
	_cleanup_close_ int sha256 = blobs < 0
					     ? -1
					     : open_file(fetch, blobs, "sha256", O_DIRECTORY, err);

	if (sha256 < 0)
		return -1;
	return open_file(fetch, sha256, digest + strlen("sha256:"), 0, err);
}

static int layout_document(struct fetch *fetch, const struct oci_descriptor *want,
			   struct strbuf *ret, char **ret_type, struct error *err)
{
	_cleanup_close_ int fd = want ? open_blob(fetch, want->digest, err)
				      : open_file(fetch, fetch->source, "index.json", 0, err);

	*ret_type = NULL;
	if (fd < 0)
		return -1;
	return fs_read_fd(fd, fetch->reference.path, OCI_MANIFEST_MAX, ret, err);
}

static int copy_blob(struct fetch *fetch, const struct oci_descriptor *want, struct error *err)
{
	CLEANUP(blob_free_cleanup) struct blob *blob = NULL;
	_cleanup_close_ int fd = open_blob(fetch, want->digest, err);
	char chunk[65536];
	ssize_t n;

	if (fd < 0 || blob_begin(fetch->cache, want, &blob, err) < 0)
		return -1;
	while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_errno(err, errno, "%s: blob %s", fetch->reference.path,
					   want->digest);
		if (blob_write(blob, chunk, (size_t)n, err) < 0)
			return -1;
		fetch_progress(fetch, want, n);
	}
	return blob_finish(blob, NULL, err);
}

static int layout_blobs(struct fetch *fetch, const struct oci_descriptor *const *wants,
			size_t count, struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		if (copy_blob(fetch, wants[i], err) < 0) {
			fetch->retry = err->number == ENOSPC || err->number == EDQUOT;
			return -1;
		}
	}
	return 0;
}

const struct origin origin_layout = {
	.open = layout_open,
	.close = layout_close,
	.document = layout_document,
	.blobs = layout_blobs,
};
