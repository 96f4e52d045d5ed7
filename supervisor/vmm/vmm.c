/* SPDX-License-Identifier: Apache-2.0 */
/* Which driver runs a VM: called by instance/ with the manifest's `vmm`. */
#include "vmm/vmm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int vmm_choose(const char *vmm, const struct settings *settings, const struct vmm_driver **ret,
	       char ret_why[VMM_WHY_MAX], struct error *err)
{
	/* "auto": QEMU runs with KVM and without, so it is an answer on every host. */
	if (strcmp(vmm, "auto") != 0 && strcmp(vmm, vmm_qemu.name) != 0)
		return error_set(err, "'%s' is no virtual machine monitor (auto or qemu)", vmm);
	if (access(settings->qemu_path, X_OK))
		return error_errno(err, errno,
				   "%s: cannot run it (install qemu-system-x86, or set "
				   "`qemu` in stoker.ini)",
				   settings->qemu_path);
	snprintf(ret_why, VMM_WHY_MAX, "%s", strcmp(vmm, "auto") ? "as the manifest says" : "auto");
	*ret = &vmm_qemu;
	return 0;
}
