/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A second pair of eyes on a tar stream: walks its headers ahead of the real parser and refuses
 * what parsers are known to read differently (sizes that disagree, names with NUL bytes, data where
 * none belongs) and what makes them allocate without bound (huge extended headers, sparse maps).
 */
#ifndef STOKER_IMAGE_TARSCAN_H
#define STOKER_IMAGE_TARSCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/strbuf.h"

enum {
	TAR_BLOCK = 512,
	TAR_EXTENDED_MAX = 1 << 20, /* bytes of one extended header */
	TAR_RECORD_MAX = 512 << 10, /* bytes of one record in an extended header */
	TAR_SPARSE_MAX = 1 << 18,   /* pieces of one sparse file */
};

#define TAR_FILE_MAX (64ULL << 30) /* bytes of one file */

enum tarscan_state {
	TARSCAN_HEADER,
	TARSCAN_EXTENDED,
	TARSCAN_SPARSE,
	TARSCAN_MAP,
	TARSCAN_DATA,
	TARSCAN_END
};

/* Zero-initialise it; tarscan_reset frees what it holds. */
struct tarscan {
	enum tarscan_state state;
	uint64_t position; /* of the next byte in the stream */
	uint8_t block[TAR_BLOCK];
	size_t filled;
	uint64_t remaining;	/* bytes of payload and padding still to pass */
	uint64_t payload;	/* of the extended header being collected */
	struct strbuf extended; /* owned */
	bool keep_extended;	/* 'x': its records count; 'g', 'L', 'K': only its length */
	uint64_t sparse_pieces;

	/* What the extended header said about the next entry. */
	bool has_size, has_sparse_map;
	uint64_t size;
};

/* Takes the next bytes of the stream, all of them, in any portions. */
int tarscan_feed(struct tarscan *scan, const void *bytes, size_t length, struct error *err);

/* After the last byte: an error when the stream stops inside an entry. */
int tarscan_finish(const struct tarscan *scan, struct error *err);
void tarscan_reset(struct tarscan *scan);

#endif
