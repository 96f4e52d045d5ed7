/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One vCPU, 64 KiB of memory: 10,000 turns of an empty loop, then a last instruction that hands
 * over to the host. Run by the child of probe.c. What differs from processor to processor is in
 * tinyguest_x86_64.c and tinyguest_aarch64.c; ioctls as in Documentation/virt/kvm/api.rst of Linux.
 */
#include "host/tinyguest.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "host/tinyguest_machine.h"

enum { WATCHDOG_MS = 200 };

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
	ret->halted = result == 0 && tinyguest_is_over(run);
	return 0;
}

static int add_memory(int vm_fd, uint8_t *memory)
{
	struct kvm_userspace_memory_region region = {
		.memory_size = TINYGUEST_MEMORY_BYTES,
		.userspace_addr = (uintptr_t)memory,
	};

	return ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, &region);
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
	vm_fd = ioctl(kvm_fd, KVM_CREATE_VM, tinyguest_vm_type(kvm_fd));
	if (vm_fd < 0 || tinyguest_prepare(vm_fd, memory) || add_memory(vm_fd, memory))
		return -1;
	vcpu_fd = ioctl(vm_fd, KVM_CREATE_VCPU, 0);
	if (vcpu_fd < 0 || tinyguest_set_registers(vm_fd, vcpu_fd))
		return -1;
	run = mmap(NULL, (size_t)run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_fd, 0);
	if (run == MAP_FAILED)
		return -1;
	result = run_vcpu(vcpu_fd, run, ret);
	tinyguest_count(vcpu_fd, ret);
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
	memory = mmap(NULL, TINYGUEST_MEMORY_BYTES, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return -1;
	result = run_on(kvm_fd, memory, ret);
	munmap(memory, TINYGUEST_MEMORY_BYTES);
	return result;
}
