/* SPDX-License-Identifier: Apache-2.0 */
/* Which driver runs a VM: called by instance/ with the manifest's `vmm`, or a record's driver. */
#include "vmm/vmm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/probe.h"
#include "vmm/fc_release.h"

static int check_qemu(const struct settings *settings, struct error *err)
{
	if (access(settings->qemu_path, X_OK))
		return error_errno(err, errno,
				   "%s: cannot run it (install " SETTINGS_QEMU_PACKAGE
				   ", or set `qemu` in stoker.ini)",
				   settings->qemu_path);
	return 0;
}

static int check_firecracker(const struct settings *settings, struct error *err)
{
	enum kvm_state state = kvm_probe(settings);
	struct fc_release release;

	if (fc_release_read(settings->firecracker_path, &release, err) < 0)
		return -1;
	if (settings->jail && access(settings->jailer_path, X_OK))
		return error_errno(err, errno,
				   "%s: cannot run it (install Firecracker's jailer, or set "
				   "`jailer` in stoker.ini)",
				   settings->jailer_path);
	if (state == KVM_UNUSABLE || state == KVM_ABSENT)
		return error_set(err,
				 "Firecracker needs KVM, which is %s here (vmm: qemu does without; "
				 "see stokerctl doctor)",
				 kvm_state_name(state));
	return 0;
}

/* Firecracker where it is installed and the processor runs its guests. QEMU runs with KVM and
 * without, so it is an answer on every host. */
static int choose(const struct settings *settings, const struct vmm_driver **ret,
		  char ret_why[VMM_WHY_MAX], struct error *err)
{
	enum kvm_state state = kvm_probe(settings);

	if (access(settings->firecracker_path, X_OK)) {
		snprintf(ret_why, VMM_WHY_MAX, "auto: Firecracker is not installed");
	} else if (state != KVM_HARDWARE) {
		snprintf(ret_why, VMM_WHY_MAX, "auto: KVM is %s", kvm_state_name(state));
	} else if (check_firecracker(settings, err) < 0) {
		/* Installed, so it is meant: another VMM in its place would hide what is wrong. */
		return error_wrap(err, "vmm: auto");
	} else {
		snprintf(ret_why, VMM_WHY_MAX, "auto: Firecracker is installed and KVM is usable");
		*ret = &vmm_firecracker;
		return 0;
	}
	*ret = &vmm_qemu;
	return check_qemu(settings, err);
}

int vmm_choose(const char *vmm, const struct settings *settings, const struct vmm_driver **ret,
	       char ret_why[VMM_WHY_MAX], struct error *err)
{
	const struct vmm_driver *driver = vmm_find(vmm);

	if (!driver && strcmp(vmm, "auto") == 0)
		return choose(settings, ret, ret_why, err);
	if (!driver)
		return error_set(
			err, "'%s' is no virtual machine monitor (auto, firecracker or qemu)", vmm);
	snprintf(ret_why, VMM_WHY_MAX, "the manifest or stoker.ini names it");
	*ret = driver;
	return driver == &vmm_qemu ? check_qemu(settings, err) : check_firecracker(settings, err);
}

const struct vmm_driver *vmm_find(const char *name)
{
	static const struct vmm_driver *const drivers[] = { &vmm_firecracker, &vmm_qemu };

	for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++)
		if (strcmp(drivers[i]->name, name) == 0)
			return drivers[i];
	return NULL;
}
