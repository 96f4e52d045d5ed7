/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checks of a host by name: `require` of stoker.ini names them, stokerctl doctor prints them,
 * and host/ carries them out.
 */
#ifndef STOKER_MODEL_CHECK_H
#define STOKER_MODEL_CHECK_H

#include <stdint.h>

/* In the order in which they are carried out and printed. */
enum check {
	CHECK_KVM,
	CHECK_SMT,
	CHECK_KSM,
	CHECK_SWAP,
	CHECK_VULNERABILITIES,
	CHECK_KERNEL,
	CHECK_CGROUP,
	CHECK_ENTROPY,
	CHECK_CLOCKSOURCE,
	CHECK_CLOCK,
	CHECK_HUGEPAGES,
	CHECK_BTF,
	CHECK_BPFFS,
	CHECK_UNPRIVILEGED_BPF,
	CHECK_TUN,
	CHECK_NFTABLES,
	CHECK_CONNTRACK,
	CHECK_FORWARDING,
	CHECK_GUEST_KERNEL,
	CHECK_QEMU,
	CHECK_FIRECRACKER,
	CHECK_JAILER,
	CHECK_JAIL,
	CHECK_LIBEXEC,
	CHECK_DIRECTORIES,
	CHECK_UIDS,
	CHECK_COUNT,
};

/* A set of them has the bit 1 << CHECK_x for each. */
#define CHECK_BIT(check) (UINT64_C(1) << (check))
#define CHECK_ALL	 (CHECK_BIT(CHECK_COUNT) - 1)

/* "unprivileged-bpf"; ended by NULL. */
extern const char *const check_names[CHECK_COUNT + 1];

#endif
