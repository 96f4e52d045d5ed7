/* SPDX-License-Identifier: Apache-2.0 */
/* The workload's world, made of what the initramfs holds: modules, mounts, network, files. */
#ifndef STOKER_GUEST_INIT_WORLD_H
#define STOKER_GUEST_INIT_WORLD_H

#include <stdbool.h>

#include "guest-init/config.h"
#include "guest-init/failure.h"
#include "guest-init/modules.h"
#include "guest-init/mounts.h"

struct world {
	struct config config;	/* the manifest's, with the image's beneath */
	struct modules modules; /* the late ones are still to be loaded */
	struct mounts mounts;
	bool ends_by_reset; /* the VMM ends with a reset, not with a power-off */
};

/* Of a zeroed world whose descriptors are -1; once, as PID 1 of a guest. -1: why; what was built
 * until then stays, as there is nobody else to use it. Where not even a report could be sent, it
 * ends PID 1, and so the guest. */
int world_build(struct world *world, struct failure *why);

#endif
