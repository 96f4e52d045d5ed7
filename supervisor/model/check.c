/* SPDX-License-Identifier: Apache-2.0 */
#include "model/check.h"

#include <stddef.h>

_Static_assert(CHECK_COUNT < 64, "a set of checks is one word");

const char *const check_names[CHECK_COUNT + 1] = {
	[CHECK_KVM] = "kvm",
	[CHECK_SMT] = "smt",
	[CHECK_KSM] = "ksm",
	[CHECK_SWAP] = "swap",
	[CHECK_VULNERABILITIES] = "vulnerabilities",
	[CHECK_KERNEL] = "kernel",
	[CHECK_CGROUP] = "cgroup",
	[CHECK_ENTROPY] = "entropy",
	[CHECK_CLOCKSOURCE] = "clocksource",
	[CHECK_CLOCK] = "clock",
	[CHECK_HUGEPAGES] = "hugepages",
	[CHECK_BTF] = "btf",
	[CHECK_BPFFS] = "bpffs",
	[CHECK_UNPRIVILEGED_BPF] = "unprivileged-bpf",
	[CHECK_TUN] = "tun",
	[CHECK_NFTABLES] = "nftables",
	[CHECK_CONNTRACK] = "conntrack",
	[CHECK_FORWARDING] = "forwarding",
	[CHECK_GUEST_KERNEL] = "guest-kernel",
	[CHECK_QEMU] = "qemu",
	[CHECK_FIRECRACKER] = "firecracker",
	[CHECK_JAILER] = "jailer",
	[CHECK_JAIL] = "jail",
	[CHECK_LIBEXEC] = "libexec",
	[CHECK_DIRECTORIES] = "directories",
	[CHECK_UIDS] = "uids",
	[CHECK_COUNT] = NULL,
};
