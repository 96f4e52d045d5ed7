/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What VMs boot: for each choice of kernel the extracted kernel and the base initramfs made of
 * stoker-init and the kernel's modules. Resolved once and shared until boot_forget.
 */
#ifndef STOKER_INSTANCE_BOOT_H
#define STOKER_INSTANCE_BOOT_H

#include <stdbool.h>

#include "base/error.h"
#include "model/settings.h"

struct boot;

struct boot_files {
	const char *kernel_path; /* borrowed from the struct boot */
	const char *initramfs_path;
	bool has_verity; /* the guest checks its image by itself; only where `verity` is set */
};

struct boot *boot_new(const struct settings *settings);
struct boot *boot_free(struct boot *boot);

/* `kernel` is "auto" or a path. */
int boot_find(struct boot *boot, const char *kernel, struct boot_files *ret, struct error *err);

/* Forgets what was resolved: the next VM sees an upgraded kernel. Running VMs keep theirs. */
void boot_forget(struct boot *boot);

#endif
