/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's limits for each VMM, by control groups: Documentation/admin-guide/cgroup-v2.rst of the
 * kernel. For the drivers, and for instance/, which opens and sweeps.
 *
 * Below one parent, which is the daemon's alone, each tenant has a group, and in it each VM a leaf:
 * PARENT/TENANT/ID. We make the leaf and set its limits, and the new process puts itself in before
 * it becomes the VMM, so that all its memory is charged there. Firecracker's jailer therefore gets
 * no --cgroup. A leaf outlives the daemon as its VM does.
 */
#ifndef STOKER_VMM_CGROUP_H
#define STOKER_VMM_CGROUP_H

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "model/settings.h"
#include "vmm/vmm.h"

struct cgroup;	    /* the parent */
struct cgroup_leaf; /* of one VM; where there are no limits it is NULL, and all below takes that */

/* Finds or makes the parent, as `[cgroup] parent` says, and enables its controllers. A parent that
 * was named but cannot be used is an error; with `auto` VMs then run without limits. `root` is put
 * before each path: "" outside of tests. */
int cgroup_open(const char *root, const struct settings *settings, struct cgroup **ret,
		struct error *err);
struct cgroup *cgroup_close(struct cgroup *cgroup); /* groups stay; NULL is fine; returns NULL */

/* Below the mount: "/system.slice/stoker-vms.service". NULL: VMs run without limits. */
const char *cgroup_parent(const struct cgroup *cgroup);

/* Which limits are missing, why, and the remedy. NULL: none that was asked for. */
const char *cgroup_problem(const struct cgroup *cgroup);

/* Removes leaves in which nothing runs, and tenants without leaves: call it when what runs was
 * adopted and all else has been ended. */
void cgroup_sweep(const struct cgroup *cgroup);

/* The same, and then the parent itself, unless somebody is in it: when no VM is left. */
void cgroup_clear(const struct cgroup *cgroup);

/* --- one VM's leaf --------------------------------------------------------------------------- */

struct cgroup_limits {
	const char *tenant;
	const char *id;
	uint64_t memory_bytes; /* of the guest and of its VMM: beyond, the VMM is killed */
	uint32_t cpus;	       /* the guest's; the VMM's own threads get a little more */
	uint32_t threads_max;  /* of the VMM, those of the guest's CPUs included */
};

/* A leaf of that name that an unfinished start left is ended first. On an error nothing is left. */
int cgroup_leaf_make(const struct cgroup *cgroup, const struct cgroup_limits *limits,
		     struct cgroup_leaf **ret, struct error *err);

/* The leaf of a VM that is about to start, for a VMM with such needs beside the guest's memory, its
 * page tables and what each CPU costs; its disks are limited too. */
struct cgroup_needs {
	uint64_t memory_bytes;
	uint32_t threads; /* beside one for each of the guest's CPUs */
};

int cgroup_leaf_start(const struct vmm_config *config, const struct settings *settings,
		      const struct cgroup_needs *needs, struct cgroup_leaf **ret,
		      struct error *err);

/* The leaf that the process of VM "tenant/vm" runs in; NULL: it runs in none of ours. */
struct cgroup_leaf *cgroup_leaf_find(const char *root, const char *name, pid_t pid);

/* Between fork and exec: moves the calling process into the leaf. */
int cgroup_leaf_join(const struct cgroup_leaf *leaf, struct error *err);

/* Limits reads, and writes as much again, on the disk of a file system (st_dev); bytes and
 * operations a second, 0: no limit. May be called again. Without a disk of its own (tmpfs, NFS) a
 * file system has no such limit, which is no error: a driver limits the disks that its guest sees
 * itself, this is the backstop. */
int cgroup_leaf_limit_io(const struct cgroup_leaf *leaf, dev_t device, uint64_t bandwidth,
			 uint64_t iops, struct error *err);

/* The same for the file system that holds settings->state_dir, and with it the guests' disks. */
int cgroup_leaf_limit_disks(const struct cgroup_leaf *leaf, const struct settings *settings,
			    const struct vmm_limits *limits, struct error *err);

/* SIGKILL to whatever runs in it. */
void cgroup_leaf_kill(const struct cgroup_leaf *leaf);

/* What the kernel counted may be why the VMM ended: then `exit` says so. */
void cgroup_leaf_blame(const struct cgroup_leaf *leaf, struct vmm_exit *exit);

/* Ends what runs in the leaf, removes it, and its tenant's group with the last one. Frees `leaf`
 * also when there is an error: the next start or sweep will try again. */
int cgroup_leaf_remove(struct cgroup_leaf *leaf, struct error *err);

struct cgroup_leaf *cgroup_leaf_free(struct cgroup_leaf *leaf); /* the group stays; returns NULL */

/* --- shared by the two files of this module -------------------------------------------------- */

#define CGROUP_MOUNT "/sys/fs/cgroup"

enum cgroup_controller { CGROUP_CPU, CGROUP_MEMORY, CGROUP_PIDS, CGROUP_IO, CGROUP_CONTROLLERS };

/* Enables what the group at `path` has for the groups below it; a bit for each that is enabled. */
unsigned cgroup_enable(const char *path, struct error *err);

/* The group of a process ("self", or its pid), below the mount: the line "0::/path" of cgroups(7).
 * NULL: it is gone, or there is no unified hierarchy. The caller frees it. */
char *cgroup_of(const char *root, const char *process);

/* What cgroup_open was given, PARENT's path in the file system, and what is enabled there. */
const char *cgroup_root(const struct cgroup *cgroup);
const char *cgroup_path(const struct cgroup *cgroup);
unsigned cgroup_controllers(const struct cgroup *cgroup);

#endif
