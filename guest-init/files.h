/* SPDX-License-Identifier: Apache-2.0 */
/* What the manifest puts into the guest: files anywhere, secrets in a tmpfs, volumes of the image
 * as directories, values of /proc/sys. All before the workload starts and the root is sealed. */
#ifndef STOKER_GUEST_INIT_FILES_H
#define STOKER_GUEST_INIT_FILES_H

#include "guest-init/config.h"
#include "guest-init/failure.h"

/* Writes them as the workload will find them, through the mounts that it sees, and forgets what was
 * in them. `root` is the image's root, where users are looked up. */
int files_write(int root, struct config *config, struct failure *why);

/* Creates the image's volumes; when the root becomes read-only, they stay writable. */
int files_make_volumes(const struct config *config, struct failure *why);

int files_set_sysctls(const struct list *sysctls, struct failure *why);

#endif
