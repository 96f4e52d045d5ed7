/* SPDX-License-Identifier: Apache-2.0 */
/* One item of `volumes`, as schema.c's table fills it and volumes.c looks at it. */
#ifndef STOKER_CONFIG_VOLUMES_H
#define STOKER_CONFIG_VOLUMES_H

#include "config/manifest.h"

struct volume_draft {
	const struct node *name, *target; /* borrowed; NULL: not written */
	uint64_t size_bytes;
	bool read_only;
};

#endif
