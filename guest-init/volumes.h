/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named volumes: ext4 disks of the host's making that outlive the VM. What the workload sees is the
 * directory "data" of one; it is made at the first use, as a copy of what the image has there.
 */
#ifndef STOKER_GUEST_INIT_VOLUMES_H
#define STOKER_GUEST_INIT_VOLUMES_H

#include "guest-init/config.h"
#include "guest-init/failure.h"

enum { VOLUMES_MAX = 6 };

struct volumes {
	int fds[VOLUMES_MAX]; /* their mounts */
	size_t count;
};

/* Mounts them on the image's root, which lies at /root of the initramfs. */
int volumes_mount(const struct config *config, struct volumes *volumes, struct failure *why);

#endif
