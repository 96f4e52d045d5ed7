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

/* --- the steps that Firecracker's own jail takes too (fc_jail.c) ------------------------------ */

/* Mounts, IPC, host name and network of its own, all empty; no mount is ever seen by the host. */
int jail_leave_namespaces(struct error *err);

/* No core with the guest's memory in it, no pinned memory, so many open files. */
int jail_set_limits(unsigned open_files, struct error *err);

/* For good: the uid, no groups, no capabilities, and none to be had by exec. */
int jail_drop_privileges(uid_t uid, struct error *err);

#endif
