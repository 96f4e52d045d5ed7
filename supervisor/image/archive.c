/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci-archive: a layout (image-layout.md) in a tar file, and the reading of such files that
 * dockerarchive.c shares. Members lie in any order, so the file is read from its start for each
 * question; libarchive seeks over what is not wanted when the file is not compressed.
 */
#include "image/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "image/blob.h"

enum { LINKS_MAX = 4, READ_BLOCK = 65536 };

static void cleanup_archive(struct archive **archive)
{
	archive_read_free(*archive);
}

void archive_member_reset(struct archive_member *member)
{
	free(member->name);
	*member = (struct archive_member){ 0 };
}

int archive_check(struct fetch *fetch, struct error *err)
{
	struct stat st;

	if (fstat(fetch->source, &st) < 0)
		return error_errno(err, errno, "%s", fetch->reference.path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, "%s: not a file (a directory is oci:DIR)",
				 fetch->reference.path);
	return 0;
}

static int broken(struct fetch *fetch, struct archive *archive, struct error *err)
{
	const char *why = archive_error_string(archive);

	return error_set(err, "%s: not a whole tar archive: %s", fetch->reference.path,
			 why ? why : "unknown format");
}

static struct archive *open_archive(struct fetch *fetch, struct error *err)
{
	struct archive *archive = archive_read_new();

	archive_read_support_format_tar(archive);
	archive_read_support_filter_gzip(archive);
	archive_read_support_filter_zstd(archive);
	if (lseek(fetch->source, 0, SEEK_SET) == 0 &&
	    archive_read_open_fd(archive, fetch->source, READ_BLOCK) == ARCHIVE_OK)
		return archive;
	broken(fetch, archive, err);
	archive_read_free(archive);
	return NULL;
}

/* 1: *ret_name is the next member's, without "./"; 0: that was the last. Members whose names are
 * no text are passed over: none of them is asked for. */
static int next_member(struct fetch *fetch, struct archive *archive, struct archive_entry **ret,
		       const char **ret_name, struct error *err)
{
	for (;;) {
		int code = archive_read_next_header(archive, ret);

		if (code == ARCHIVE_EOF)
			return 0;
		if (code < ARCHIVE_WARN)
			return broken(fetch, archive, err);
		*ret_name = archive_entry_pathname(*ret);
		if (!*ret_name)
			continue;
		while (strncmp(*ret_name, "./", 2) == 0)
			*ret_name += 2;
		return 1;
	}
}

int archive_read_member(struct fetch *fetch, const char *name, size_t max, struct strbuf *ret,
			struct error *err)
{
	CLEANUP(cleanup_archive) struct archive *archive = open_archive(fetch, err);
	_cleanup_strbuf_ struct strbuf content = { 0 };
	struct archive_entry *entry;
	const char *found;
	char chunk[16384];
	la_ssize_t n;
	int more;

	if (!archive)
		return -1;
	do
		more = next_member(fetch, archive, &entry, &found, err);
	while (more == 1 && strcmp(found, name) != 0);
	if (more < 0)
		return -1;
	if (more == 0)
		return error_set(err, "%s: no '%s' in it", fetch->reference.path, name);
	while ((n = archive_read_data(archive, chunk, sizeof(chunk))) > 0) {
		if (content.length + (size_t)n > max)
			return error_set(err, "%s: '%s' is larger than %zu bytes",
					 fetch->reference.path, name, max);
		strbuf_add(&content, chunk, (size_t)n);
	}
	if (n < 0)
		return broken(fetch, archive, err);
	strbuf_reset(ret);
	*ret = content;
	content = (struct strbuf){ 0 };
	return 0;
}

/* --- members into the cache ------------------------------------------------------------------ */

/* By the first bytes: RFC 1952, 2.3.1; RFC 8878, 3.1. */
static enum layer_type type_of(const unsigned char *bytes, size_t length)
{
	if (length >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b)
		return LAYER_GZIP;
	if (length >= 4 && bytes[0] == 0x28 && bytes[1] == 0xb5 && bytes[2] == 0x2f &&
	    bytes[3] == 0xfd)
		return LAYER_ZSTD;
	return LAYER_TAR;
}

static int copy_member(struct fetch *fetch, struct archive *archive, struct archive_entry *entry,
		       struct archive_member *member, struct error *err)
{
	CLEANUP(blob_free_cleanup) struct blob *blob = NULL;
	unsigned char chunk[READ_BLOCK];
	la_ssize_t n = archive_read_data(archive, chunk, sizeof(chunk));

	if (n >= 0)
		member->blob.layer_type = type_of(chunk, (size_t)n);
	if (n >= 0 && member->is_tar_left && member->blob.layer_type == LAYER_TAR) {
		member->blob.size = (uint64_t)archive_entry_size(entry);
		return 0;
	}
	if (n >= 0 && blob_begin(fetch->cache, &member->blob, &blob, err) < 0)
		return -1;
	for (; n > 0; n = archive_read_data(archive, chunk, sizeof(chunk))) {
		if (blob_write(blob, chunk, (size_t)n, err) < 0)
			return -1;
		fetch_progress(fetch, &member->blob, n);
	}
	if (n < 0)
		return broken(fetch, archive, err);
	return blob_finish(blob, &member->blob, err);
}

/* "a/b/layer.tar" -> "../c/layer.tar" is "a/c/layer.tar": such links stand for layers that occur
 * twice. They lead nowhere but to other members. */
static char *resolve_link(const char *name, const char *target)
{
	struct strbuf path = { 0 };
	const char *slash = strrchr(name, '/');

	if (slash && *target != '/')
		strbuf_add(&path, name, (size_t)(slash - name));
	while (*target) {
		size_t length = strcspn(target, "/");

		if (length == 2 && strncmp(target, "..", 2) == 0) {
			slash = strrchr(strbuf_text(&path), '/');
			path.length = slash ? (size_t)(slash - path.data) : 0;
			if (path.data)
				path.data[path.length] = '\0';
		} else if (length > 0 && !(length == 1 && *target == '.')) {
			if (path.length > 0)
				strbuf_putc(&path, '/');
			strbuf_add(&path, target, length);
		}
		target += length;
		target += strspn(target, "/");
	}
	return strbuf_take(&path);
}

static int visit(struct fetch *fetch, struct archive *archive, struct archive_entry *entry,
		 struct archive_member *member, bool *ret_again, struct error *err)
{
	const char *link = archive_entry_hardlink(entry);

	if (link || archive_entry_filetype(entry) == AE_IFLNK) {
		char *target = link ? xstrdup(link)
				    : resolve_link(member->name,
						   archive_entry_symlink(entry)
							   ? archive_entry_symlink(entry)
							   : "");

		free(member->name);
		member->name = target;
		*ret_again = true;
		return 0;
	}
	if (archive_entry_filetype(entry) != AE_IFREG)
		return error_set(err, "%s: '%s' is not a file", fetch->reference.path,
				 member->name);
	member->found = true;
	return copy_member(fetch, archive, entry, member, err);
}

static int pass(struct fetch *fetch, struct archive_member *members, size_t count, bool *ret_again,
		struct error *err)
{
	CLEANUP(cleanup_archive) struct archive *archive = open_archive(fetch, err);
	struct archive_entry *entry;
	const char *name;
	int more;

	if (!archive)
		return -1;
	while ((more = next_member(fetch, archive, &entry, &name, err)) == 1) {
		struct archive_member *first = NULL;

		for (size_t i = 0; i < count; i++) {
			if (members[i].found || strcmp(members[i].name, name) != 0)
				continue;
			/* Its data can be read once: others of that name get the result. */
			if (!first && visit(fetch, archive, entry, &members[i], ret_again, err) < 0)
				return -1;
			if (!first && !members[i].found)
				break;
			if (first)
				members[i].blob = first->blob;
			first = &members[i];
			first->found = true;
		}
	}
	return more;
}

int archive_copy_members(struct fetch *fetch, struct archive_member *members, size_t count,
			 struct error *err)
{
	bool again = true;

	for (int links = 0; again && links <= LINKS_MAX; links++) {
		again = false;
		if (pass(fetch, members, count, &again, err) < 0) {
			fetch->retry = err->number == ENOSPC || err->number == EDQUOT;
			return -1;
		}
	}
	for (size_t i = 0; i < count; i++)
		if (!members[i].found)
			return error_set(err, "%s: no '%s' in it", fetch->reference.path,
					 members[i].name);
	return 0;
}

/* --- oci-archive: ---------------------------------------------------------------------------- */

static void oci_archive_close(struct fetch *fetch)
{
	(void)fetch;
}

static char *blob_name(const char *digest)
{
	return xasprintf("blobs/sha256/%s", digest + strlen("sha256:"));
}

static int oci_archive_document(struct fetch *fetch, const struct oci_descriptor *want,
				struct strbuf *ret, char **ret_type, struct error *err)
{
	_cleanup_free_ char *name = want ? blob_name(want->digest) : xstrdup("index.json");

	*ret_type = NULL;
	return archive_read_member(fetch, name, OCI_MANIFEST_MAX, ret, err);
}

static int oci_archive_blobs(struct fetch *fetch, const struct oci_descriptor *const *wants,
			     size_t count, struct error *err)
{
	struct archive_member *members = xcalloc(count, sizeof(*members));
	int result;

	for (size_t i = 0; i < count; i++) {
		members[i].name = blob_name(wants[i]->digest);
		members[i].blob = *wants[i];
	}
	result = archive_copy_members(fetch, members, count, err);
	for (size_t i = 0; i < count; i++)
		archive_member_reset(&members[i]);
	free(members);
	return result;
}

const struct origin origin_oci_archive = {
	.open = archive_check,
	.close = oci_archive_close,
	.document = oci_archive_document,
	.blobs = oci_archive_blobs,
};
