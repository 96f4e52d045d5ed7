/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File systems of the guest, in the order of world.c: early ones for stoker-init itself, the
 * image under its writable layer as new root, what a workload expects in it, and the clean end.
 */
#ifndef STOKER_GUEST_INIT_MOUNTS_H
#define STOKER_GUEST_INIT_MOUNTS_H

#include "guest-init/config.h"
#include "guest-init/failure.h"
#include "guest-init/volumes.h"

struct mounts {
	int root;  /* a private, always writable mount of the image's root; -1: not there yet */
	int upper; /* the mount of the writable layer; -1 likewise */
	struct volumes volumes;
};

/* /proc, /sys, /dev of the initramfs. */
int mounts_early(struct failure *why);

/* Mounts the disks "base" and "upper" as one root, the volumes on it, and moves into it. They are
 * those with such a serial or, when config->disks has any names, those at their places there;
 * "base" is checked while it is read if the configuration says so. The initramfs is emptied. */
int mounts_root(struct mounts *mounts, const struct config *config, struct failure *why);

/* The device of a disk, by its serial or by its place in `order`; waits for it to be found. */
int mounts_find_disk(const char *name, const struct list *order, char device[64],
		     struct failure *why);

/* Removes a directory and all below it, within its file system, and follows no links. */
void mounts_remove_tree(int parent, const char *name);

/* /proc, /sys, /dev ..., the tmpfs mounts of the manifest, and the cgroup hierarchy. */
int mounts_system(const struct config *config, struct failure *why);

/* Makes the root that the workload sees read-only. */
int mounts_seal(struct failure *why);

/* Syncs and makes the disks' file systems read-only. Nothing may be running any more. */
void mounts_finish(struct mounts *mounts);

#endif
