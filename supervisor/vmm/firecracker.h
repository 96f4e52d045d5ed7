/* SPDX-License-Identifier: Apache-2.0 */
/* What a test needs of the Firecracker driver beside vmm_firecracker itself. */
#ifndef STOKER_VMM_FIRECRACKER_H
#define STOKER_VMM_FIRECRACKER_H

#include <stdbool.h>

#include "loop/child.h"
#include "vmm/vmm.h"

/* All that is known at the end of a process. */
struct fc_end {
	struct child_exit ended;
	bool was_started;      /* InstanceStart had succeeded */
	bool was_killed;       /* by the driver, as it was told to */
	enum reason panic;     /* as console_panic() has it */
	const char *failure;   /* why the driver gave up a start itself; NULL: it did not */
	const char *last_line; /* of the console */
};

void firecracker_classify(const struct fc_end *end, struct vmm_exit *ret);

#endif
