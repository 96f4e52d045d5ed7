/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a layer's compressed stream. The first byte says what it is declared to be, and the
 * sizes of the pieces in which it comes and goes; whatever they are, the outcome must be the same
 * as when all is given at once. `make fuzz`, then: build-fuzz/fuzz_inflate -max_len=65536 CORPUS
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "image/inflate.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* Beyond it a stream is given up: a megabyte is as good as a gigabyte. */
enum { OUTPUT_MAX = 1 << 20 };

struct outcome {
	struct strbuf output;
	int result;
	bool is_cut; /* at OUTPUT_MAX */
};

static int feed(struct inflate *inflate, const uint8_t *bytes, size_t length, size_t out_size,
		struct outcome *outcome, struct error *err)
{
	_cleanup_free_ uint8_t *out = malloc(out_size);
	size_t produced = 0;

	/* As the reader does: once more after a full buffer, for what is left inside. */
	do {
		size_t before = length;

		if (inflate_step(inflate, &bytes, &length, out, out_size, &produced, err) < 0)
			return -1;
		if (produced > out_size || length > before)
			abort();
		if (produced == 0 && length == before && length > 0)
			return error_set(err, "the decoder does not get on");
		strbuf_add(&outcome->output, out, produced);
		outcome->is_cut = outcome->output.length > OUTPUT_MAX;
	} while ((length > 0 || produced == out_size) && !outcome->is_cut);
	return 0;
}

static int inflate_all(enum layer_type type, const uint8_t *bytes, size_t length, size_t in_size,
		       size_t out_size, struct outcome *outcome, struct error *err)
{
	CLEANUP(inflate_close_cleanup) struct inflate *inflate = NULL;

	if (inflate_open(type, &inflate, err) < 0)
		abort();
	if (inflate_check_magic(type, bytes, length, err) < 0)
		return -1;
	for (size_t at = 0; at < length && !outcome->is_cut; at += in_size) {
		size_t part = length - at < in_size ? length - at : in_size;

		if (feed(inflate, bytes + at, part, out_size, outcome, err) < 0)
			return -1;
	}
	return outcome->is_cut ? 0 : inflate_finish(inflate, err);
}

static struct outcome run(enum layer_type type, const uint8_t *bytes, size_t length, size_t in_size,
			  size_t out_size)
{
	struct outcome outcome = { 0 };
	struct error err = { 0 };

	outcome.result = inflate_all(type, bytes, length, in_size, out_size, &outcome, &err);
	if ((outcome.result == 0) != (err.text[0] == '\0'))
		abort();
	return outcome;
}

static bool same_outcome(enum layer_type type, const struct outcome *a, const struct outcome *b)
{
	/* libzstd 1.5 takes a frame with an empty run of bytes when it has all of it at once, and
	 * refuses it in pieces. */
	if (type == LAYER_ZSTD && a->result != b->result)
		return true;
	if (a->is_cut != b->is_cut || a->result != b->result)
		return false;
	return a->result < 0 || a->is_cut ||
	       (a->output.length == b->output.length &&
		memcmp(strbuf_text(&a->output), strbuf_text(&b->output), a->output.length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static const enum layer_type types[] = { LAYER_TAR, LAYER_GZIP, LAYER_ZSTD, LAYER_GZIP };
	static const size_t sizes[] = { 1, 7, 512, 4096 };
	struct outcome whole, pieces;
	enum layer_type type;

	if (length < 2)
		return 0;
	type = types[bytes[0] & 3];
	whole = run(type, bytes + 1, length - 1, length - 1, 256 << 10);
	pieces = run(type, bytes + 1, length - 1, sizes[bytes[0] >> 2 & 3],
		     sizes[bytes[0] >> 4 & 3]);
	if (!same_outcome(type, &whole, &pieces))
		abort();
	strbuf_reset(&whole.output);
	strbuf_reset(&pieces.output);
	return 0;
}
