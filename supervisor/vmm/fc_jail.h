/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a Firecracker process lives: a small tmpfs that only it sees, with the files it was given
 * mounted into it one by one, under Firecracker's jailer. Nothing of it has a name on the host, so
 * nothing can be left behind, and what a Firecracker that was taken over writes is bounded. For
 * firecracker.c.
 */
#ifndef STOKER_VMM_FC_JAIL_H
#define STOKER_VMM_FC_JAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/strv.h"

struct cgroup_leaf;

enum { FC_FILES_MAX = 16 };

/* A file of the host's in the jail. It must have a name when it is mounted, and needs none later.
 */
struct fc_file {
	const char *name; /* in the jail's root */
	int fd;
	bool read_only;
};

/* Everything is borrowed. */
struct fc_jail {
	uid_t uid;		 /* and gid */
	const char *firecracker; /* real paths; the first one's file name has "firecracker" in it */
	const char *jailer;	 /* NULL: no jailer, the same place without a wall around it */
	const char *id;		 /* [A-Za-z0-9-], at most 64 bytes */
	const char *mount_dir;	 /* any directory of the host's */
	const struct cgroup_leaf *leaf; /* where it runs; NULL: without limits of the host */
	uint64_t extra_bytes;		/* that the caller will write into it, beside the program */
	struct fc_file files[FC_FILES_MAX];
	size_t file_count;
};

/* The command line that goes with the jail, to be started in it. */
void fc_jail_arguments(const struct fc_jail *jail, struct strv *ret);

/* For child_options.setup with a struct fc_jail as its data. From exec on, the process's working
 * directory is the jail's root, with and without a jailer: /proc/PID/cwd leads there. */
int fc_jail_enter(void *jail, struct error *err);

#endif
