/* SPDX-License-Identifier: Apache-2.0 */
/* The writable layer: an ext4 file system made in process (libext2fs), sparse on the host. */
#ifndef STOKER_DISK_DISK_H
#define STOKER_DISK_DISK_H

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

enum { DISK_MIN_BYTES = 16 << 20 };

struct disk_options {
	uint64_t size_bytes; /* a multiple of 4096, at least DISK_MIN_BYTES */
	uint8_t uuid[16];    /* of the file system; also seeds its directory hash */
	int64_t now;	     /* seconds since the epoch, stamped into it: same inputs, same bytes */
	uid_t owner;	     /* of the file */
};

/* Makes a new file with a fresh file system at `path` (mode 0600) and returns it open for reading
 * and writing. An existing file is an error; after an error nothing is left at `path`. */
int disk_create(const char *path, const struct disk_options *options, int *ret_fd,
		struct error *err);

#endif
