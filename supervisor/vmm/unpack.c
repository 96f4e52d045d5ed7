/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by kernel.c for the payload of a bzImage and for compressed modules. The formats are those
 * of Linux' lib/decompress.c and scripts/Makefile.modinst; "lz4" is the legacy frame of `lz4 -l`
 * (lz4_Frame_format.md, "Legacy frame"). Kernel builds append the unpacked size as 4 bytes.
 */
#include "vmm/unpack.h"

#include <bzlib.h>
#include <endian.h>
#include <lz4.h>
#include <lzma.h>
#include <stdbool.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/alloc.h"
#include "base/cleanup.h"

enum {
	LZ4_BLOCK_BYTES = 8 << 20, /* every block of a legacy frame unpacks to at most this */
	CHUNK_BYTES = 1 << 20,
};

struct format {
	const char *name;
	const char *magic;
	size_t magic_length;
	int (*unpack)(const uint8_t *bytes, size_t length, size_t max, const char *name,
		      struct strbuf *out, struct error *err); /* NULL: known by name only */
};

static int too_large(const char *name, size_t max, struct error *err)
{
	return error_set(err, "%s: unpacks to more than %zu MiB", name, max >> 20);
}

static int damaged(const char *name, const char *format, struct error *err)
{
	return error_set(err, "%s: the %s data are damaged or cut short", name, format);
}

static int unpack_gzip(const uint8_t *bytes, size_t length, size_t max, const char *name,
		       struct strbuf *out, struct error *err)
{
	_cleanup_free_ uint8_t *chunk = xcalloc(1, CHUNK_BYTES);
	z_stream stream = { .next_in = (Bytef *)bytes, .avail_in = (uInt)length };
	int result = inflateInit2(&stream, 16 + MAX_WBITS); /* 16: a gzip header */
	size_t begin = out->length;

	while (result == Z_OK) {
		stream.next_out = chunk;
		stream.avail_out = CHUNK_BYTES;
		result = inflate(&stream, Z_NO_FLUSH);
		strbuf_add(out, chunk, CHUNK_BYTES - stream.avail_out);
		if (out->length - begin > max)
			break;
	}
	inflateEnd(&stream);
	if (out->length - begin > max)
		return too_large(name, max, err);
	return result == Z_STREAM_END ? 0 : damaged(name, "gzip", err);
}

static int unpack_bzip2(const uint8_t *bytes, size_t length, size_t max, const char *name,
			struct strbuf *out, struct error *err)
{
	_cleanup_free_ char *chunk = xcalloc(1, CHUNK_BYTES);
	bz_stream stream = { .next_in = (char *)bytes, .avail_in = (unsigned)length };
	size_t begin = out->length;
	int result = BZ2_bzDecompressInit(&stream, 0, 0);
	bool goes_on = result == BZ_OK;

	while (goes_on) {
		stream.next_out = chunk;
		stream.avail_out = CHUNK_BYTES;
		result = BZ2_bzDecompress(&stream);
		strbuf_add(out, chunk, CHUNK_BYTES - stream.avail_out);
		/* At the end of what there is, it says BZ_OK for ever. */
		goes_on = result == BZ_OK && (stream.avail_in || !stream.avail_out) &&
			  out->length - begin <= max;
	}
	BZ2_bzDecompressEnd(&stream);
	if (out->length - begin > max)
		return too_large(name, max, err);
	return result == BZ_STREAM_END ? 0 : damaged(name, "bzip2", err);
}

static int run_lzma(lzma_stream *stream, size_t max, const char *name, struct strbuf *out,
		    struct error *err)
{
	_cleanup_free_ uint8_t *chunk = xcalloc(1, CHUNK_BYTES);
	lzma_ret result = LZMA_OK;
	size_t begin = out->length;

	while (result == LZMA_OK && out->length - begin <= max) {
		stream->next_out = chunk;
		stream->avail_out = CHUNK_BYTES;
		result = lzma_code(stream, LZMA_RUN);
		strbuf_add(out, chunk, CHUNK_BYTES - stream->avail_out);
	}
	lzma_end(stream);
	if (out->length - begin > max)
		return too_large(name, max, err);
	return result == LZMA_STREAM_END ? 0 : damaged(name, "xz", err);
}

static int unpack_xz(const uint8_t *bytes, size_t length, size_t max, const char *name,
		     struct strbuf *out, struct error *err)
{
	lzma_stream stream = LZMA_STREAM_INIT;

	stream.next_in = bytes;
	stream.avail_in = length;
	if (lzma_stream_decoder(&stream, 256 << 20, 0) != LZMA_OK)
		return error_set(err, "%s: cannot start to unpack xz", name);
	return run_lzma(&stream, max, name, out, err);
}

static int unpack_lzma(const uint8_t *bytes, size_t length, size_t max, const char *name,
		       struct strbuf *out, struct error *err)
{
	lzma_stream stream = LZMA_STREAM_INIT;

	stream.next_in = bytes;
	stream.avail_in = length;
	if (lzma_alone_decoder(&stream, 256 << 20) != LZMA_OK)
		return error_set(err, "%s: cannot start to unpack lzma", name);
	return run_lzma(&stream, max, name, out, err);
}

static void cleanup_zstd(ZSTD_DStream **stream)
{
	ZSTD_freeDStream(*stream);
}

static int unpack_zstd(const uint8_t *bytes, size_t length, size_t max, const char *name,
		       struct strbuf *out, struct error *err)
{
	CLEANUP(cleanup_zstd) ZSTD_DStream *stream = ZSTD_createDStream();
	_cleanup_free_ uint8_t *chunk = xcalloc(1, CHUNK_BYTES);
	ZSTD_inBuffer in = { .src = bytes, .size = length };
	size_t begin = out->length;
	size_t left = 1; /* 0 at the end of the frame */

	if (!stream)
		return error_set(err, "%s: cannot start to unpack zstd", name);
	while (left) {
		ZSTD_outBuffer part = { .dst = chunk, .size = CHUNK_BYTES };
		size_t before = in.pos;

		left = ZSTD_decompressStream(stream, &part, &in);
		if (ZSTD_isError(left) || (left && part.pos == 0 && in.pos == before))
			return damaged(name, "zstd", err);
		strbuf_add(out, chunk, part.pos);
		if (out->length - begin > max)
			return too_large(name, max, err);
	}
	return 0;
}

static int unpack_lz4(const uint8_t *bytes, size_t length, size_t max, const char *name,
		      struct strbuf *out, struct error *err)
{
	_cleanup_free_ char *block = xcalloc(1, LZ4_BLOCK_BYTES);
	size_t at = 4, begin = out->length;

	/* Blocks follow each other until only the appended size, or nothing, is left. */
	while (length - at > sizeof(uint32_t)) {
		uint32_t size;
		int n;

		memcpy(&size, bytes + at, sizeof(size));
		size = le32toh(size);
		at += sizeof(size);
		if (size == 0 || size > length - at)
			return damaged(name, "lz4", err);
		n = LZ4_decompress_safe((const char *)bytes + at, block, (int)size,
					LZ4_BLOCK_BYTES);
		if (n <= 0)
			return damaged(name, "lz4", err);
		at += size;
		strbuf_add(out, block, (size_t)n);
		if (out->length - begin > max)
			return too_large(name, max, err);
	}
	return out->length > begin ? 0 : damaged(name, "lz4", err);
}

static const struct format formats[] = {
	{ "gzip", "\x1f\x8b\x08", 3, unpack_gzip },
	{ "xz",
	  "\xfd"
	  "7zXZ\0",
	  6, unpack_xz },
	{ "zstd", "\x28\xb5\x2f\xfd", 4, unpack_zstd },
	{ "lz4", "\x02\x21\x4c\x18", 4, unpack_lz4 },
	{ "lzma", "\x5d\0\0", 3, unpack_lzma },
	{ "bzip2", "BZh", 3, unpack_bzip2 },
	{ "lzo", "\x89LZO\0\r\n\x1a\n", 9, NULL },
};

static const struct format *find_format(const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (length >= formats[i].magic_length &&
		    memcmp(bytes, formats[i].magic, formats[i].magic_length) == 0)
			return &formats[i];
	return NULL;
}

const char *unpack_format(const uint8_t *bytes, size_t length)
{
	const struct format *format = find_format(bytes, length);

	return format ? format->name : NULL;
}

int unpack(const uint8_t *bytes, size_t length, size_t max, const char *name, struct strbuf *out,
	   struct error *err)
{
	const struct format *format = find_format(bytes, length);

	if (!format)
		return error_set(err, "%s: not in a compression format of Linux", name);
	if (!format->unpack)
		return error_set(err,
				 "%s: compressed with %s, which is not supported "
				 "(use a kernel with gzip, xz, zstd, lz4 or bzip2)",
				 name, format->name);
	if (length > UINT32_MAX / 2)
		return error_set(err, "%s: larger than 2 GiB", name);
	return format->unpack(bytes, length, max, name, out, err);
}
