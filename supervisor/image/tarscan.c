/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by image/layers.c on every chunk before libarchive sees it. Formats: POSIX.1-2017 pax
 * (ustar and pax interchange), and GNU tar's own ('L', 'K', 'S', base-256 numbers), as written down
 * in tar(5). It keeps nothing but the place in the stream; names and metadata are libarchive's.
 */
#include "image/tarscan.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

/* Offsets in a header block. */
enum {
	AT_SIZE = 124,
	SIZE_LENGTH = 12,
	AT_CHECKSUM = 148,
	CHECKSUM_LENGTH = 8,
	AT_TYPE = 156,
	AT_GNU_EXTENDED = 482,	/* 'S': another map block follows */
	AT_MORE_EXTENDED = 504, /* the same in such a block */
	GNU_HEADER_PIECES = 4,
	GNU_BLOCK_PIECES = 21,
};

#define USTAR_SIZE_MAX 077777777777ULL /* what eleven octal digits can say */

/* --- numbers -----------------------------------------------------------------------------------
 */

/* Octal, with leading blanks, ended by a blank, a NUL or the field; or base 256 when the first bit
 * is set (the second is the sign). */
static int parse_number(const uint8_t *field, size_t length, uint64_t *ret)
{
	uint64_t value = 0;
	size_t i = 0;

	if (field[0] & 0x80) {
		if (field[0] & 0x40)
			return -1;
		value = field[0] & 0x3f;
		for (i = 1; i < length; i++) {
			if (value >> 55)
				return -1;
			value = value << 8 | field[i];
		}
		*ret = value;
		return 0;
	}
	while (i < length && field[i] == ' ')
		i++;
	for (; i < length && field[i] >= '0' && field[i] <= '7'; i++)
		value = value << 3 | (field[i] - (uint64_t)'0');
	if (i < length && field[i] != ' ' && field[i] != '\0')
		return -1;
	*ret = value;
	return 0;
}

/* Both ways in which old writers summed up bytes. */
static bool checksum_fits(const uint8_t *block)
{
	uint64_t expected;
	int64_t with_sign = 0;
	uint64_t without = 0;

	for (size_t i = 0; i < TAR_BLOCK; i++) {
		uint8_t byte = i >= AT_CHECKSUM && i < AT_CHECKSUM + CHECKSUM_LENGTH ? ' '
										     : block[i];

		without += byte;
		with_sign += (int8_t)byte;
	}
	if (parse_number(block + AT_CHECKSUM, CHECKSUM_LENGTH, &expected) < 0)
		return false;
	return expected == without || (int64_t)expected == with_sign;
}

static int parse_decimal(const char *text, size_t length, uint64_t *ret)
{
	uint64_t value = 0;

	if (length == 0 || length > 18)
		return -1;
	for (size_t i = 0; i < length; i++) {
		if (!isdigit((unsigned char)text[i]))
			return -1;
		value = value * 10 + (uint64_t)(text[i] - '0');
	}
	*ret = value;
	return 0;
}

/* --- extended headers --------------------------------------------------------------------------
 */

static bool key_is(const char *key, size_t length, const char *word)
{
	return length == strlen(word) && memcmp(key, word, length) == 0;
}

static int take_record(struct tarscan *scan, const char *key, size_t key_length, const char *value,
		       size_t length, struct error *err)
{
	if (key_is(key, key_length, "path") || key_is(key, key_length, "linkpath") ||
	    key_is(key, key_length, "GNU.sparse.name")) {
		if (length == 0)
			return error_set(err, "an extended header gives an empty name");
		if (memchr(value, '\0', length))
			return error_set(err, "an extended header gives a name with a NUL byte");
	}
	if (key_is(key, key_length, "size")) {
		if (parse_decimal(value, length, &scan->size) < 0)
			return error_set(err, "an extended header gives a size that is no number");
		scan->has_size = true;
	}
	if (key_is(key, key_length, "GNU.sparse.major"))
		scan->has_sparse_map = key_is(value, length, "1");
	return 0;
}

/* Records are "LENGTH KEY=VALUE\n", LENGTH in decimal and counting itself. */
static int parse_extended(struct tarscan *scan, struct error *err)
{
	const char *at = strbuf_text(&scan->extended);
	size_t left = scan->extended.length;

	while (left > 0 && *at != '\0') {
		const char *space = memchr(at, ' ', left < 20 ? left : 20);
		const char *equals;
		uint64_t length;
		size_t digits;

		if (!space || parse_decimal(at, (size_t)(space - at), &length) < 0 ||
		    length > left || length < (size_t)(space - at) + 2 || at[length - 1] != '\n')
			return error_set(err, "an extended header is malformed");
		/* libarchive passes over what is longer than a million bytes, without an error. */
		if (length > TAR_RECORD_MAX)
			return error_set(err,
					 "an extended header has a record of %llu bytes (%d are "
					 "allowed)",
					 (unsigned long long)length, TAR_RECORD_MAX);
		digits = (size_t)(space - at) + 1;
		equals = memchr(at + digits, '=', (size_t)length - digits);
		if (!equals)
			return error_set(err, "an extended header is malformed");
		if (take_record(scan, at + digits, (size_t)(equals - at) - digits, equals + 1,
				(size_t)(at + length - 1 - (equals + 1)), err) < 0)
			return -1;
		at += length;
		left -= (size_t)length;
	}
	return 0;
}

/* --- headers -----------------------------------------------------------------------------------
 */

static bool is_null(const uint8_t *block)
{
	return block[0] == 0 && memcmp(block, block + 1, TAR_BLOCK - 1) == 0;
}

static uint64_t padded(uint64_t size)
{
	return (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
}

static void enter_payload(struct tarscan *scan, enum tarscan_state state, uint64_t size)
{
	scan->remaining = padded(size);
	scan->payload = size;
	scan->state = scan->remaining > 0 ? state : TARSCAN_HEADER;
}

static int begin_extended(struct tarscan *scan, uint64_t size, bool keep, struct error *err)
{
	if (size > TAR_EXTENDED_MAX)
		return error_set(err, "an extended header of %" PRIu64 " bytes (%d are allowed)",
				 size, TAR_EXTENDED_MAX);
	strbuf_reset(&scan->extended);
	scan->keep_extended = keep;
	enter_payload(scan, TARSCAN_EXTENDED, size);
	return 0;
}

/* An entry's size when header and extended header both speak: they must agree, except where the
 * header's field is too small for the truth (CVE-2025-62518). */
static int settle_size(struct tarscan *scan, uint64_t header_size, uint64_t *ret, struct error *err)
{
	bool beyond = scan->size > USTAR_SIZE_MAX;

	if (scan->has_size && scan->size != header_size &&
	    !(beyond && (header_size == 0 || header_size == USTAR_SIZE_MAX)))
		return error_set(err, "two sizes for one entry: %" PRIu64 " and %" PRIu64,
				 header_size, scan->size);
	*ret = scan->has_size ? scan->size : header_size;
	if (*ret > TAR_FILE_MAX)
		return error_set(err, "a file of %" PRIu64 " bytes (64 GiB are allowed)", *ret);
	return 0;
}

static int begin_entry(struct tarscan *scan, uint64_t header_size, struct error *err)
{
	uint8_t type = scan->block[AT_TYPE];
	bool mapped = scan->has_sparse_map;
	uint64_t size = 0;

	if (settle_size(scan, header_size, &size, err) < 0)
		return -1;
	scan->has_size = scan->has_sparse_map = false;
	scan->size = 0;
	switch (type) {
	case '\0':
	case '0':
	case '7':
		enter_payload(scan, mapped ? TARSCAN_MAP : TARSCAN_DATA, size);
		return 0;
	case 'S':
		enter_payload(scan, TARSCAN_DATA, size);
		scan->sparse_pieces = GNU_HEADER_PIECES;
		if (scan->block[AT_GNU_EXTENDED])
			scan->state = TARSCAN_SPARSE;
		return 0;
	case '2':
		/* Some writers note the target's length; no reader looks for data. */
		enter_payload(scan, TARSCAN_DATA, 0);
		return 0;
	case '1':
	case '3':
	case '4':
	case '5':
	case '6':
		if (size != 0)
			return error_set(err, "data where none belongs (entry type '%c')", type);
		enter_payload(scan, TARSCAN_DATA, 0);
		return 0;
	default:
		return error_set(err, "an unknown type of entry (%d)", type);
	}
}

static int take_header(struct tarscan *scan, struct error *err)
{
	uint64_t size = 0;

	if (is_null(scan->block)) {
		scan->state = TARSCAN_END;
		return 0;
	}
	if (!checksum_fits(scan->block))
		return error_set(err, "not a tar header, or a damaged one (wrong checksum)");
	if (parse_number(scan->block + AT_SIZE, SIZE_LENGTH, &size) < 0)
		return error_set(err, "a size that is no number");
	switch (scan->block[AT_TYPE]) {
	case 'x':
		return begin_extended(scan, size, true, err);
	case 'g':
	case 'L':
	case 'K':
		return begin_extended(scan, size, false, err);
	default:
		return begin_entry(scan, size, err);
	}
}

/* --- the other blocks --------------------------------------------------------------------------
 */

static int too_many_pieces(struct error *err)
{
	return error_set(err, "a sparse file of more than %d pieces", TAR_SPARSE_MAX);
}

static int take_extended(struct tarscan *scan, struct error *err)
{
	size_t count = scan->payload < TAR_BLOCK ? (size_t)scan->payload : TAR_BLOCK;

	if (scan->keep_extended)
		strbuf_add(&scan->extended, scan->block, count);
	scan->payload -= count;
	scan->remaining -= TAR_BLOCK;
	if (scan->remaining > 0)
		return 0;
	scan->state = TARSCAN_HEADER;
	return scan->keep_extended ? parse_extended(scan, err) : 0;
}

/* GNU's old format: map blocks between the header and the data. */
static int take_sparse(struct tarscan *scan, struct error *err)
{
	scan->sparse_pieces += GNU_BLOCK_PIECES;
	if (scan->sparse_pieces > TAR_SPARSE_MAX)
		return too_many_pieces(err);
	if (!scan->block[AT_MORE_EXTENDED])
		scan->state = scan->remaining > 0 ? TARSCAN_DATA : TARSCAN_HEADER;
	return 0;
}

/* GNU's format 1.0: the data begins with the map, and that with the number of its pieces
 * (CVE-2025-58183). */
static int take_map(struct tarscan *scan, struct error *err)
{
	const char *text = (const char *)scan->block;
	const char *end = memchr(text, '\n', TAR_BLOCK);
	uint64_t pieces;

	if (!end || parse_decimal(text, (size_t)(end - text), &pieces) < 0)
		return error_set(err, "a sparse file without a map");
	if (pieces > TAR_SPARSE_MAX)
		return too_many_pieces(err);
	scan->remaining -= TAR_BLOCK;
	scan->state = scan->remaining > 0 ? TARSCAN_DATA : TARSCAN_HEADER;
	return 0;
}

static int take_block(struct tarscan *scan, struct error *err)
{
	switch (scan->state) {
	case TARSCAN_HEADER:
		return take_header(scan, err);
	case TARSCAN_EXTENDED:
		return take_extended(scan, err);
	case TARSCAN_SPARSE:
		return take_sparse(scan, err);
	case TARSCAN_MAP:
		return take_map(scan, err);
	case TARSCAN_DATA:
	case TARSCAN_END:
		break;
	}
	return 0;
}

int tarscan_feed(struct tarscan *scan, const void *bytes, size_t length, struct error *err)
{
	const uint8_t *at = bytes;

	while (length > 0 && scan->state != TARSCAN_END) {
		size_t count = length;

		if (scan->state == TARSCAN_DATA) {
			if (count > scan->remaining)
				count = (size_t)scan->remaining;
			scan->remaining -= count;
			if (scan->remaining == 0)
				scan->state = TARSCAN_HEADER;
		} else {
			if (count > TAR_BLOCK - scan->filled)
				count = TAR_BLOCK - scan->filled;
			memcpy(scan->block + scan->filled, at, count);
			scan->filled += count;
		}
		at += count;
		length -= count;
		scan->position += count;
		if (scan->filled < TAR_BLOCK)
			continue;
		scan->filled = 0;
		if (take_block(scan, err) < 0)
			return error_wrap(err, "tar, before byte %" PRIu64, scan->position);
	}
	return 0;
}

int tarscan_finish(const struct tarscan *scan, struct error *err)
{
	if (scan->state == TARSCAN_END || (scan->state == TARSCAN_HEADER && scan->filled == 0))
		return 0;
	return error_set(err, "tar: the data is cut off at byte %" PRIu64, scan->position);
}

void tarscan_reset(struct tarscan *scan)
{
	strbuf_reset(&scan->extended);
	*scan = (struct tarscan){ 0 };
}
