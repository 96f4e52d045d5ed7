/* SPDX-License-Identifier: Apache-2.0 */
#include "model/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"

#define INLINE "inline" /* in the place of the hash */

char *spec_file_format(const struct spec_file *file)
{
	return xasprintf("%s\t%04o\t%s\t%s\t%s", file->path, file->mode, file->user,
			 file->is_inline ? INLINE : file->hash, file->text);
}

/* The next member, up to a tab; NULL when there is none. The caller frees it. */
static char *take_member(const char **at)
{
	const char *tab = strchr(*at, '\t');
	char *member = tab ? xstrndup(*at, (size_t)(tab - *at)) : NULL;

	if (tab)
		*at = tab + 1;
	return member;
}

static int fill(const char *at, struct spec_file *file)
{
	_cleanup_free_ char *mode = NULL, *hash = NULL;
	char *end = NULL;

	file->path = take_member(&at);
	mode = take_member(&at);
	file->user = take_member(&at);
	hash = take_member(&at);
	if (!hash || !*file->path || strlen(hash) >= FILE_HASH_SIZE)
		return -1;
	file->mode = (uint32_t)strtoul(mode, &end, 8);
	if (!*mode || *end || file->mode > 0777)
		return -1;
	file->is_inline = strcmp(hash, INLINE) == 0;
	if (!file->is_inline)
		snprintf(file->hash, sizeof(file->hash), "%s", hash);
	file->text = xstrdup(at);
	return 0;
}

int spec_file_parse(const char *line, struct spec_file *ret, struct error *err)
{
	struct spec_file file = { 0 };

	if (fill(line, &file) < 0) {
		spec_file_reset(&file);
		return error_set(err, "'%.100s' does not describe a file", line);
	}
	*ret = file;
	return 0;
}

void spec_file_reset(struct spec_file *file)
{
	free(file->path);
	free(file->user);
	free(file->text);
	*file = (struct spec_file){ 0 };
}

void spec_file_hash(const void *bytes, size_t length, char ret[FILE_HASH_SIZE])
{
	const uint8_t *at = bytes;
	uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ at[i]) * 0x100000001b3;
	snprintf(ret, FILE_HASH_SIZE, "%016" PRIx64, hash);
}
