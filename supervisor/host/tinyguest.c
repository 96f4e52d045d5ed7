/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One vCPU, 64 KiB of memory: 10,000 turns of an empty loop in long mode, then HLT. Run by the
 * child of probe.c. Control registers and segments as in the Intel SDM, volume 3A, 9.8.5
 * "Initializing IA-32e Mode"; ioctls and statistics as in Documentation/virt/kvm/api.rst of Linux.
 */
#include "host/tinyguest.h"

#include <stddef.h>

#ifdef __x86_64__

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"

enum {
	WATCHDOG_MS = 200,

	MEMORY_BYTES = 0x10000,
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

/* For the signal handler: the timer may fire just before KVM_RUN is entered. */
static struct kvm_run *volatile current_run;

static void on_alarm(int number)
{
	(void)number;
	if (current_run)
		current_run->immediate_exit = 1;
}

static void arm_watchdog(unsigned after_ms)
{
	struct itimerval timer = { .it_value = { .tv_sec = after_ms / 1000,
						 .tv_usec = after_ms % 1000 * 1000 } };
	struct sigaction action = { .sa_handler = on_alarm }; /* without SA_RESTART */
	sigset_t alarm_only;

	sigaction(SIGALRM, &action, NULL);
	sigemptyset(&alarm_only);
	sigaddset(&alarm_only, SIGALRM);
	sigprocmask(SIG_UNBLOCK, &alarm_only, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

static void put_entry(uint8_t *memory, size_t table, uint64_t entry)
{
	memcpy(memory + table, &entry, sizeof(entry));
}

static int make_memory(int vm_fd, uint8_t *memory)
{
	struct kvm_userspace_memory_region region = {
		.memory_size = MEMORY_BYTES,
		.userspace_addr = (uintptr_t)memory,
	};

	put_entry(memory, PML4_AT, PDPT_AT | PAGE_PRESENT | PAGE_WRITABLE);
	put_entry(memory, PDPT_AT, PD_AT | PAGE_PRESENT | PAGE_WRITABLE);
	put_entry(memory, PD_AT, PAGE_PRESENT | PAGE_WRITABLE | PAGE_LARGE);
	memcpy(memory + CODE_AT, code, sizeof(code));
	if (ioctl(vm_fd, KVM_SET_TSS_ADDR, TSS_AT))
		return -1;
	return ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
}

static int set_registers(int vcpu_fd)
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

static uint64_t monotonic_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int run_vcpu(int vcpu_fd, struct kvm_run *run, struct tinyguest_result *ret)
{
	uint64_t begin = monotonic_us();
	int result;

	current_run = run;
	arm_watchdog(WATCHDOG_MS);
	result = ioctl(vcpu_fd, KVM_RUN, 0);
	arm_watchdog(0);
	current_run = NULL;
	ret->run_us = monotonic_us() - begin;
	ret->halted = result == 0 && run->exit_reason == KVM_EXIT_HLT;
	return 0;
}

/* "Binary statistics": header, then descriptors of one size, each with its name behind it. */
static void read_statistics(int vcpu_fd, struct tinyguest_result *ret)
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

static int run_on(int kvm_fd, uint8_t *memory, struct tinyguest_result *ret)
{
	_cleanup_close_ int vm_fd = -1;
	_cleanup_close_ int vcpu_fd = -1;
	int run_bytes = ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	struct kvm_run *run;
	int result;

	if (ioctl(kvm_fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION ||
	    run_bytes < (int)sizeof(*run))
		return -1;
	vm_fd = ioctl(kvm_fd, KVM_CREATE_VM, 0);
	if (vm_fd < 0 || make_memory(vm_fd, memory))
		return -1;
	vcpu_fd = ioctl(vm_fd, KVM_CREATE_VCPU, 0);
	if (vcpu_fd < 0 || set_registers(vcpu_fd))
		return -1;
	run = mmap(NULL, (size_t)run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_fd, 0);
	if (run == MAP_FAILED)
		return -1;
	result = run_vcpu(vcpu_fd, run, ret);
	read_statistics(vcpu_fd, ret);
	munmap(run, (size_t)run_bytes);
	return result;
}

int tinyguest_run(struct tinyguest_result *ret)
{
	_cleanup_close_ int kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	uint8_t *memory;
	int result;

	if (kvm_fd < 0)
		return -1;
	memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	if (memory == MAP_FAILED)
		return -1;
	result = run_on(kvm_fd, memory, ret);
	munmap(memory, MEMORY_BYTES);
	return result;
}

#else

int tinyguest_run(struct tinyguest_result *ret)
{
	(void)ret;
	return -1; /* no such guest for this architecture: the probe says unusable, which is safe */
}

#endif
