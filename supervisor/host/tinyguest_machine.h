/* SPDX-License-Identifier: Apache-2.0 */
/* What the tiny guest's processor adds: its code, its registers, how it ends. For tinyguest.c. */
#ifndef STOKER_HOST_TINYGUEST_MACHINE_H
#define STOKER_HOST_TINYGUEST_MACHINE_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "host/tinyguest.h"

#if !defined(__x86_64__) && !defined(__aarch64__)
#error "stoker runs on x86_64 and aarch64"
#endif

enum { TINYGUEST_MEMORY_BYTES = 0x10000 }; /* at the guest's address 0 */

/* For KVM_CREATE_VM. */
unsigned long tinyguest_vm_type(int kvm_fd);

/* Before the memory is the guest's, and before it has a vCPU: -1 when KVM refused. */
int tinyguest_prepare(int vm_fd, uint8_t *memory);

/* -1 when KVM refused. */
int tinyguest_set_registers(int vm_fd, int vcpu_fd);

/* Whether the guest came to its end, when KVM_RUN returned. */
bool tinyguest_is_over(const struct kvm_run *run);

/* How many instructions of it were emulated, where KVM tells. */
void tinyguest_count(int vcpu_fd, struct tinyguest_result *ret);

#endif
