/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's kernel: `auto` is the newest installed distribution kernel, unpacked into a cache,
 * with the modules that stoker-init loads. A path names a kernel of the operator's, packed or not,
 * whose modules are built in.
 */
#ifndef STOKER_VMM_KERNEL_H
#define STOKER_VMM_KERNEL_H

#include <stdbool.h>

#include "base/error.h"
#include "base/strv.h"
#include "vmm/kernel_image.h"

struct kernel {
	char *path;	     /* of a plain ELF or Image, root-owned, world-readable; owned */
	char *version;	     /* "6.1.0-56-cloud-amd64", or "" when unknown; owned */
	struct strv modules; /* paths of .ko files, dependencies first; empty: all built in */
};

/* `choice` is "auto" or a path; a kernel for another machine than `machine`, which is MACHINE_HOST
 * outside of tests, is an error. Unpacked kernels are kept in `cache_dir`, named by content.
 * `boot_dir` and `modules_dir` are "/boot" and "/lib/modules" outside of tests. */
int kernel_resolve(const char *choice, enum machine machine, const char *cache_dir,
		   const char *boot_dir, const char *modules_dir, struct kernel *ret,
		   struct error *err);

/* Adds what stoker-init loads to check a disk with dm-verity. *ret_has: whether this kernel can; of
 * one of the operator's, whether its text has dm-verity's messages. */
int kernel_add_verity(struct kernel *kernel, const char *cache_dir, const char *modules_dir,
		      bool *ret_has, struct error *err);
void kernel_reset(struct kernel *kernel);

#endif
