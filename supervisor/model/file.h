/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that the host puts into a guest: an item of a spec's `files` or `secrets`. In the spec it
 * is one line of text, so that specs are compared and recorded as they are; what a source holds is
 * not in it, only a hash by which a change is noticed. Made by config/, read by instance/.
 */
#ifndef STOKER_MODEL_FILE_H
#define STOKER_MODEL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum {
	FILE_BYTES_MAX = 512 << 10, /* of one */
	FILES_BYTES_MAX = 3 << 20,  /* of all files of a VM, and of all its secrets */
	FILE_HASH_SIZE = 16 + 1,    /* with its NUL */
};

struct spec_file {
	char *path; /* owned; a secret's is its name in /run/secrets */
	uint32_t mode;
	char *user;		   /* owned; "" = root, of a secret: the workload's user */
	bool is_inline;		   /* `text` is the content; else the path of the source */
	char hash[FILE_HASH_SIZE]; /* of the source's content; "" when inline */
	char *text;		   /* owned */
};

/* The caller frees it. No member but an inline text may have a tab inside. */
char *spec_file_format(const struct spec_file *file);

/* Reads what spec_file_format wrote. */
int spec_file_parse(const char *line, struct spec_file *ret, struct error *err);
void spec_file_reset(struct spec_file *file);

/* 64 bits: for noticing changes, not for proving that there was none. */
void spec_file_hash(const void *bytes, size_t length, char ret[FILE_HASH_SIZE]);

#endif
