/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs -> verified bytes: gzip and zstd streams, right and wrong, and what is promised of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "image/layers.h"
#include "tests/unit/tarball.h"

static void add_gzip(struct strbuf *out, const void *bytes, size_t length)
{
	z_stream stream = { .next_in = (void *)bytes, .avail_in = (uInt)length };
	uint8_t chunk[65536];
	int code;

	assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY),
			 Z_OK);
	do {
		stream.next_out = chunk;
		stream.avail_out = sizeof(chunk);
		code = deflate(&stream, Z_FINISH);
		strbuf_add(out, chunk, sizeof(chunk) - stream.avail_out);
	} while (code == Z_OK);
	assert_int_equal(code, Z_STREAM_END);
	deflateEnd(&stream);
}

static void add_zstd(struct strbuf *out, const void *bytes, size_t length)
{
	size_t bound = ZSTD_compressBound(length);
	_cleanup_free_ void *to = xcalloc(1, bound);
	size_t size = ZSTD_compress(to, bound, bytes, length, 1);

	assert_false(ZSTD_isError(size));
	strbuf_add(out, to, size);
}

/* Reads the blob to its end; the bytes in *ret. */
static int drain(const struct layer_blob *blob, uint64_t max_bytes, struct strbuf *ret,
		 struct error *err)
{
	CLEANUP(layer_stream_close_cleanup) struct layer_stream *stream = NULL;
	const void *bytes;
	size_t length = 1;

	if (layer_stream_open(blob, max_bytes, &stream, err) < 0)
		return -1;
	while (length > 0) {
		if (layer_stream_read(stream, &bytes, &length, err) < 0)
			return -1;
		if (ret)
			strbuf_add(ret, bytes, length);
	}
	return 0;
}

static void expect(const struct strbuf *data, enum layer_type type, const struct strbuf *wanted,
		   const char *message)
{
	_cleanup_strbuf_ struct strbuf got = { 0 };
	struct layer_blob blob = tar_blob(data->data, data->length, type);
	struct error err = { 0 };
	int result = drain(&blob, LAYERS_BYTES_MAX, &got, &err);

	close(blob.fd);
	assert_string_equal(err.text, message ? message : "");
	assert_int_equal(result, message ? -1 : 0);
	if (!message) {
		assert_int_equal(got.length, wanted->length);
		assert_memory_equal(got.data, wanted->data, wanted->length);
	}
}

/* Larger than the ring of buffers, and no chunk is like another. */
static void make_plain(struct strbuf *plain)
{
	for (uint32_t i = 0; plain->length < 3 << 20; i++)
		strbuf_printf(plain, "%u %x\n", i, i * 2654435761u);
}

static void test_gzip(void **state)
{
	_cleanup_strbuf_ struct strbuf plain = { 0 }, data = { 0 };
	size_t first;

	(void)state;
	make_plain(&plain);
	add_gzip(&data, plain.data, 1000000);
	first = data.length;
	add_gzip(&data, plain.data + 1000000, plain.length - 1000000);
	expect(&data, LAYER_GZIP, &plain, NULL);
	data.data[data.length - 5] ^= 1; /* of the sum */
	expect(&data, LAYER_GZIP, NULL, "gzip: wrong checksum");
	data.data[data.length - 5] ^= 1;
	data.data[data.length - 2] ^= 1; /* of the length */
	expect(&data, LAYER_GZIP, NULL, "gzip: wrong checksum");
	data.data[data.length - 2] ^= 1;
	data.data[first - 6] ^= 1; /* of the first member's sum */
	expect(&data, LAYER_GZIP, NULL, "gzip: wrong checksum");
	data.data[first - 6] ^= 1;
	data.length--;
	expect(&data, LAYER_GZIP, NULL, "gzip: the data is cut off");
	data.length = first + 5;
	expect(&data, LAYER_GZIP, NULL, "gzip: the data is cut off");
	data.length = first;
	data.data[2] = 7; /* no method */
	expect(&data, LAYER_GZIP, NULL, "gzip: broken header");
	data.data[2] = 8;
	memset(data.data + 30, 0xff, 64);
	expect(&data, LAYER_GZIP, NULL, "gzip: broken data");
	data.length = 0;
	add_gzip(&data, plain.data, 1000000);
	strbuf_puts(&data, "more");
	expect(&data, LAYER_GZIP, NULL, "holds something else after the gzip data");
}

static void test_zstd(void **state)
{
	static const uint8_t skippable[] = { 0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'a', 'b', 'c' };
	/* A frame that wants a window of 256 MiB: descriptor 0, window exponent 18. */
	static const uint8_t wide[] = { 0x28, 0xb5, 0x2f, 0xfd, 0x00, 18 << 3, 1, 0, 0 };
	_cleanup_strbuf_ struct strbuf plain = { 0 }, data = { 0 };

	(void)state;
	make_plain(&plain);
	strbuf_add(&data, skippable, sizeof(skippable));
	add_zstd(&data, plain.data, 1000000);
	strbuf_add(&data, skippable, sizeof(skippable));
	add_zstd(&data, plain.data + 1000000, plain.length - 1000000);
	expect(&data, LAYER_ZSTD, &plain, NULL);
	data.length -= 3;
	expect(&data, LAYER_ZSTD, NULL, "zstd: the data is cut off");
	data.length = 0;
	strbuf_add(&data, wide, sizeof(wide));
	expect(&data, LAYER_ZSTD, NULL, "zstd: Frame requires too much memory for decoding");
}

static void test_types(void **state)
{
	_cleanup_strbuf_ struct strbuf plain = { 0 }, gzip = { 0 }, zstd = { 0 };

	(void)state;
	strbuf_puts(&plain, "some text");
	add_gzip(&gzip, plain.data, plain.length);
	add_zstd(&zstd, plain.data, plain.length);
	expect(&plain, LAYER_TAR, &plain, NULL);
	expect(&plain, LAYER_GZIP, NULL, "is not gzip data, as its manifest says");
	expect(&gzip, LAYER_ZSTD, NULL, "is not zstd data, as its manifest says");
	expect(&gzip, LAYER_TAR, NULL, "is compressed, and its manifest says plain tar");
	expect(&zstd, LAYER_TAR, NULL, "is compressed, and its manifest says plain tar");
}

static void test_bombs(void **state)
{
	enum { ZEROS = 80 << 20 };
	_cleanup_free_ char *zeros = xcalloc(1, ZEROS);
	_cleanup_strbuf_ struct strbuf gzip = { 0 }, zstd = { 0 };
	struct layer_blob blob;
	struct error err = { 0 };

	(void)state;
	add_gzip(&gzip, zeros, ZEROS);
	expect(&gzip, LAYER_GZIP, NULL, "grows more than 1000-fold when uncompressed");
	add_zstd(&zstd, zeros, ZEROS);
	expect(&zstd, LAYER_ZSTD, NULL, "grows more than 1000-fold when uncompressed");
	blob = tar_blob(gzip.data, gzip.length, LAYER_GZIP);
	assert_int_equal(drain(&blob, 1 << 20, NULL, &err), -1);
	assert_string_equal(err.text, "the image is larger than 32 GiB uncompressed");
	close(blob.fd);
}

static void test_promises(void **state)
{
	_cleanup_strbuf_ struct strbuf plain = { 0 }, gzip = { 0 };
	struct layer_blob blob;
	struct error err = { 0 };
	_cleanup_free_ char *expected = NULL;

	(void)state;
	make_plain(&plain);
	add_gzip(&gzip, plain.data, plain.length);
	blob = tar_blob(gzip.data, gzip.length, LAYER_GZIP);
	assert_int_equal(layer_stream_digest(plain.data, plain.length, blob.diff_id, &err), 0);
	assert_int_equal(drain(&blob, LAYERS_BYTES_MAX, NULL, &err), 0);

	expected = xasprintf("its diffID is sha256:%s, not sha256:%s as promised", blob.diff_id,
			     blob.digest);
	memcpy(blob.diff_id, blob.digest, sizeof(blob.diff_id));
	assert_int_equal(drain(&blob, LAYERS_BYTES_MAX, NULL, &err), -1);
	assert_string_equal(err.text, expected);

	blob.diff_id[0] = '\0';
	blob.digest[0] = blob.digest[0] == '0' ? '1' : '0';
	assert_int_equal(drain(&blob, LAYERS_BYTES_MAX, NULL, &err), -1);
	assert_non_null(strstr(err.text, "its digest is sha256:"));
	close(blob.fd);
}

/* The reader may leave at any time; the thread must not stay behind. */
static void test_leaving_early(void **state)
{
	_cleanup_strbuf_ struct strbuf plain = { 0 }, gzip = { 0 };
	struct layer_blob blob;
	struct error err = { 0 };

	(void)state;
	make_plain(&plain);
	add_gzip(&gzip, plain.data, plain.length);
	blob = tar_blob(gzip.data, gzip.length, LAYER_GZIP);
	for (int reads = 0; reads < 4; reads++) {
		CLEANUP(layer_stream_close_cleanup) struct layer_stream *stream = NULL;
		const void *bytes;
		size_t length;

		assert_int_equal(layer_stream_open(&blob, LAYERS_BYTES_MAX, &stream, &err), 0);
		for (int i = 0; i < reads; i++)
			assert_int_equal(layer_stream_read(stream, &bytes, &length, &err), 0);
	}
	close(blob.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gzip),	 cmocka_unit_test(test_zstd),
		cmocka_unit_test(test_types),	 cmocka_unit_test(test_bombs),
		cmocka_unit_test(test_promises), cmocka_unit_test(test_leaving_early),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
