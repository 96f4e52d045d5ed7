/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by vmm/ to choose a driver and an accelerator, and by check_kvm. KVM's capabilities prove
 * nothing: nested and paravirtualised KVMs pass every check and then emulate, or hang. So a guest
 * of a few bytes runs (Documentation/virt/kvm/api.rst of Linux), in a child, so that neither a hang
 * nor a crash of what KVM may be here can hurt the daemon.
 */
#include "host/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/strbuf.h"
#include "host/tinyguest.h"

enum {
	REPORT_FD = 3,
	CHILD_TIMEOUT_MS = 3000, /* two runs of the guest, with room for a loaded host */
	ATTEMPTS = 2,		 /* a guest that got no turn in time gets another chance */
	EMULATED_MIN = 1000,	 /* instructions; hardware emulates none of this loop */
	NATIVE_MAX_US = 3000,	 /* without statistics: 10,000 turns take hardware some 10 us */
};

static const char *const state_names[] = {
	[KVM_HARDWARE] = "hardware",
	[KVM_EMULATED] = "emulated",
	[KVM_UNUSABLE] = "unusable",
	[KVM_ABSENT] = "absent",
};

const char *kvm_state_name(enum kvm_state state)
{
	return state_names[state];
}

static enum kvm_state judge(const struct tinyguest_result *result)
{
	if (!result->halted)
		return KVM_UNUSABLE;
	if (result->has_statistics)
		return result->emulated_instructions > EMULATED_MIN ? KVM_EMULATED : KVM_HARDWARE;
	return result->run_us > NATIVE_MAX_US ? KVM_EMULATED : KVM_HARDWARE;
}

/* In the child: what it finds is one byte on the pipe; dying without it says enough. */
static void run_in_child(int report_fd)
{
	struct rlimit no_core = { 0, 0 };
	uint8_t verdict = KVM_UNUSABLE;

	/* The daemon's sockets and files must not outlive it in here. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(report_fd, REPORT_FD) < 0)
		_exit(1);
	syscall(SYS_close_range, REPORT_FD + 1, UINT_MAX, 0);
	setrlimit(RLIMIT_CORE, &no_core);
	for (int i = 0; i < ATTEMPTS && verdict == KVM_UNUSABLE; i++) {
		struct tinyguest_result result = { 0 };

		if (tinyguest_run(&result) == 0)
			verdict = (uint8_t)judge(&result);
	}
	_exit(write(REPORT_FD, &verdict, 1) == 1 ? 0 : 1);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static enum kvm_state read_verdict(int fd)
{
	uint64_t deadline = now_ms() + CHILD_TIMEOUT_MS;
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	uint8_t verdict;

	for (;;) {
		uint64_t now = now_ms();
		int n = poll(&poll_fd, 1, now < deadline ? (int)(deadline - now) : 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || read(fd, &verdict, 1) != 1 || verdict > KVM_UNUSABLE)
			return KVM_UNUSABLE;
		return (enum kvm_state)verdict;
	}
}

/* A child that the kernel holds in KVM_RUN may outlast SIGKILL: it is not waited for without end.
 */
static void reap(pid_t pid)
{
	kill(pid, SIGKILL);
	for (int i = 0; i < 100 && waitpid(pid, NULL, WNOHANG) == 0; i++)
		usleep(10000);
}

static enum kvm_state run_probe(void)
{
	_cleanup_close_ int read_end = -1;
	enum kvm_state state;
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		return KVM_UNUSABLE;
	read_end = ends[0];
	pid = fork();
	if (pid == 0)
		run_in_child(ends[1]);
	close(ends[1]);
	if (pid < 0)
		return KVM_UNUSABLE;
	state = read_verdict(read_end);
	reap(pid);
	return state;
}

/* --- the cache: "BOOT-ID STATE\n" ------------------------------------------------------------ */

static bool find_cached(const char *path, const char *boot_id, enum kvm_state *ret)
{
	_cleanup_strbuf_ struct strbuf text = { 0 };

	if (fs_read(path, 256, &text, NULL))
		return false;
	for (size_t state = KVM_HARDWARE; state <= KVM_UNUSABLE; state++) {
		_cleanup_free_ char *line = xasprintf("%s %s\n", boot_id, state_names[state]);

		if (strcmp(strbuf_text(&text), line) == 0) {
			*ret = (enum kvm_state)state;
			return true;
		}
	}
	return false;
}

static char *read_boot_id(void)
{
	_cleanup_strbuf_ struct strbuf text = { 0 };

	if (fs_read("/proc/sys/kernel/random/boot_id", 64, &text, NULL))
		return NULL;
	return xstrndup(strbuf_text(&text), strcspn(strbuf_text(&text), "\n"));
}

enum kvm_state kvm_probe(const struct settings *settings)
{
	_cleanup_free_ char *cache_path = xasprintf("%s/kvm-state", settings->run_dir);
	_cleanup_free_ char *boot_id = NULL;
	_cleanup_free_ char *line = NULL;
	enum kvm_state state;

	/* Absence is not cached: the module may be loaded later in this boot. */
	if (access("/dev/kvm", R_OK | W_OK))
		return KVM_ABSENT;
	boot_id = read_boot_id();
	if (boot_id && find_cached(cache_path, boot_id, &state))
		return state;
	state = run_probe();
	if (boot_id) {
		line = xasprintf("%s %s\n", boot_id, state_names[state]);
		fs_write_atomic(cache_path, line, strlen(line), 0644, NULL);
	}
	return state;
}
