/* SPDX-License-Identifier: Apache-2.0 */
/* How the squashfs of an image is compressed: "zstd:3", "gzip:9", "lz4", "xz". */
#ifndef STOKER_MODEL_COMPRESSION_H
#define STOKER_MODEL_COMPRESSION_H

#include <stdint.h>

#include "base/error.h"

enum { COMPRESSION_TEXT_SIZE = 16 }; /* of the longest text, with its NUL */

enum compression_method { COMPRESSION_ZSTD, COMPRESSION_GZIP, COMPRESSION_LZ4, COMPRESSION_XZ };

struct compression {
	enum compression_method method;
	uint32_t level; /* 0: the method has none to choose */
};

/* zstd:3, which boots as fast as any and is made fastest but for lz4. */
struct compression compression_default(void);

/* METHOD or METHOD:LEVEL; without a level that of the method's own tools. */
int compression_parse(const char *text, struct compression *ret, struct error *err);

/* What compression_parse reads back as the same. */
void compression_format(const struct compression *compression, char ret[COMPRESSION_TEXT_SIZE]);

#endif
