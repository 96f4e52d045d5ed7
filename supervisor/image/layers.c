/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by image/flatten.c; between image/layerstream.c (bytes) and image/merge.c (meaning). The
 * home of libarchive, which only parses tar here: no filters, no other formats, nothing of it
 * touches a file system. In the C locale its names are the archive's bytes, whatever their
 * encoding.
 */
#include "image/layers.h"

#include <archive.h>
#include <archive_entry.h>
#include <iconv.h>
#include <inttypes.h>
#include <langinfo.h>
#include <string.h>

#include "base/alloc.h"
#include "image/tarscan.h"

struct reader {
	struct layer_stream *stream; /* borrowed */
	struct archive *archive;     /* owned */
	struct tarscan scan;
	struct layers_budget *budget; /* NULL: not counted */
	const struct layers_progress *progress;
	struct error err; /* of our own callback */
	bool failed;
	bool at_end;
};

/* libarchive asks iconv to turn names of extended headers into the locale's encoding; libc then
 * reads its table of encodings, once. */
int layers_prepare(struct error *err)
{
	iconv_t conversion = iconv_open(nl_langinfo(CODESET), "UTF-8");

	if (conversion != (iconv_t)-1)
		iconv_close(conversion);
	return layer_stream_prepare(err);
}

/* --- the stream under libarchive ---------------------------------------------------------------
 */

static int next_bytes(struct reader *reader, const void **ret_bytes, size_t *ret_length,
		      struct error *err)
{
	if (reader->at_end) {
		*ret_length = 0;
		return 0;
	}
	if (layer_stream_read(reader->stream, ret_bytes, ret_length, err) < 0)
		return -1;
	reader->at_end = *ret_length == 0;
	if (reader->budget) {
		reader->budget->bytes += *ret_length;
		if (reader->budget->bytes > LAYERS_BYTES_MAX)
			return error_set(err, "the image is larger than 32 GiB uncompressed");
	}
	if (reader->progress && reader->progress->fn)
		reader->progress->fn(reader->progress->data, layer_stream_consumed(reader->stream));
	return 0;
}

static la_ssize_t on_read(struct archive *archive, void *data, const void **ret_bytes)
{
	struct reader *reader = data;
	size_t length = 0;

	(void)archive;
	if (reader->failed || next_bytes(reader, ret_bytes, &length, &reader->err) < 0 ||
	    tarscan_feed(&reader->scan, *ret_bytes, length, &reader->err) < 0 ||
	    (length == 0 && tarscan_finish(&reader->scan, &reader->err) < 0)) {
		reader->failed = true;
		return ARCHIVE_FATAL;
	}
	return (la_ssize_t)length;
}

static void reader_close(struct reader *reader)
{
	if (reader->archive)
		archive_read_free(reader->archive);
	tarscan_reset(&reader->scan);
}

/* Our own error is the cause when there is one; libarchive's words are for the rest. */
static int reader_error(const struct reader *reader, struct error *err)
{
	const char *text = archive_error_string(reader->archive);

	if (reader->failed) {
		if (err)
			*err = reader->err;
		return -1;
	}
	return error_set(err, "tar: %s", text ? text : "cannot read on");
}

static int reader_open(struct reader *reader, struct error *err)
{
	reader->archive = archive_read_new();
	if (!reader->archive || archive_read_support_format_tar(reader->archive) != ARCHIVE_OK ||
	    archive_read_support_format_empty(reader->archive) != ARCHIVE_OK)
		return error_set(err, "cannot set up the tar parser");
	if (archive_read_open(reader->archive, reader, NULL, on_read, NULL) != ARCHIVE_OK)
		return reader_error(reader, err);
	return 0;
}

/* 1: an entry; 0: the end of the archive. A warning is about a name's encoding. */
static int reader_next(struct reader *reader, struct archive_entry **ret, struct error *err)
{
	int code = archive_read_next_header(reader->archive, ret);

	if (code == ARCHIVE_EOF)
		return 0;
	if (code != ARCHIVE_OK && code != ARCHIVE_WARN)
		return reader_error(reader, err);
	return 1;
}

/* The archive may end before the blob; digests are over all of it. */
static int reader_drain(struct reader *reader, struct error *err)
{
	const void *bytes;
	size_t length = 1;

	if (reader->failed)
		return reader_error(reader, err);
	while (length > 0)
		if (next_bytes(reader, &bytes, &length, err) < 0)
			return -1;
	return 0;
}

/* --- entries -----------------------------------------------------------------------------------
 */

static int entry_kind(struct archive_entry *from, struct merge_entry *to, struct error *err)
{
	to->target = archive_entry_hardlink(from);
	if (to->target) {
		to->kind = MERGE_HARD_LINK;
		return 0;
	}
	switch (archive_entry_filetype(from)) {
	case AE_IFREG:
		to->kind = MERGE_FILE;
		to->size = archive_entry_size(from);
		return 0;
	case AE_IFDIR:
		to->kind = MERGE_DIRECTORY;
		return 0;
	case AE_IFLNK:
		to->kind = MERGE_SYMLINK;
		to->target = archive_entry_symlink(from);
		return 0;
	case AE_IFCHR:
	case AE_IFBLK:
		to->kind = archive_entry_filetype(from) == AE_IFCHR ? MERGE_CHARACTER : MERGE_BLOCK;
		to->major = archive_entry_rdevmajor(from);
		to->minor = archive_entry_rdevminor(from);
		return 0;
	case AE_IFIFO:
		to->kind = MERGE_FIFO;
		return 0;
	default:
		return error_set(err, "'%.200s': an unknown type of file", to->path);
	}
}

/* Borrows from the archive's entry; the list itself is the caller's to free. */
static struct merge_xattr *list_xattrs(struct archive_entry *from, size_t *ret_count)
{
	int count = archive_entry_xattr_reset(from);
	struct merge_xattr *list;

	*ret_count = 0;
	if (count <= 0)
		return NULL;
	list = xcalloc((size_t)count, sizeof(*list));
	for (int i = 0; i < count; i++) {
		struct merge_xattr *xattr = &list[*ret_count];

		if (archive_entry_xattr_next(from, &xattr->name, &xattr->value, &xattr->length) ==
			    ARCHIVE_OK &&
		    xattr->name)
			(*ret_count)++;
	}
	return list;
}

/* --- contents ----------------------------------------------------------------------------------
 */

static int write_zeros(const struct layers_visitor *visitor, uint64_t count, struct error *err)
{
	static const uint8_t zeros[64 << 10];

	while (count > 0) {
		size_t part = count < sizeof(zeros) ? (size_t)count : sizeof(zeros);

		if (visitor->write(visitor->data, zeros, part, err) < 0)
			return -1;
		count -= part;
	}
	return 0;
}

static int copy_contents(struct reader *reader, uint64_t size, const struct layers_visitor *visitor,
			 struct error *err)
{
	uint64_t done = 0;

	for (;;) {
		const void *bytes;
		size_t length;
		la_int64_t offset;
		int code = archive_read_data_block(reader->archive, &bytes, &length, &offset);

		if (code == ARCHIVE_EOF)
			break;
		if (code != ARCHIVE_OK)
			return reader_error(reader, err);
		if (offset < 0 || (uint64_t)offset < done || (uint64_t)offset > size ||
		    length > size - (uint64_t)offset)
			return error_set(err, "tar: a sparse file's pieces are out of order");
		if (write_zeros(visitor, (uint64_t)offset - done, err) < 0)
			return -1;
		if (length > 0 && visitor->write(visitor->data, bytes, length, err) < 0)
			return -1;
		done = (uint64_t)offset + length;
	}
	return write_zeros(visitor, size - done, err);
}

/* --- the whole layer ---------------------------------------------------------------------------
 */

static int visit(struct reader *reader, struct archive_entry *from, uint32_t layer,
		 uint32_t ordinal, const struct layers_visitor *visitor, struct error *err)
{
	struct merge_entry entry = {
		.path = archive_entry_pathname(from),
		.permissions = (uint32_t)archive_entry_perm(from),
		.uid = archive_entry_uid(from),
		.gid = archive_entry_gid(from),
		.mtime = archive_entry_mtime(from),
		.layer = layer,
		.ordinal = ordinal,
	};
	_cleanup_free_ struct merge_xattr *xattrs = NULL;
	bool wanted = false;

	if (!entry.path)
		return error_set(err, "an entry without a name");
	if (entry_kind(from, &entry, err) < 0)
		return -1;
	xattrs = list_xattrs(from, &entry.xattr_count);
	entry.xattrs = xattrs;
	if (visitor->entry(visitor->data, &entry, &wanted, err) < 0)
		return -1;
	if (!wanted)
		return 0;
	if (copy_contents(reader, (uint64_t)entry.size, visitor, err) < 0)
		return -1;
	return visitor->end(visitor->data, err);
}

static int visit_all(struct reader *reader, uint32_t layer, const struct layers_visitor *visitor,
		     struct error *err)
{
	struct archive_entry *entry;
	int result;

	for (uint32_t ordinal = 0; (result = reader_next(reader, &entry, err)) > 0; ordinal++) {
		if (reader->budget && ++reader->budget->entries > LAYERS_ENTRIES_MAX)
			return error_set(err, "the layers have more than %d entries",
					 LAYERS_ENTRIES_MAX);
		if (visit(reader, entry, layer, ordinal, visitor, err) < 0)
			return -1;
	}
	return result < 0 ? -1 : reader_drain(reader, err);
}

int layers_read(struct layer_stream *stream, uint32_t layer, struct layers_budget *budget,
		const struct layers_visitor *visitor, const struct layers_progress *progress,
		struct error *err)
{
	struct reader reader = { .stream = stream, .budget = budget, .progress = progress };
	int result = reader_open(&reader, err);

	if (result == 0)
		result = visit_all(&reader, layer, visitor, err);
	reader_close(&reader);
	return result;
}
