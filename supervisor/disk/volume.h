/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named volumes: STATE_DIR/volumes/TENANT/NAME.ext4, files that outlive the VMs which use them.
 * Only guests ever mount what is in them. That no two VMs use one at a time is the caller's
 * business.
 */
#ifndef STOKER_DISK_VOLUME_H
#define STOKER_DISK_VOLUME_H

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Opens the volume `id` ("tenant/name"), making it when it is not there: then it holds an empty
 * file system. A larger size than it has makes the file longer, and its guest does the rest; a
 * smaller one is an error. The file belongs to `owner` from here on. */
int volume_open(const char *state_dir, const char *id, uint64_t size_bytes, uid_t owner,
		int *ret_fd, struct error *err);

struct volume {
	char *id;
	uint64_t size_bytes;
	uint64_t used_bytes; /* of the host's disk */
};

struct volume_list {
	struct volume *items; /* owned, as are their ids; sorted by id */
	size_t count;
};

int volume_list(const char *state_dir, struct volume_list *ret, struct error *err);
void volume_list_reset(struct volume_list *list);

int volume_remove(const char *state_dir, const char *id, struct error *err);

#endif
