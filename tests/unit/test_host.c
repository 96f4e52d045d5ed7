/* SPDX-License-Identifier: Apache-2.0 */
/* host/: every verdict, on a host that is made of files in a directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "host/host.h"

#define CPU	"/sys/devices/system/cpu"
#define HOLES	CPU "/vulnerabilities"
#define QEMU	"/usr/bin/qemu-system-x86_64"
#define BOOT_ID "11111111-2222-3333-4444-555555555555"

static char root[64];
static struct settings settings;
static struct host host;

static void put_mode(const char *path, const char *text, mode_t mode)
{
	_cleanup_free_ char *real = xasprintf("%s%s", root, path), *copy = xstrdup(real);

	assert_int_equal(fs_mkdir_p(dirname(copy), 0755, NULL), 0);
	assert_int_equal(fs_write_atomic(real, text, strlen(text), mode, NULL), 0);
}

static void put(const char *path, const char *text)
{
	put_mode(path, text, 0644);
}

static void drop(const char *path)
{
	_cleanup_free_ char *real = xasprintf("%s%s", root, path);

	assert_int_equal(fs_remove_tree(real, NULL), 0);
}

static void set_mode(const char *path, mode_t mode)
{
	_cleanup_free_ char *real = xasprintf("%s%s", root, path);

	assert_int_equal(chmod(real, mode), 0);
}

/* A host on which nothing is to be said. */
static void put_good_host(void)
{
	put("/dev/kvm", "");
	put("/proc/sys/kernel/random/boot_id", BOOT_ID "\n");
	put("/run/stoker/kvm-state", BOOT_ID " hardware\n");
	put(CPU "/smt/control", "off\n");
	put("/sys/kernel/mm/ksm/run", "0\n");
	put("/proc/swaps", "Filename\tType\tSize\n");
	put(HOLES "/meltdown", "Not affected\n");
	put(HOLES "/spectre_v1", "Mitigation: usercopy/swapgs barriers\n");
	put("/proc/sys/kernel/osrelease", "6.12.9-amd64\n");
	put("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");
	put("/proc/sys/kernel/random/entropy_avail", "256\n");
	put("/sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n");
	put("/proc/meminfo", "MemTotal: 1 kB\nHugePages_Total:       0\n");
	put("/sys/kernel/btf/vmlinux", "");
	put("/proc/self/mounts", "sysfs /sys sysfs rw 0 0\nbpf /sys/fs/bpf bpf rw 0 0\n");
	put("/proc/sys/kernel/unprivileged_bpf_disabled", "2\n");
	put_mode("/usr/sbin/nft", "", 0755);
	put("/proc/sys/net/netfilter/nf_conntrack_max", "1000\n");
	put("/proc/sys/net/ipv4/conf/all/forwarding", "1\n");
	put("/proc/sys/net/ipv6/conf/all/forwarding", "0\n");
	put("/lib/modules/6.1.0-9-cloud-amd64/modules.dep", "");
	put("/boot/vmlinuz-6.1.0-9-cloud-amd64", "");
	put_mode(QEMU, "#!/bin/sh\necho QEMU emulator version 8.2.1 '(Debian)'\n", 0755);
	put_mode("/usr/local/lib/stoker/stoker-image", "", 0755);
	put_mode("/usr/local/lib/stoker/stoker-init", "", 0755);
	put("/etc/passwd", "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n");
	put("/etc/subuid", "user:100000:65536\n");
}

static int setup(void **state)
{
	(void)state;
	umask(022);
	strcpy(root, "/tmp/stoker-host-XXXXXX");
	assert_non_null(mkdtemp(root));
	settings_defaults(&settings);
	free(settings.libexec_dir);
	settings.libexec_dir = xstrdup("/usr/local/lib/stoker");
	host = (struct host){ root, &settings, geteuid(), true };
	put_good_host();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	settings_reset(&settings);
	return fs_remove_tree(root, NULL);
}

/* All that is not ok, as "VERDICT NAME: FACT [REMEDY]" lines. */
static void expect(const char *expected)
{
	static const char *const words[] = { "ok", "warn", "bad" };
	_cleanup_strbuf_ struct strbuf text = { 0 };
	struct findings found = { 0 };

	host_examine(&host, &found);
	assert_true(found.count >= 22);
	for (size_t i = 0; i < found.count; i++) {
		const struct finding *finding = &found.items[i];

		assert_true((finding->verdict == VERDICT_OK) == !finding->remedy);
		if (finding->remedy)
			strbuf_printf(&text, "%s %s: %s [%s]\n", words[finding->verdict],
				      finding->name, finding->fact, finding->remedy);
	}
	findings_reset(&found);
	assert_string_equal(strbuf_text(&text), expected);
}

/* The one finding of a check begins like this. */
static void expect_fact(const char *name, enum verdict verdict, const char *start)
{
	struct findings found = { 0 };
	size_t seen = 0;

	host_examine(&host, &found);
	for (size_t i = 0; i < found.count; i++) {
		if (strcmp(found.items[i].name, name) != 0)
			continue;
		assert_int_equal(found.items[i].verdict, verdict);
		found.items[i].fact[strnlen(found.items[i].fact, strlen(start))] = '\0';
		assert_string_equal(found.items[i].fact, start);
		seen++;
	}
	findings_reset(&found);
	assert_int_equal(seen, 1);
}

static void test_good(void **state)
{
	(void)state;
	expect("");
	expect_fact("kvm", VERDICT_OK, "hardware");
	expect_fact("qemu", VERDICT_OK, QEMU ": version 8.2.1");
	expect_fact("guest-kernel", VERDICT_OK, "/boot/vmlinuz-6.1.0-9-cloud-amd64");
	expect_fact("forwarding", VERDICT_OK, "IPv4 on, IPv6 off,");
	expect_fact("uids", VERDICT_OK, "900000 to 965535 are free");
}

static void test_kvm(void **state)
{
	(void)state;
	put("/run/stoker/kvm-state", BOOT_ID " emulated\n");
	expect_fact("kvm", VERDICT_WARN, "emulated");
	put("/run/stoker/kvm-state", BOOT_ID " unusable\n");
	expect_fact("kvm", VERDICT_WARN, "unusable");
	put("/run/stoker/kvm-state", BOOT_ID " wonderful\n");
	expect_fact("kvm", VERDICT_BAD, "the daemon's record");
	put("/run/stoker/kvm-state", BOOT_ID);
	expect_fact("kvm", VERDICT_WARN, "not probed yet");
	put("/run/stoker/kvm-state", "99999999-2222-3333-4444-555555555555 hardware\n");
	expect_fact("kvm", VERDICT_WARN, "not probed yet");
	drop("/run/stoker/kvm-state");
	expect_fact("kvm", VERDICT_WARN, "not probed yet");
	drop("/dev/kvm");
	expect_fact("kvm", VERDICT_WARN, "absent");
}

static void test_processor_and_memory(void **state)
{
	(void)state;
	put(CPU "/smt/control", "on\n");
	put("/sys/kernel/mm/ksm/run", "1\n");
	put("/proc/swaps", "Filename\tType\tSize\n/dev/sda2  partition 1\n");
	put("/proc/sys/kernel/random/entropy_avail", "12\n");
	put("/sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n");
	put("/proc/meminfo", "HugePages_Total:       8\n");
	host.is_clock_synchronised = false;
	expect("warn smt: on: two tenants may share a core, and what it leaks "
	       "[echo off > /sys/devices/system/cpu/smt/control, or boot with nosmt]\n"
	       "bad ksm: on: merged pages tell a tenant what another one's memory holds "
	       "[echo 2 > /sys/kernel/mm/ksm/run; disable ksmtuned]\n"
	       "warn swap: /dev/sda2 is in use: guests' memory may reach a disk "
	       "[swapoff -a, and remove it from /etc/fstab]\n"
	       "warn entropy: '12' bits: guests are seeded from here "
	       "[add a hardware source (virtio-rng, rngd)]\n"
	       "warn clocksource: 'hpet': each reading of the time is slow, also that of a VM "
	       "monitor [dmesg | grep -i clocksource says why]\n"
	       "warn clock: not synchronised: certificates of registries and dates of logs depend "
	       "on it [timedatectl set-ntp true, or install chrony]\n"
	       "warn hugepages: 8 reserved: VMs do not use them "
	       "[sysctl vm.nr_hugepages=0, unless others need them]\n");
}

static void test_vulnerabilities(void **state)
{
	static const char remedy[] = "[update kernel and microcode; boot without mitigations=off]";
	_cleanup_free_ char *expected =
		xasprintf("bad vulnerabilities: itlb: KVM: Vulnerable %s\n"
			  "bad vulnerabilities: l1tf: Vulnerable; SMT vulnerable %s\n"
			  "warn vulnerabilities: mds: Mitigation: Clear; SMT vulnerable "
			  "[boot with mitigations=auto,nosmt]\n"
			  "warn vulnerabilities: srbds: Unknown?[2J "
			  "[see the kernel's admin-guide/hw-vuln]\n",
			  remedy, remedy);

	(void)state;
	put(HOLES "/itlb", "KVM: Vulnerable\n");
	put(HOLES "/l1tf", "Vulnerable; SMT vulnerable\n");
	put(HOLES "/mds", "Mitigation: Clear; SMT vulnerable\n");
	put(HOLES "/srbds", "Unknown\033[2J\n");
	expect(expected);
	drop(HOLES);
	expect_fact("vulnerabilities", VERDICT_WARN, "unknown");
}

static void test_kernel(void **state)
{
	static const struct {
		const char *release;
		enum verdict verdict;
	} cases[] = {
		{ "5.9.16", VERDICT_BAD },   { "5.10.0-30-amd64", VERDICT_WARN },
		{ "6.1.0-9", VERDICT_WARN }, { "6.2.0", VERDICT_WARN },
		{ "6.5.13", VERDICT_WARN },  { "6.6.0-rc1", VERDICT_OK },
		{ "10.0.1", VERDICT_OK },    { "none", VERDICT_BAD },
		{ "4.19.0-x", VERDICT_BAD },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		put("/proc/sys/kernel/osrelease", cases[i].release);
		expect_fact("kernel", cases[i].verdict, "");
	}
	put("/sys/fs/cgroup/cgroup.controllers", "cpuset io memory\n");
	expect_fact("cgroup", VERDICT_WARN, "version 2 without: cpu pids");
	drop("/sys/fs/cgroup");
	expect_fact("cgroup", VERDICT_WARN, "no unified hierarchy");
}

static void test_network(void **state)
{
	(void)state;
	drop("/sys/kernel/btf");
	expect_fact("btf", VERDICT_BAD, "no /sys/kernel/btf/vmlinux");
	put("/proc/self/mounts", "bpf /sys/fs/bpfother bpf rw 0 0\nsysfs /sys sysfs rw 0 0\n");
	expect_fact("bpffs", VERDICT_BAD, "/sys/fs/bpf/stoker lies on sysfs");
	put("/proc/sys/kernel/unprivileged_bpf_disabled", "0\n");
	expect_fact("unprivileged-bpf", VERDICT_BAD, "allowed");
	set_mode("/usr/sbin/nft", 0757);
	expect_fact("nftables", VERDICT_BAD,
		    "/usr/sbin/nft can be written by everyone (mode 0757)");
	drop("/usr/sbin/nft");
	expect_fact("nftables", VERDICT_WARN, "no nft program");
	drop("/proc/sys/net/netfilter");
	expect_fact("conntrack", VERDICT_WARN, "not there");
	put("/lib/modules/6.12.9-amd64/modules.dep", "kernel/net/netfilter/nf_conntrack.ko.xz:\n");
	expect_fact("conntrack", VERDICT_OK, "loaded when it is needed");
	drop("/proc/sys/net/ipv6");
	expect_fact("forwarding", VERDICT_OK, "IPv4 on, IPv6 not in this kernel,");
}

static void test_guest_kernel(void **state)
{
	(void)state;
	put("/lib/modules/6.1.0-10-cloud-amd64/modules.dep", "");
	put("/boot/vmlinuz-6.1.0-10-cloud-amd64", "");
	put("/lib/modules/6.9.0/modules.dep", "");
	put("/lib/modules/6.9.0/vmlinuz", "");
	put("/boot/vmlinuz-7.0.0-cloud-amd64", "");
	expect_fact("guest-kernel", VERDICT_OK, "/boot/vmlinuz-6.1.0-10-cloud-amd64");
	set_mode("/boot", 0775);
	expect_fact("guest-kernel", VERDICT_BAD, "/boot can be written by its group (mode 0775)");
	drop("/boot");
	expect_fact("guest-kernel", VERDICT_OK, "/lib/modules/6.9.0/vmlinuz");
	drop("/lib/modules");
	expect_fact("guest-kernel", VERDICT_BAD, "no /boot/vmlinuz-*");
	free(settings.default_kernel);
	settings.default_kernel = xstrdup("/srv/vmlinux");
	expect_fact("guest-kernel", VERDICT_BAD, "/srv/vmlinux: No such file or directory");
	put("/srv/vmlinux", "");
	expect_fact("guest-kernel", VERDICT_OK, "/srv/vmlinux");
}

static void test_qemu(void **state)
{
	(void)state;
	put_mode(QEMU, "#!/bin/sh\necho QEMU emulator version 6.2.0\n", 0755);
	expect_fact("qemu", VERDICT_WARN, QEMU ": version 6.2.0, older");
	put_mode(QEMU, "#!/bin/sh\necho hello\n", 0755);
	expect_fact("qemu", VERDICT_BAD, QEMU " --version does not say");
	put_mode(QEMU, "#!/bin/sh\ncat /dev/zero\n", 0755);
	expect_fact("qemu", VERDICT_BAD, QEMU " --version does not say");
	drop(QEMU);
	expect_fact("qemu", VERDICT_BAD, QEMU ": No such file or directory");
}

static void test_trust(void **state)
{
	_cleanup_free_ char *link = xasprintf("%s/usr/bin/q", root);
	_cleanup_free_ char *loop = xasprintf("%s/usr/bin/loop", root);
	_cleanup_free_ char *marker = xasprintf("%s/ran", root);
	_cleanup_free_ char *script = xasprintf("#!/bin/sh\n: > %s\n", marker);

	(void)state;
	/* Through a link, out of a directory that looks good into one that does not. */
	put_mode("/opt/open/qemu", script, 0755);
	assert_int_equal(symlink("../.././opt/open/qemu", link), 0);
	assert_int_equal(symlink("/usr/bin/loop", loop), 0);
	set_mode("/opt/open", 01777);
	free(settings.qemu_path);
	settings.qemu_path = xstrdup("/usr/bin/q");
	expect("bad qemu: /opt/open can be written by everyone (mode 1777) "
	       "[chmod go-w /opt/open]\n");
	assert_int_equal(access(marker, F_OK), -1); /* what is not trusted is not run */
	free(settings.qemu_path);
	settings.qemu_path = xstrdup("/usr/bin/loop");
	expect_fact("qemu", VERDICT_BAD, "/usr/bin/loop: Too many levels of symbolic links");
	host.trusted_uid = geteuid() + 1;
	expect_fact("guest-kernel", VERDICT_BAD, "/boot belongs to user ");
}

static void test_programs_and_directories(void **state)
{
	(void)state;
	drop("/usr/local/lib/stoker/stoker-init");
	expect("bad libexec: /usr/local/lib/stoker/stoker-init: No such file or directory "
	       "[make install, or set libexec_dir in [paths]]\n");
	put_mode("/usr/local/lib/stoker/stoker-init", "", 0755);
	put("/var/lib/other", "");
	set_mode("/var/lib", 0777);
	expect("bad directories: /var/lib can be written by everyone (mode 0777) "
	       "[chmod go-w /var/lib]\n");
	set_mode("/var/lib", 0755);
	expect("");
}

static void test_uids(void **state)
{
	(void)state;
	put("/etc/passwd", "low:x:899999:1::/:\nhigh:x:965536:1::/:\nodd\nodd:x:y:z\n");
	put("/etc/subuid", "low:800000:100000\nhigh:965536:65536\n");
	expect("");
	put("/etc/passwd", "first:x:900000:1::/:\n");
	put("/etc/subuid", "around:100000:900000\n");
	expect("bad uids: /etc/passwd: 'first' has ids among 900000 to 965535, which VMs get "
	       "[set uid_base in [daemon] to a range that is free]\n"
	       "bad uids: /etc/subuid: 'around' has ids among 900000 to 965535, which VMs get "
	       "[set uid_base in [daemon] to a range that is free]\n");
	put("/etc/passwd", "last:x:965535:1::/:\n");
	put("/etc/subuid", "low:800000:100001\n");
	expect("bad uids: /etc/passwd: 'last' has ids among 900000 to 965535, which VMs get "
	       "[set uid_base in [daemon] to a range that is free]\n"
	       "bad uids: /etc/subuid: 'low' has ids among 900000 to 965535, which VMs get "
	       "[set uid_base in [daemon] to a range that is free]\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_good),
		TEST(test_kvm),
		TEST(test_processor_and_memory),
		TEST(test_vulnerabilities),
		TEST(test_kernel),
		TEST(test_network),
		TEST(test_guest_kernel),
		TEST(test_qemu),
		TEST(test_trust),
		TEST(test_programs_and_directories),
		TEST(test_uids),
	};

	return cmocka_run_group_tests_name("host", tests, NULL, NULL);
}
