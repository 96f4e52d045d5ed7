/* SPDX-License-Identifier: Apache-2.0 */
/* Used by config/setting.c and stokerctl (what is wanted), image/store.c (part of an image's id)
 * and image/squash.c. */
#include "model/compression.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	uint32_t level, level_max; /* 0: none */
} methods[] = {
	[COMPRESSION_ZSTD] = { "zstd", 3, 22 },
	[COMPRESSION_GZIP] = { "gzip", 9, 9 },
	[COMPRESSION_LZ4] = { "lz4", 0, 0 },
	[COMPRESSION_XZ] = { "xz", 0, 0 },
};

struct compression compression_default(void)
{
	return (struct compression){ COMPRESSION_ZSTD, methods[COMPRESSION_ZSTD].level };
}

static int parse_level(const char *text, size_t method, uint32_t *ret, struct error *err)
{
	char *end;
	unsigned long level = strtoul(text, &end, 10);

	if (methods[method].level_max == 0)
		return error_set(err, "%s has no levels", methods[method].name);
	if (*text < '0' || *text > '9' || *end || level < 1 || level > methods[method].level_max)
		return error_set(err, "'%s' is not a level of %s (1 to %u)", text,
				 methods[method].name, methods[method].level_max);
	*ret = (uint32_t)level;
	return 0;
}

int compression_parse(const char *text, struct compression *ret, struct error *err)
{
	size_t length = strcspn(text, ":");

	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
		uint32_t level = methods[i].level;

		if (strlen(methods[i].name) != length ||
		    strncmp(methods[i].name, text, length) != 0)
			continue;
		if (text[length] && parse_level(text + length + 1, i, &level, err) < 0)
			return -1;
		*ret = (struct compression){ (enum compression_method)i, level };
		return 0;
	}
	return error_set(err, "'%s' is not a compression (zstd:LEVEL, gzip:LEVEL, lz4 or xz)",
			 text);
}

void compression_format(const struct compression *compression, char ret[COMPRESSION_TEXT_SIZE])
{
	const char *name = methods[compression->method].name;

	if (compression->level == 0)
		snprintf(ret, COMPRESSION_TEXT_SIZE, "%s", name);
	else
		snprintf(ret, COMPRESSION_TEXT_SIZE, "%s:%u", name, compression->level);
}
