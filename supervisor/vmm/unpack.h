/* SPDX-License-Identifier: Apache-2.0 */
/* Decompression of what distributions compress kernels and modules with. Home of liblz4, liblzma
 * and libbz2. */
#ifndef STOKER_VMM_UNPACK_H
#define STOKER_VMM_UNPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/strbuf.h"

/* What the first bytes say: "gzip", "xz", "zstd", "lz4", "lzma", "bzip2", "lzo"; NULL when they are
 * none of these. */
const char *unpack_format(const uint8_t *bytes, size_t length);

/* Appends the unpacked content to `out`; more than `max` bytes of it are an error, as are formats
 * that unpack_format names and this does not know. Bytes after the end of the stream are ignored.
 * `name` is for the message. */
int unpack(const uint8_t *bytes, size_t length, size_t max, const char *name, struct strbuf *out,
	   struct error *err);

#endif
