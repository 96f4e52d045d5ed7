/* SPDX-License-Identifier: Apache-2.0 */
/* What a test needs of the QEMU driver beside vmm_qemu itself. */
#ifndef STOKER_VMM_QEMU_H
#define STOKER_VMM_QEMU_H

#include <stdbool.h>

#include "loop/child.h"
#include "vmm/qmp.h"
#include "vmm/vmm.h"

/* How a VM ended: QEMU's exit code is 0 for nearly everything, so its last words count more.
 * `killed` is whether the driver was told to. */
void qemu_classify(const struct qmp_record *said, const struct child_exit *ended, bool killed,
		   struct vmm_exit *ret);

#endif
