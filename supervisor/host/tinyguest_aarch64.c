/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tiny guest as a processor of ARMv8-A begins, at EL1 without an MMU, ending by a store to
 * where no memory is. Registers as in Documentation/virt/kvm/api.rst, KVM_SET_ONE_REG.
 */
#ifdef __aarch64__

#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>

#include "host/tinyguest_machine.h"

enum { CODE_AT = 0x4000, NO_MEMORY_AT = 0x100000 };

static const uint32_t code[] = {
	0x5284e200, /* mov w0, #10000 */
	0x71000400, /* subs w0, w0, #1 */
	0x54ffffe1, /* b.ne -4 */
	0xd2a00201, /* mov x1, #0x100000 */
	0xb900003f, /* str wzr, [x1] */
};

#define PC (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(regs.pc))

/* How many bits a guest's physical addresses have: 40 unless said, which not every host can do. */
unsigned long tinyguest_vm_type(int kvm_fd)
{
	int bits = ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_ARM_VM_IPA_SIZE);

	return bits > 0 ? KVM_VM_TYPE_ARM_IPA_SIZE((unsigned long)bits) : 0;
}

int tinyguest_prepare(int vm_fd, uint8_t *memory)
{
	(void)vm_fd;
	memcpy(memory + CODE_AT, code, sizeof(code));
	return 0;
}

int tinyguest_set_registers(int vm_fd, int vcpu_fd)
{
	uint64_t pc = CODE_AT;
	struct kvm_one_reg one = { .id = PC, .addr = (uintptr_t)&pc };
	struct kvm_vcpu_init init;

	if (ioctl(vm_fd, KVM_ARM_PREFERRED_TARGET, &init) ||
	    ioctl(vcpu_fd, KVM_ARM_VCPU_INIT, &init))
		return -1;
	return ioctl(vcpu_fd, KVM_SET_ONE_REG, &one);
}

bool tinyguest_is_over(const struct kvm_run *run)
{
	return run->exit_reason == KVM_EXIT_MMIO && run->mmio.phys_addr == NO_MEMORY_AT;
}

/* There is no interpreter in this KVM: what runs at all, the processor runs. */
void tinyguest_count(int vcpu_fd, struct tinyguest_result *ret)
{
	(void)vcpu_fd;
	ret->has_statistics = true;
	ret->emulated_instructions = 0;
}

#endif
