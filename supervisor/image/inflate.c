/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by the inflate thread of image/layerstream.c; the home of ISA-L (gzip, RFC 1952) and
 * libzstd (RFC 8878). Layer types are those of the OCI image specification: tar, tar+gzip,
 * tar+zstd.
 */
#include "image/inflate.h"

#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <stdbool.h>
#include <string.h>
#include <zstd.h>

#include "base/alloc.h"

enum { ZSTD_WINDOW_LOG_MAX = 27 }; /* 128 MiB */

struct inflate {
	enum layer_type type;
	struct inflate_state gzip;
	ZSTD_DCtx *zstd; /* owned */
	bool complete;	 /* between members or frames, at least one done */
};

int inflate_open(enum layer_type type, struct inflate **ret, struct error *err)
{
	CLEANUP(inflate_close_cleanup) struct inflate *inflate = xcalloc(1, sizeof(*inflate));

	inflate->type = type;
	if (type == LAYER_GZIP) {
		isal_inflate_init(&inflate->gzip);
		inflate->gzip.crc_flag = ISAL_GZIP;
	}
	if (type == LAYER_ZSTD) {
		inflate->zstd = ZSTD_createDCtx();
		if (!inflate->zstd ||
		    ZSTD_isError(ZSTD_DCtx_setParameter(inflate->zstd, ZSTD_d_windowLogMax,
							ZSTD_WINDOW_LOG_MAX)))
			return error_set(err, "cannot set up zstd");
	}
	*ret = take_ptr(inflate);
	return 0;
}

struct inflate *inflate_close(struct inflate *inflate)
{
	if (inflate)
		ZSTD_freeDCtx(inflate->zstd);
	free(inflate);
	return NULL;
}

static uint32_t little32(const uint8_t *bytes)
{
	return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
	       (uint32_t)bytes[3] << 24;
}

static bool is_gzip(const uint8_t *bytes, size_t length)
{
	return length >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

/* RFC 8878: a frame, or a skippable frame before it. */
static bool is_zstd(const uint8_t *bytes, size_t length)
{
	return length >= 4 &&
	       (little32(bytes) == 0xfd2fb528 || (little32(bytes) & 0xfffffff0) == 0x184d2a50);
}

static bool is_other_compression(const uint8_t *bytes, size_t length)
{
	return (length >= 3 && memcmp(bytes, "BZh", 3) == 0) || (length >= 6 && memcmp(bytes,
										       "\xfd"
										       "7zXZ",
										       6) == 0);
}

int inflate_check_magic(enum layer_type type, const uint8_t *bytes, size_t length,
			struct error *err)
{
	bool gzip = is_gzip(bytes, length), zstd = is_zstd(bytes, length);

	switch (type) {
	case LAYER_GZIP:
		return gzip ? 0 : error_set(err, "is not gzip data, as its manifest says");
	case LAYER_ZSTD:
		return zstd ? 0 : error_set(err, "is not zstd data, as its manifest says");
	case LAYER_TAR:
		if (gzip || zstd || is_other_compression(bytes, length))
			return error_set(err, "is compressed, and its manifest says plain tar");
		return 0;
	}
	return error_set(err, "is of no known type");
}

/* After the last member's trailer only another member may follow. */
static int next_gzip_member(struct inflate *inflate, struct error *err)
{
	if (inflate->gzip.avail_in > 0 && inflate->gzip.next_in[0] != 0x1f)
		return error_set(err, "holds something else after the gzip data");
	isal_inflate_reset(&inflate->gzip);
	inflate->gzip.crc_flag = ISAL_GZIP;
	inflate->complete = false;
	return 0;
}

static int gzip_error(int code, struct error *err)
{
	if (code == ISAL_INCORRECT_CHECKSUM)
		return error_set(err, "gzip: wrong checksum");
	if (code == ISAL_INVALID_WRAPPER || code == ISAL_UNSUPPORTED_METHOD)
		return error_set(err, "gzip: broken header");
	return error_set(err, "gzip: broken data");
}

static int step_gzip(struct inflate *inflate, const uint8_t **bytes, size_t *length, uint8_t *out,
		     size_t out_size, size_t *ret_produced, struct error *err)
{
	struct inflate_state *state = &inflate->gzip;
	int code;

	state->next_in = (uint8_t *)*bytes;
	state->avail_in = (uint32_t)*length;
	state->next_out = out;
	state->avail_out = (uint32_t)out_size;
	if (inflate->complete && *length > 0 && next_gzip_member(inflate, err) < 0)
		return -1;
	code = isal_inflate(state);
	*bytes = state->next_in;
	*length = state->avail_in;
	*ret_produced = out_size - state->avail_out;
	if (code < 0)
		return gzip_error(code, err);
	if (code == ISAL_NEED_DICT)
		return error_set(err, "gzip: wants a dictionary");
	inflate->complete = state->block_state == ISAL_BLOCK_FINISH;
	return 0;
}

static int step_zstd(struct inflate *inflate, const uint8_t **bytes, size_t *length, uint8_t *out,
		     size_t out_size, size_t *ret_produced, struct error *err)
{
	ZSTD_inBuffer in = { .src = *bytes, .size = *length };
	ZSTD_outBuffer to = { .dst = out, .size = out_size };
	size_t left = ZSTD_decompressStream(inflate->zstd, &to, &in);

	if (ZSTD_isError(left))
		return error_set(err, "zstd: %s", ZSTD_getErrorName(left));
	inflate->complete = left == 0;
	*bytes += in.pos;
	*length -= in.pos;
	*ret_produced = to.pos;
	return 0;
}

int inflate_step(struct inflate *inflate, const uint8_t **bytes, size_t *length, uint8_t *out,
		 size_t out_size, size_t *ret_produced, struct error *err)
{
	size_t count = *length < out_size ? *length : out_size;

	*ret_produced = 0;
	if (inflate->complete && *length == 0)
		return 0;
	switch (inflate->type) {
	case LAYER_GZIP:
		return step_gzip(inflate, bytes, length, out, out_size, ret_produced, err);
	case LAYER_ZSTD:
		return step_zstd(inflate, bytes, length, out, out_size, ret_produced, err);
	case LAYER_TAR:
		memcpy(out, *bytes, count);
		*bytes += count;
		*length -= count;
		*ret_produced = count;
		return 0;
	}
	return error_set(err, "is of no known type");
}

int inflate_finish(const struct inflate *inflate, struct error *err)
{
	if (inflate->type == LAYER_TAR || inflate->complete)
		return 0;
	return error_set(err, "%s: the data is cut off",
			 inflate->type == LAYER_GZIP ? "gzip" : "zstd");
}
