/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel modules of the initramfs. Those that a guest does without until its workload runs (the
 * channel's, as logs wait in its ring, and the balloon's) are only opened at first: under emulation
 * they are a tenth of a second, and opened they outlive the initramfs.
 */
#ifndef STOKER_GUEST_INIT_MODULES_H
#define STOKER_GUEST_INIT_MODULES_H

#include <stdbool.h>
#include <stddef.h>

#include "guest-init/config.h"
#include "guest-init/failure.h"

enum { MODULES_LATE_MAX = 16 };

struct modules {
	struct {
		int fd;		  /* owned */
		const char *path; /* borrowed from the list */
	} late[MODULES_LATE_MAX];
	size_t late_count;
};

/* Loads those that are needed first, in their order, and opens the others. */
int modules_load(const struct list *paths, struct modules *ret, struct failure *why);

/* The others, once: a further call does nothing. All are tried; `why` is of the first that failed.
 */
int modules_load_late(struct modules *modules, struct failure *why);

/* Of a path in the initramfs, "/modules/07-virtio_console.ko". */
bool modules_is_late(const char *path);

#endif
