/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of QEMU and the descriptors that it names. For qemu.c. */
#ifndef STOKER_VMM_QEMU_ARGS_H
#define STOKER_VMM_QEMU_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/strv.h"
#include "loop/child.h"
#include "vmm/vmm.h"

enum { QEMU_FDS_MAX = VMM_DISKS_MAX + 10 };

/* What the driver adds to what the instance hands over; borrowed. */
struct qemu_parts {
	const char *program; /* real path, of a QEMU for the VM's machine */
	bool kvm;
	int qmp_fd;	/* listening */
	int channel_fd; /* listening */
	int console_fd; /* for writing */
};

struct qemu_args {
	struct strv argv;
	struct child_fd fds[QEMU_FDS_MAX];
	size_t fd_count;
};

void qemu_args_build(const struct vmm_config *config, const struct qemu_parts *parts,
		     struct qemu_args *ret);
void qemu_args_reset(struct qemu_args *args);

#endif
