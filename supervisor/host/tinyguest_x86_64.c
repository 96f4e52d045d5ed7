/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tiny guest in long mode, ending by HLT. Control registers and segments as in the Intel SDM,
 * volume 3A, 9.8.5 "Initializing IA-32e Mode"; statistics as in Documentation/virt/kvm/api.rst.
 */
#ifdef __x86_64__

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "host/tinyguest_machine.h"

enum {
	PML4_AT = 0x1000, /* one entry each: the first 2 MiB, mapped to themselves */
	PDPT_AT = 0x2000,
	PD_AT = 0x3000,
	CODE_AT = 0x4000,

	PAGE_PRESENT = 1 << 0,
	PAGE_WRITABLE = 1 << 1,
	PAGE_LARGE = 1 << 7,
	CR0_PE = 1 << 0,
	CR0_ET = 1 << 4,
	CR4_PAE = 1 << 5,
	EFER_LME = 1 << 8,
	EFER_LMA = 1 << 10,

	STATISTICS_MAX = 1024,
};

#define CR0_PG (1ULL << 31)

/* Three pages that Intel processors without "unrestricted guest" need below 4 GiB. */
#define TSS_AT 0xfffbd000UL

static const uint8_t code[] = {
	0xb9, 0x10, 0x27, 0x00, 0x00, /* mov ecx, 10000 */
	0xff, 0xc9,		      /* dec ecx */
	0x75, 0xfc,		      /* jnz -4 */
	0xf4,			      /* hlt */
};

unsigned long tinyguest_vm_type(int kvm_fd)
{
	(void)kvm_fd;
	return 0;
}

bool tinyguest_is_over(const struct kvm_run *run)
{
	return run->exit_reason == KVM_EXIT_HLT;
}

static void put_entry(uint8_t *memory, size_t table, uint64_t entry)
{
	memcpy(memory + table, &entry, sizeof(entry));
}

int tinyguest_prepare(int vm_fd, uint8_t *memory)
{
	put_entry(memory, PML4_AT, PDPT_AT | PAGE_PRESENT | PAGE_WRITABLE);
	put_entry(memory, PDPT_AT, PD_AT | PAGE_PRESENT | PAGE_WRITABLE);
	put_entry(memory, PD_AT, PAGE_PRESENT | PAGE_WRITABLE | PAGE_LARGE);
	memcpy(memory + CODE_AT, code, sizeof(code));
	return ioctl(vm_fd, KVM_SET_TSS_ADDR, TSS_AT);
}

int tinyguest_set_registers(int vm_fd, int vcpu_fd)
{
	struct kvm_segment flat = { .limit = 0xffffffff,
				    .selector = 0x10,
				    .type = 3,
				    .present = 1,
				    .s = 1,
				    .db = 1,
				    .g = 1 };
	struct kvm_regs registers = { .rip = CODE_AT, .rflags = 2 };
	struct kvm_sregs special;

	(void)vm_fd;
	if (ioctl(vcpu_fd, KVM_GET_SREGS, &special))
		return -1;
	special.cr3 = PML4_AT;
	special.cr4 = CR4_PAE;
	special.cr0 = CR0_PE | CR0_ET | CR0_PG;
	special.efer = EFER_LME | EFER_LMA;
	special.ds = special.es = special.fs = special.gs = special.ss = flat;
	special.cs = flat;
	special.cs.selector = 0x08;
	special.cs.type = 11; /* code, execute and read, accessed */
	special.cs.db = 0;
	special.cs.l = 1;
	if (ioctl(vcpu_fd, KVM_SET_SREGS, &special))
		return -1;
	return ioctl(vcpu_fd, KVM_SET_REGS, &registers);
}

/* "Binary statistics": header, then descriptors of one size, each with its name behind it. */
void tinyguest_count(int vcpu_fd, struct tinyguest_result *ret)
{
	_cleanup_close_ int fd = ioctl(vcpu_fd, KVM_GET_STATS_FD, NULL);
	_cleanup_free_ struct kvm_stats_desc *desc = NULL;
	struct kvm_stats_header header;
	size_t desc_size;

	if (fd < 0 || pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
	    header.name_size > 256 || header.num_desc > STATISTICS_MAX)
		return;
	desc_size = sizeof(*desc) + header.name_size;
	desc = xcalloc(1, desc_size + 1);
	for (uint32_t i = 0; i < header.num_desc; i++) {
		off_t at = (off_t)(header.desc_offset + i * desc_size);
		uint64_t value;

		if (pread(fd, desc, desc_size, at) != (ssize_t)desc_size)
			return;
		if (strncmp(desc->name, "insn_emulation", header.name_size) != 0)
			continue;
		at = (off_t)header.data_offset + desc->offset;
		if (pread(fd, &value, sizeof(value), at) != (ssize_t)sizeof(value))
			return;
		ret->has_statistics = true;
		ret->emulated_instructions = value;
		return;
	}
}

#endif
