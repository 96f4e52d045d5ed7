/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash tree behind a squashfs, by which the guest's dm-verity, `veritysetup verify` or this file
 * itself finds out that a byte of it has changed. Used by both halves of stoker-image: build adds
 * it, verify checks it.
 */
#ifndef STOKER_IMAGE_VERITY_H
#define STOKER_IMAGE_VERITY_H

#include <stddef.h>

#include "base/error.h"

enum {
	VERITY_BLOCK = 4096,
	VERITY_TEXT_SIZE = 256, /* with its NUL */
};

/* Appends superblock and tree to a file of whole blocks that is open for reading and writing.
 * `ret_text` is what its device's table says behind the block sizes (Documentation/admin-guide/
 * device-mapper/verity.rst of Linux): "BLOCKS HASH-START sha256 ROOT SALT". The same file gives the
 * same tree. */
int verity_append(int fd, char ret_text[VERITY_TEXT_SIZE], struct error *err);

/* Reads all of the file and compares it with its tree, and that with the text. A difference is an
 * error that names the block. */
int verity_check(int fd, const char *text, struct error *err);

#endif
