/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of the processor, the kernel and memory, for host.c. What is asked for follows
 * Firecracker's production host setup; the files are those of sysfs and procfs, see
 * Documentation/ABI/testing/sysfs-devices-system-cpu and proc(5).
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/strv.h"
#include "host/checks.h"

/* As VMs get it: the verdict of this boot's first probe, or that of a probe made now, which is kept
 * for them. */
void check_kvm(const struct host *host, struct findings *found)
{
	_cleanup_free_ char *device = xasprintf("%s/dev/kvm", host->root);

	if (access(device, F_OK) < 0) {
		find(found, GRADE_WARN,
		     "modprobe kvm_intel or kvm_amd; enable virtualisation in the firmware",
		     "absent: no /dev/kvm, VMs are emulated (tcg), many times slower");
		return;
	}
	switch (host->probe_kvm(host->settings)) {
	case KVM_HARDWARE:
		find_ok(found, "hardware: VMs run on the processor (kvm)");
		break;
	case KVM_EMULATED:
		find(found, GRADE_WARN, "use a host with hardware virtualisation",
		     "emulated: slower than none, VMs are emulated by QEMU (tcg)");
		break;
	case KVM_UNUSABLE:
		find(found, GRADE_WARN, "use a host with hardware virtualisation",
		     "unusable: /dev/kvm opens but runs no guest, VMs are emulated (tcg)");
		break;
	case KVM_ABSENT:
		find(found, GRADE_WARN, "run this as root, as stokerd does",
		     "unknown: /dev/kvm is there, but not for this user");
		break;
	}
}

void check_smt(const struct host *host, struct findings *found)
{
	_cleanup_strbuf_ struct strbuf control = { 0 };

	if (host_read(host, "/sys/devices/system/cpu/smt/control", &control) < 0)
		find(found, GRADE_WARN, "disable it in the firmware, or boot with nosmt",
		     "unknown: this kernel does not say");
	else if (strcmp(strbuf_text(&control), "on") == 0)
		find(found, GRADE_WARN,
		     "echo off > /sys/devices/system/cpu/smt/control, or boot with nosmt",
		     "on: two tenants may share a core, and what it leaks");
	else
		find_ok(found, "%s", strbuf_text(&control));
}

void check_ksm(const struct host *host, struct findings *found)
{
	_cleanup_strbuf_ struct strbuf run = { 0 }, shared = { 0 };

	host_read(host, "/sys/kernel/mm/ksm/pages_shared", &shared);
	if (host_read(host, "/sys/kernel/mm/ksm/run", &run) < 0)
		find_ok(found, "not in this kernel");
	else if (strcmp(strbuf_text(&run), "1") == 0)
		find(found, GRADE_BAD, "echo 2 > /sys/kernel/mm/ksm/run; disable ksmtuned",
		     "on: merged pages tell a tenant what another one's memory holds");
	else if (strtoul(strbuf_text(&shared), NULL, 10) > 0)
		find(found, GRADE_WARN, "echo 2 > /sys/kernel/mm/ksm/run",
		     "off, but %s pages are still merged", strbuf_text(&shared));
	else
		find_ok(found, "off");
}

void check_swap(const struct host *host, struct findings *found)
{
	_cleanup_strbuf_ struct strbuf swaps = { 0 };
	const char *line;

	if (host_read(host, "/proc/swaps", &swaps) < 0) {
		find_ok(found, "not in this kernel");
		return;
	}
	line = strchr(strbuf_text(&swaps), '\n'); /* behind the heading */
	if (line && line[1])
		find(found, GRADE_WARN, "swapoff -a, and remove it from /etc/fstab",
		     "%.*s is in use: guests' memory may reach a disk",
		     (int)strcspn(line + 1, " \t\n"), line + 1);
	else
		find_ok(found, "none");
}

/* --- vulnerabilities -------------------------------------------------------------------------- */

static void cleanup_dir(DIR **directory)
{
	if (*directory)
		closedir(*directory);
}

/* "Vulnerable", also as a part ("KVM: Vulnerable"), has no mitigation; "SMT vulnerable" has one
 * that SMT undoes; "Unknown" is what a hypervisor did not tell. */
static void judge_vulnerability(const char *name, const char *text, struct findings *found)
{
	if (strstr(text, "Vulnerable"))
		find(found, GRADE_BAD, "update kernel and microcode; boot without mitigations=off",
		     "%s: %s", name, text);
	else if (strstr(text, "vulnerable"))
		find(found, GRADE_WARN, "boot with mitigations=auto,nosmt", "%s: %s", name, text);
	else if (strncmp(text, "Not affected", 12) != 0 && !strstr(text, "Mitigation"))
		find(found, GRADE_WARN, "see the kernel's admin-guide/hw-vuln", "%s: %s", name,
		     text);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void check_vulnerabilities(const struct host *host, struct findings *found)
{
	static const char place[] = "/sys/devices/system/cpu/vulnerabilities";
	_cleanup_free_ char *real = xasprintf("%s%s", host->root, place);
	CLEANUP(cleanup_dir) DIR *directory = opendir(real);
	_cleanup_strv_ struct strv names = { 0 };
	size_t findings = found->count;
	const struct dirent *entry;

	while (directory && (entry = readdir(directory)))
		if (entry->d_name[0] != '.')
			strv_add(&names, entry->d_name);
	if (!names.count) {
		find(found, GRADE_WARN, "run a kernel of 4.15 or later, with sysfs mounted",
		     "unknown: %s is empty", place);
		return;
	}
	qsort(names.items, names.count, sizeof(*names.items), by_name);
	STRV_EACH (name, &names) {
		_cleanup_free_ char *path = xasprintf("%s/%s", place, name);
		_cleanup_strbuf_ struct strbuf text = { 0 };

		host_read(host, path, &text);
		judge_vulnerability(name, text.length ? text.data : "unreadable", found);
	}
	if (found->count == findings)
		find_ok(found, "%zu known, each mitigated or not in this processor", names.count);
}

/* --- the kernel ------------------------------------------------------------------------------- */

void check_kernel(const struct host *host, struct findings *found)
{
	_cleanup_strbuf_ struct strbuf release = { 0 };
	const char *version;

	host_read(host, "/proc/sys/kernel/osrelease", &release);
	version = strbuf_text(&release);
	if (!is_version_at_least(version, 5, 10))
		find(found, GRADE_BAD, "run a kernel of 5.10 or later",
		     "'%s' is older than the guard needs", version);
	else if (!is_version_at_least(version, 6, 2))
		find(found, GRADE_WARN, "run a kernel of 6.6 or later",
		     "%s: the guard reads packets by address and attaches by clsact", version);
	else if (!is_version_at_least(version, 6, 6))
		find(found, GRADE_WARN, "run a kernel of 6.6 or later",
		     "%s: the guard attaches by clsact, which others can replace", version);
	else
		find_ok(found, "%s: the guard attaches by TCX", version);
}

void check_cgroup(const struct host *host, struct findings *found)
{
	static const char *const wanted[] = { "cpu", "memory", "pids", "io" };
	_cleanup_strbuf_ struct strbuf controllers = { 0 };
	_cleanup_strbuf_ struct strbuf missing = { 0 };

	if (host_read(host, "/sys/fs/cgroup/cgroup.controllers", &controllers) < 0) {
		find(found, GRADE_WARN, "boot with systemd.unified_cgroup_hierarchy=1",
		     "no unified hierarchy (version 2) at /sys/fs/cgroup: VMs run without limits");
		return;
	}
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		if (!has_word(strbuf_text(&controllers), wanted[i]))
			strbuf_printf(&missing, " %s", wanted[i]);
	if (missing.length)
		find(found, GRADE_WARN,
		     "boot without cgroup_disable= and without version 1 hierarchies",
		     "version 2 without:%s", strbuf_text(&missing));
	else if (strcmp(host->settings->cgroup_parent, "none") == 0)
		find(found, GRADE_WARN, "remove parent = none from [cgroup]",
		     "not used: VMs run without limits of memory, processor and threads");
	else
		find_ok(found, "version 2 with cpu, memory, pids, io");
}

/* --- entropy, time, memory -------------------------------------------------------------------- */

void check_entropy(const struct host *host, struct findings *found)
{
	_cleanup_strbuf_ struct strbuf bits = { 0 };

	/* Since 5.18 this is 256 once the generator is seeded, and less only before. */
	host_read(host, "/proc/sys/kernel/random/entropy_avail", &bits);
	if (strtoul(strbuf_text(&bits), NULL, 10) < 128)
		find(found, GRADE_WARN, "add a hardware source (virtio-rng, rngd)",
		     "'%s' bits: guests are seeded from here", strbuf_text(&bits));
	else
		find_ok(found, "%s bits", strbuf_text(&bits));
}

void check_clocksource(const struct host *host, struct findings *found)
{
	static const char *const fast[] = { "tsc", "kvm-clock", "arch_sys_counter",
					    "hyperv_clocksource_tsc_page", "xen" };
	_cleanup_strbuf_ struct strbuf source = { 0 };

	host_read(host, "/sys/devices/system/clocksource/clocksource0/current_clocksource",
		  &source);
	for (size_t i = 0; i < sizeof(fast) / sizeof(fast[0]); i++)
		if (strcmp(strbuf_text(&source), fast[i]) == 0) {
			find_ok(found, "%s", fast[i]);
			return;
		}
	find(found, GRADE_WARN, "dmesg | grep -i clocksource says why",
	     "'%s': each reading of the time is slow, also that of a VM monitor",
	     strbuf_text(&source));
}

void check_clock(const struct host *host, struct findings *found)
{
	if (host->is_clock_synchronised)
		find_ok(found, "synchronised");
	else
		find(found, GRADE_WARN, "timedatectl set-ntp true, or install chrony",
		     "not synchronised: certificates of registries and dates of logs depend on it");
}

void check_hugepages(const struct host *host, struct findings *found)
{
	static const char key[] = "HugePages_Total:";
	_cleanup_strbuf_ struct strbuf meminfo = { 0 };
	const char *line;
	unsigned long reserved;

	host_read(host, "/proc/meminfo", &meminfo);
	line = strstr(strbuf_text(&meminfo), key);
	reserved = line ? strtoul(line + sizeof(key) - 1, NULL, 10) : 0;
	if (reserved)
		find(found, GRADE_WARN, "sysctl vm.nr_hugepages=0, unless others need them",
		     "%lu reserved: VMs do not use them", reserved);
	else
		find_ok(found, "none reserved, VMs use none");
}
