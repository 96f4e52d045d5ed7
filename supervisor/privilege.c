/* SPDX-License-Identifier: Apache-2.0 */
/* One row per capability that stays, with its reason; what has no row is gone (capabilities(7)). */
#include "privilege.h"

#include <errno.h>
#include <linux/capability.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
	unsigned capability;
	const char *reason;
} kept[] = {
	{ CAP_NET_ADMIN, "taps, routes, neighbours, nftables, attaching the guard" },
	{ CAP_BPF, "loading the guard and its maps" },
	{ CAP_PERFMON, "the guard reads kernel structures through BTF" },
	{ CAP_SYS_ADMIN, "mount namespaces of the VMMs; pinning in bpffs" },
	{ CAP_SYS_CHROOT, "Firecracker's jailer" },
	{ CAP_MKNOD, "device nodes in a jail" },
	{ CAP_SYS_RESOURCE, "resource limits of VMMs and workers above our own" },
	{ CAP_SETUID, "each VM and worker runs under a uid of its own" },
	{ CAP_SETGID, "likewise" },
	{ CAP_SETPCAP, "emptying the bounding set of VMMs and workers" },
	{ CAP_CHOWN, "giving disks and sockets to a VM's uid" },
	{ CAP_FOWNER, "publishing images that a worker wrote" },
	{ CAP_DAC_OVERRIDE, "cleaning up directories of those uids" },
	{ CAP_KILL, "ending VMMs and workers of those uids" },
	{ CAP_SYS_PTRACE, "looking at processes of those uids in /proc, to adopt them" },
};

static uint64_t kept_mask(void)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++)
		mask |= UINT64_C(1) << kept[i].capability;
	return mask;
}

static int drop_bounding(uint64_t mask, struct error *err)
{
	for (unsigned capability = 0; capability < 64; capability++) {
		int is_set = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);

		if (is_set < 0)
			return 0; /* beyond the last one that this kernel knows */
		if (!is_set || (mask & (UINT64_C(1) << capability)))
			continue;
		if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
			return error_errno(err, errno, "cannot drop capability %u", capability);
	}
	return 0;
}

int privilege_drop(struct error *err)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];
	uint64_t mask = kept_mask();

	if (geteuid() != 0)
		return error_set(err, "must be started by root (for taps, BPF and uids of VMs)");
	if (drop_bounding(mask, err) < 0)
		return -1;
	if (syscall(SYS_capget, &header, data) < 0)
		return error_errno(err, errno, "capget");
	for (int i = 0; i < 2; i++) {
		uint32_t half = (uint32_t)(mask >> (32 * i));

		data[i].permitted &= half;
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &header, data) < 0)
		return error_errno(err, errno, "capset");
	return 0;
}
