/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's kernel: `auto` is the newest installed distribution kernel, its vmlinux extracted
 * from the bzImage (Linux x86 boot protocol: payload_offset, payload_length) into a cache, with the
 * modules that stoker-init loads. A path names a vmlinux or bzImage of the operator's, whose
 * modules are built in.
 */
#ifndef STOKER_VMM_KERNEL_H
#define STOKER_VMM_KERNEL_H

#include "base/error.h"
#include "base/strv.h"

struct kernel {
	char *path;	     /* of an uncompressed ELF, root-owned, world-readable; owned */
	char *version;	     /* "6.1.0-56-cloud-amd64", or "" when unknown; owned */
	struct strv modules; /* paths of .ko files, dependencies first; empty: all built in */
};

/* `choice` is "auto" or a path; extracted kernels are kept in `cache_dir`, named by content.
 * `boot_dir` and `modules_dir` are "/boot" and "/lib/modules" outside of tests. */
int kernel_resolve(const char *choice, const char *cache_dir, const char *boot_dir,
		   const char *modules_dir, struct kernel *ret, struct error *err);
void kernel_reset(struct kernel *kernel);

#endif
