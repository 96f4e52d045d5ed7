/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a VMM process may see and do: nothing but the descriptors it was given, its program, the
 * libraries of the host, read-only, and its own entry in /proc. For the drivers.
 */
#ifndef STOKER_VMM_JAIL_H
#define STOKER_VMM_JAIL_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "vmm/cgroup.h"

struct jail {
	const struct cgroup_leaf *leaf; /* NULL: none */
	uid_t uid;			/* user and group id of the process; no other VM's */
	const char *program;		/* real path, the same inside */
	const char
		*mount_dir; /* any directory: the new root is mounted there, unseen by the host */
	bool needs_kvm;	    /* a /dev/kvm of its own */
};

/* For child_options.setup with a struct jail as its data: runs between fork and exec, as root. */
int jail_enter(void *jail, struct error *err);

#endif
