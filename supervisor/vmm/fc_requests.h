/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked of Firecracker's API, as values: the requests that boot a VM, in an order that it
 * takes, and those that change a running one. Bodies are those of its OpenAPI description
 * (src/firecracker/swagger/firecracker.yaml of Firecracker).
 */
#ifndef STOKER_VMM_FC_REQUESTS_H
#define STOKER_VMM_FC_REQUESTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/strv.h"
#include "vmm/fc_release.h"
#include "vmm/vmm.h"

/* Names in Firecracker's working directory, which is the root of its jail. Disks lie there under
 * their serials. */
#define FC_SOCKET  "run/firecracker.socket"
#define FC_KERNEL  "kernel"
#define FC_INITRD  "initrd"
#define FC_CONSOLE "console" /* FIFO: serial console, messages */
#define FC_METRICS "metrics" /* FIFO */
#define FC_VSOCK   "v.sock"

struct api_request {
	const char *method;
	char *path; /* owned */
	char *body; /* owned; JSON */
	bool opens_tap;
};

struct api_requests {
	struct api_request *items; /* owned */
	size_t count;
};

/* From a process that has just started to a running guest. */
void fc_requests_boot(const struct vmm_config *config, const struct fc_release *release,
		      struct api_requests *ret);

/* Of a running VM with these writable disks. */
void fc_requests_limit(const struct vmm_limits *limits, const struct strv *disks,
		       struct api_requests *ret);

void fc_requests_reset(struct api_requests *requests);

#endif
