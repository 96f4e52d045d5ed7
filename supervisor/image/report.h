/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a stoker-image process tells the daemon, over the socket at its descriptor 3: fixed-size
 * records, host byte order (both ends are one installation). The writer has met strangers' bytes,
 * so the reader trusts no length, no text and no order.
 * After the last REPORT_LAYER the fetcher waits for a byte from the daemon: go on.
 */
#ifndef STOKER_IMAGE_REPORT_H
#define STOKER_IMAGE_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum { REPORT_MAGIC = 0x73746b31, REPORT_LAYERS_MAX = 128, REPORT_TEXT_MAX = 488 };

enum report_kind {
	REPORT_PROGRESS = 1, /* stage, done, total; count: of the layer of that number, 0: of all */
	REPORT_MANIFEST,     /* digest: of the manifest; count: number of layers; once, by fetch */
	REPORT_CONFIG,	     /* digest: of the config blob, which is in the cache now */
	REPORT_LAYER,	     /* digest, layer type and size; in order, bottom first */
	REPORT_BUILT,	     /* the squashfs and the image record are complete and verified;
				verify: the squashfs is as its hash tree says */
	REPORT_ERROR,	     /* text; retry: trying again later may help; nothing follows */
	REPORT_DONE,	     /* fetch: every blob named above is in the cache, verified */
};

enum report_stage { REPORT_RESOLVE, REPORT_DOWNLOAD, REPORT_BUILD };

enum layer_type { LAYER_TAR, LAYER_GZIP, LAYER_ZSTD };

struct report {
	uint32_t magic;
	uint32_t kind;	      /* enum report_kind */
	uint32_t stage;	      /* enum report_stage, with REPORT_PROGRESS */
	uint32_t layer_type;  /* enum layer_type, with REPORT_LAYER */
	uint64_t done, total; /* bytes; `total` is the size with REPORT_LAYER */
	uint32_t count;
	uint32_t retry;
	char text[REPORT_TEXT_MAX]; /* NUL-terminated: digest ("sha256:" + 64 hex) or message */
};

/* Writer: one record, whole. Errors are ignored: a daemon that went away wants no report. */
void report_send(int fd, const struct report *report);

/* Writer: REPORT_ERROR with err's text; bytes outside printable ASCII become '?'. */
void report_failure(int fd, const struct error *err, bool retry);

/* Reader: checks magic, kind, ranges, termination, printable text and, where one belongs, the form
 * of the digest. -1: the worker misbehaves. */
int report_check(const struct report *report, struct error *err);

#endif
