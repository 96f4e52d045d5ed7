/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs on disk; written by the fetcher from a registry, a layout or an archive. */
#include "image/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "image/sha256.h"

struct blob {
	int cache; /* borrowed */
	int fd;
	char name[80]; /* temporary; "" once published */
	bool is_part;  /* what is written so far is worth keeping */
	struct oci_descriptor want;
	struct sha256 *hash;
	uint64_t size;
};

static const char *hex(const char *digest)
{
	return digest + strlen("sha256:");
}

/* From where the descriptor stands to the end. */
static int hash_file(int fd, struct sha256 *hash, uint64_t *ret_size)
{
	char chunk[65536];
	uint64_t size = 0;
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		sha256_add(hash, chunk, (size_t)n);
		size += (uint64_t)n;
	}
	*ret_size = size;
	return 0;
}

static bool content_matches(int fd, const struct oci_descriptor *want)
{
	struct sha256 *hash = sha256_new();
	char digest[OCI_DIGEST_SIZE];
	uint64_t size = 0;
	int result = hash_file(fd, hash, &size);

	sha256_finish(hash, digest);
	sha256_free(hash);
	return result == 0 && size == want->size && strcmp(digest, want->digest) == 0;
}

bool blob_cached(int cache, const struct oci_descriptor *want)
{
	_cleanup_close_ int fd = openat(cache, hex(want->digest),
					O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return false;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == want->size &&
	    content_matches(fd, want))
		return true;
	unlinkat(cache, hex(want->digest), 0);
	return false;
}

int blob_read(int cache, const struct oci_descriptor *want, size_t max, struct strbuf *ret,
	      struct error *err)
{
	_cleanup_close_ int fd = openat(cache, hex(want->digest),
					O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return error_errno(err, errno, "blob %s", want->digest);
	return fs_read_fd(fd, want->digest, max, ret, err);
}

int blob_begin(int cache, const struct oci_descriptor *want, struct blob **ret, struct error *err)
{
	static unsigned serial;
	struct blob *blob = xcalloc(1, sizeof(*blob));

	blob->cache = cache;
	blob->want = *want;
	snprintf(blob->name, sizeof(blob->name), BLOB_TEMPORARY_PREFIX "%d-%u", (int)getpid(),
		 serial++);
	blob->fd = openat(cache, blob->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			  0600);
	if (blob->fd < 0) {
		error_errno(err, errno, "cannot create '%s' in the cache of blobs", blob->name);
		free(blob);
		return -1;
	}
	blob->hash = sha256_new();
	*ret = blob;
	return 0;
}

/* Locked, and not renamed or removed by the one who had it before. 1: another process has it. */
static int open_part(int cache, const char *name, int *ret_fd, struct error *err)
{
	for (int tries = 0; tries < 100; tries++) {
		_cleanup_close_ int fd = openat(cache, name,
						O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		struct stat ours, named;

		if (fd < 0 || fstat(fd, &ours) < 0)
			return error_errno(err, errno, "cannot create '%s' in the cache of blobs",
					   name);
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			if (errno == EWOULDBLOCK)
				return 1;
			return error_errno(err, errno, "cannot lock '%s' in the cache of blobs",
					   name);
		}
		if (fstatat(cache, name, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
		    named.st_ino != ours.st_ino)
			continue;
		*ret_fd = take_fd(&fd);
		return 0;
	}
	return 1;
}

int blob_resume(int cache, const struct oci_descriptor *want, struct blob **ret, struct error *err)
{
	struct blob *blob = xcalloc(1, sizeof(*blob));
	int result;

	blob->cache = cache;
	blob->want = *want;
	blob->is_part = true;
	snprintf(blob->name, sizeof(blob->name), BLOB_PART_PREFIX "%s", hex(want->digest));
	result = open_part(cache, blob->name, &blob->fd, err);
	if (result != 0) {
		free(blob);
		return result;
	}
	blob->hash = sha256_new();
	/* More than the whole is another blob's, or no blob's. */
	if ((hash_file(blob->fd, blob->hash, &blob->size) < 0 || blob->size > want->size) &&
	    blob_restart(blob, err) < 0) {
		blob_free(blob);
		return -1;
	}
	*ret = blob;
	return 0;
}

/* "(free space under the state directory)" is what an operator can do about most of them. */
static int storage_error(struct blob *blob, struct error *err, int number)
{
	blob->is_part = false; /* what fills the disk is not kept */
	error_errno(err, number, "cannot write to the cache of blobs (state_dir)");
	return -1;
}

static int mismatch(struct error *err, const char *fact, struct blob *blob)
{
	blob->is_part = false;
	error_set(err, "blob %s: %s", blob->want.digest, fact);
	if (err)
		err->number = EBADMSG;
	return -1;
}

int blob_write(struct blob *blob, const void *bytes, size_t length, struct error *err)
{
	struct error why = { 0 };

	if (blob->want.digest[0] && length > blob->want.size - blob->size)
		return mismatch(err, "it is larger than its manifest says", blob);
	if (fs_write_all(blob->fd, bytes, length, &why) < 0)
		return storage_error(blob, err, why.number);
	sha256_add(blob->hash, bytes, length);
	blob->size += length;
	return 0;
}

int blob_restart(struct blob *blob, struct error *err)
{
	if (ftruncate(blob->fd, 0) < 0 || lseek(blob->fd, 0, SEEK_SET) < 0)
		return storage_error(blob, err, errno);
	sha256_reset(blob->hash);
	blob->size = 0;
	blob->is_part = strncmp(blob->name, BLOB_PART_PREFIX, strlen(BLOB_PART_PREFIX)) == 0;
	return 0;
}

uint64_t blob_size(const struct blob *blob)
{
	return blob->size;
}

/* Without fsync: a blob is read again before it is believed (blob_cached), most are gone before
 * they would reach the disk, and what a crash of the host takes is fetched once more. */
static int publish(struct blob *blob, const char *digest, struct error *err)
{
	if (renameat(blob->cache, blob->name, blob->cache, hex(digest)) < 0)
		return storage_error(blob, err, errno);
	blob->name[0] = '\0';
	return 0;
}

int blob_finish(struct blob *blob, struct oci_descriptor *ret, struct error *err)
{
	char digest[OCI_DIGEST_SIZE];

	sha256_finish(blob->hash, digest);
	if (blob->want.digest[0] && blob->size != blob->want.size)
		return mismatch(err, "it is smaller than its manifest says", blob);
	if (blob->want.digest[0] && strcmp(digest, blob->want.digest) != 0)
		return mismatch(err, "its content has another digest", blob);
	if (publish(blob, digest, err) < 0)
		return -1;
	if (ret) {
		memcpy(ret->digest, digest, sizeof(digest));
		ret->size = blob->size;
	}
	return 0;
}

struct blob *blob_free(struct blob *blob)
{
	if (!blob)
		return NULL;
	if (blob->name[0] && !(blob->is_part && blob->size > 0))
		unlinkat(blob->cache, blob->name, 0);
	close(blob->fd);
	sha256_free(blob->hash);
	free(blob);
	return NULL;
}

int blob_store(int cache, const struct oci_descriptor *want, const void *bytes, size_t length,
	       struct error *err)
{
	CLEANUP(blob_free_cleanup) struct blob *blob = NULL;

	if (blob_cached(cache, want))
		return 0;
	if (blob_begin(cache, want, &blob, err) < 0 || blob_write(blob, bytes, length, err) < 0)
		return -1;
	return blob_finish(blob, NULL, err);
}
