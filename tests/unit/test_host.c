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

#define CPU    "/sys/devices/system/cpu"
#define HOLES  CPU "/vulnerabilities"
#define QEMU   "/usr/bin/qemu-system-x86_64"
#define FC     "/usr/bin/firecracker"
#define JAILER "/usr/bin/jailer"

static char root[64];
static struct settings settings;
static struct host host;
static enum kvm_state kvm_state;

static enum kvm_state probe_kvm(const struct settings *of)
{
	assert_ptr_equal(of, &settings);
	return kvm_state;
}

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

static void set_path(char **field, const char *path)
{
	free(*field);
	*field = xstrdup(path);
}

/* A host on which nothing is to be said. */
static void put_good_host(void)
{
	put("/dev/kvm", "");
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
	put("/dev/net/tun", "");
	put_mode("/usr/sbin/nft", "", 0755);
	put("/proc/sys/net/netfilter/nf_conntrack_max", "1000\n");
	put("/proc/sys/net/ipv4/conf/all/forwarding", "1\n");
	put("/proc/sys/net/ipv6/conf/all/forwarding", "0\n");
	put("/lib/modules/6.1.0-9-cloud-amd64/modules.dep", "");
	put("/boot/vmlinuz-6.1.0-9-cloud-amd64", "");
	put_mode(QEMU, "#!/bin/sh\necho QEMU emulator version 8.2.1 '(Debian)'\n", 0755);
	put_mode(FC, "#!/bin/sh\necho Firecracker v1.16.1; echo; echo it ends\n", 0755);
	put_mode(JAILER, "#!/bin/sh\necho Jailer v1.16.1\n", 0755);
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
	set_path(&settings.libexec_dir, "/usr/local/lib/stoker");
	host = (struct host){ root, &settings, geteuid(), true, probe_kvm };
	kvm_state = KVM_HARDWARE;
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

	host_examine(&host, CHECK_ALL, &found);
	assert_true(found.count >= CHECK_COUNT);
	for (size_t i = 0; i < found.count; i++) {
		const struct finding *finding = &found.items[i];

		assert_true((finding->grade == GRADE_OK) == !finding->remedy);
		if (finding->remedy)
			strbuf_printf(&text, "%s %s: %s [%s]\n", words[finding->grade],
				      check_names[finding->check], finding->fact, finding->remedy);
	}
	findings_reset(&found);
	assert_string_equal(strbuf_text(&text), expected);
}

/* The one finding of a check begins like this. */
static void expect_fact(const char *name, enum grade grade, const char *start)
{
	struct findings found = { 0 };
	size_t seen = 0;

	host_examine(&host, CHECK_ALL, &found);
	for (size_t i = 0; i < found.count; i++) {
		if (strcmp(check_names[found.items[i].check], name) != 0)
			continue;
		assert_int_equal(found.items[i].grade, grade);
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
	expect_fact("kvm", GRADE_OK, "hardware");
	expect_fact("qemu", GRADE_OK, QEMU ": version 8.2.1");
	expect_fact("guest-kernel", GRADE_OK, "/boot/vmlinuz-6.1.0-9-cloud-amd64");
	expect_fact("forwarding", GRADE_OK, "IPv4 on, IPv6 off,");
	expect_fact("uids", GRADE_OK, "900000 to 965535 are free");
}

static void test_kvm(void **state)
{
	(void)state;
	kvm_state = KVM_EMULATED;
	expect("warn kvm: emulated: slower than none, VMs are emulated by QEMU (tcg) "
	       "[use a host with hardware virtualisation]\n");
	kvm_state = KVM_UNUSABLE;
	expect("warn kvm: unusable: /dev/kvm opens but runs no guest, VMs are emulated (tcg) "
	       "[use a host with hardware virtualisation]\n");
	kvm_state = KVM_ABSENT;
	expect("warn kvm: unknown: /dev/kvm is there, but not for this user "
	       "[run this as root, as stokerd does]\n");
	drop("/dev/kvm");
	expect("warn kvm: absent: no /dev/kvm, VMs are emulated (tcg), many times slower "
	       "[modprobe kvm_intel or kvm_amd; enable virtualisation in the firmware]\n");
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

static void test_merged_pages(void **state)
{
	(void)state;
	put("/sys/kernel/mm/ksm/pages_shared", "0\n");
	expect("");
	put("/sys/kernel/mm/ksm/pages_shared", "17\n");
	expect("warn ksm: off, but 17 pages are still merged [echo 2 > /sys/kernel/mm/ksm/run]\n");
	drop("/sys/kernel/mm/ksm");
	expect_fact("ksm", GRADE_OK, "not in this kernel");
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
	expect_fact("vulnerabilities", GRADE_WARN, "unknown");
}

static void test_kernel(void **state)
{
	static const struct {
		const char *release;
		enum grade grade;
	} cases[] = {
		{ "5.9.16", GRADE_BAD },   { "5.10.0-30-amd64", GRADE_WARN },
		{ "6.1.0-9", GRADE_WARN }, { "6.2.0", GRADE_WARN },
		{ "6.5.13", GRADE_WARN },  { "6.6.0-rc1", GRADE_OK },
		{ "10.0.1", GRADE_OK },	   { "none", GRADE_BAD },
		{ "4.19.0-x", GRADE_BAD },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		put("/proc/sys/kernel/osrelease", cases[i].release);
		expect_fact("kernel", cases[i].grade, "");
	}
	set_path(&settings.cgroup_parent, "none");
	put("/proc/sys/kernel/osrelease", "6.12.9");
	expect("warn cgroup: not used: VMs run without limits of memory, processor and threads "
	       "[remove parent = none from [cgroup]]\n");
	put("/sys/fs/cgroup/cgroup.controllers", "cpuset io memory\n");
	expect_fact("cgroup", GRADE_WARN, "version 2 without: cpu pids");
	drop("/sys/fs/cgroup");
	expect_fact("cgroup", GRADE_WARN, "no unified hierarchy");
}

static void test_network(void **state)
{
	(void)state;
	drop("/sys/kernel/btf");
	expect_fact("btf", GRADE_BAD, "no /sys/kernel/btf/vmlinux");
	put("/proc/self/mounts", "bpf /sys/fs/bpfother bpf rw 0 0\nsysfs /sys sysfs rw 0 0\n");
	expect_fact("bpffs", GRADE_BAD, "/sys/fs/bpf/stoker lies on sysfs");
	put("/proc/sys/kernel/unprivileged_bpf_disabled", "0\n");
	expect_fact("unprivileged-bpf", GRADE_BAD, "allowed");
	set_mode("/usr/sbin/nft", 0757);
	expect_fact("nftables", GRADE_BAD, "/usr/sbin/nft can be written by everyone (mode 0757)");
	drop("/usr/sbin/nft");
	expect_fact("nftables", GRADE_WARN, "no nft program");
	drop("/dev/net/tun");
	expect_fact("tun", GRADE_BAD, "no /dev/net/tun: no VM can have a network interface");
	drop("/proc/sys/net/netfilter");
	expect_fact("conntrack", GRADE_WARN, "not there");
	put("/lib/modules/6.12.9-amd64/modules.dep", "kernel/net/netfilter/nf_conntrack.ko.xz:\n");
	expect_fact("conntrack", GRADE_OK, "loaded when it is needed");
	drop("/proc/sys/net/ipv6");
	expect_fact("forwarding", GRADE_OK, "IPv4 on, IPv6 not in this kernel,");
}

static void test_uplinks(void **state)
{
	(void)state;
	put("/proc/net/route",
	    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
	    "eth1\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
	    "eth0\t00000000\t0102000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n");
	put("/proc/net/ipv6_route",
	    "20010db8000000000000000000000000 40 00000000000000000000000000000000 00 "
	    "00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth1\n"
	    "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
	    "fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0\n"
	    "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
	    "00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n");
	put("/proc/sys/net/ipv4/conf/eth0/forwarding", "0\n");
	put("/proc/sys/net/ipv4/conf/eth1/forwarding", "0\n");
	put("/proc/sys/net/ipv6/conf/eth0/force_forwarding", "1\n");
	expect_fact("forwarding", GRADE_WARN, "eth0 does not forward IPv4:");
	put("/proc/sys/net/ipv4/conf/eth0/forwarding", "1\n");
	expect_fact("forwarding", GRADE_OK, "IPv4 on, IPv6 off,");
	put("/proc/sys/net/ipv6/conf/eth0/force_forwarding", "0\n");
	expect_fact("forwarding", GRADE_WARN, "eth0 does not forward IPv6:");
	put("/proc/sys/net/ipv6/conf/all/forwarding", "1\n");
	expect_fact("forwarding", GRADE_OK, "IPv4 on, IPv6 on,");
}

static void test_guest_kernel(void **state)
{
	(void)state;
	put("/lib/modules/6.1.0-10-cloud-amd64/modules.dep", "");
	put("/boot/vmlinuz-6.1.0-10-cloud-amd64", "");
	put("/lib/modules/6.9.0/modules.dep", "");
	put("/lib/modules/6.9.0/vmlinuz", "");
	put("/boot/vmlinuz-7.0.0-cloud-amd64", "");
	expect_fact("guest-kernel", GRADE_OK, "/boot/vmlinuz-6.1.0-10-cloud-amd64");
	set_mode("/boot", 0775);
	expect_fact("guest-kernel", GRADE_BAD, "/boot can be written by its group (mode 0775)");
	drop("/boot");
	expect_fact("guest-kernel", GRADE_OK, "/lib/modules/6.9.0/vmlinuz");
	drop("/lib/modules");
	expect_fact("guest-kernel", GRADE_BAD, "no /boot/vmlinuz-*");
	set_path(&settings.default_kernel, "/srv/vmlinux");
	expect_fact("guest-kernel", GRADE_BAD, "/srv/vmlinux: No such file or directory");
	put("/srv/vmlinux", "");
	expect_fact("guest-kernel", GRADE_OK, "/srv/vmlinux");
}

static void test_qemu(void **state)
{
	(void)state;
	put_mode(QEMU, "#!/bin/sh\necho QEMU emulator version 6.2.0\n", 0755);
	expect_fact("qemu", GRADE_WARN, QEMU ": version 6.2.0, older");
	put_mode(QEMU, "#!/bin/sh\necho hello\n", 0755);
	expect_fact("qemu", GRADE_BAD, QEMU " --version does not say");
	put_mode(QEMU, "#!/bin/sh\ncat /dev/zero\n", 0755);
	expect_fact("qemu", GRADE_BAD, QEMU " --version does not say");
	drop(QEMU);
	expect_fact("qemu", GRADE_BAD, QEMU ": No such file or directory");
}

static void test_firecracker(void **state)
{
	(void)state;
	expect_fact("firecracker", GRADE_OK, FC ": version 1.16.1");
	expect_fact("jailer", GRADE_OK, JAILER ": version 1.16.1");
	put_mode(FC, "#!/bin/sh\necho Firecracker v1.7.0\n", 0755);
	expect("bad firecracker: /usr/bin/firecracker: version 1.7.0 is too old "
	       "[install Firecracker 1.8 or later]\n"
	       "warn jailer: /usr/bin/jailer: version 1.16.1, but Firecracker is version 1.7.0 "
	       "[install both from one release of Firecracker]\n");
	put_mode(FC, "#!/bin/sh\necho Firecracker vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv\n", 0755);
	put_mode(JAILER, "#!/bin/sh\nexit 1\n", 0755);
	expect("bad firecracker: /usr/bin/firecracker --version does not say a version of "
	       "Firecracker [set firecracker in [vm] to a firecracker program]\n"
	       "bad jailer: /usr/bin/jailer --version does not say a version of the jailer "
	       "[set jailer in [vm] to a jailer program]\n");
	put_mode("/opt/firecracker/fc", "#!/bin/sh\necho Firecracker v1.16.1\n", 0755);
	set_path(&settings.firecracker_path, "/opt/firecracker/fc");
	expect_fact("firecracker", GRADE_BAD,
		    "/opt/firecracker/fc: the jailer wants 'firecracker' in the name of the file");
	set_path(&settings.firecracker_path, FC);
	drop(JAILER);
	expect_fact("jailer", GRADE_BAD, JAILER " is not there");
	drop(FC);
	expect("warn firecracker: /usr/bin/firecracker is not there: no VM can run under "
	       "Firecracker [install a release of Firecracker, or set firecracker in [vm]]\n"
	       "warn jailer: /usr/bin/jailer is not there: no VM can run under Firecracker in a "
	       "jail [install the jailer of Firecracker's release, or set jailer in [vm]]\n");
	set_path(&settings.default_vmm, "firecracker");
	expect_fact("firecracker", GRADE_BAD, FC " is not there");
	expect_fact("jailer", GRADE_BAD, JAILER " is not there");
}

/* The jailer's check asks Firecracker for its version, but not one that others may change. */
static void test_distrusted_firecracker(void **state)
{
	_cleanup_free_ char *marker = xasprintf("%s/ran", root);
	_cleanup_free_ char *script = xasprintf("#!/bin/sh\n: > %s\n", marker);

	(void)state;
	put_mode(FC, script, 0775);
	expect("bad firecracker: /usr/bin/firecracker can be written by its group (mode 0775) "
	       "[chmod go-w /usr/bin/firecracker]\n");
	assert_int_equal(access(marker, F_OK), -1);
	put_mode(JAILER, script, 0757);
	expect_fact("jailer", GRADE_BAD, JAILER " can be written by everyone (mode 0757)");
	assert_int_equal(access(marker, F_OK), -1);
}

static void test_jail(void **state)
{
	(void)state;
	settings.jail = false;
	drop(JAILER);
	expect("bad jail: no: a guest that breaks out of Firecracker sees the host's files "
	       "[remove jail = no from [vm]]\n");
	expect_fact("jailer", GRADE_OK, "not used");
}

static void test_some_checks(void **state)
{
	struct findings found = { 0 };

	(void)state;
	host_examine(&host, CHECK_BIT(CHECK_UIDS) | CHECK_BIT(CHECK_SMT), &found);
	assert_int_equal(found.count, 2);
	assert_int_equal(found.items[0].check, CHECK_SMT);
	assert_int_equal(found.items[1].check, CHECK_UIDS);
	findings_reset(&found);
	host_examine(&host, 0, &found);
	assert_int_equal(found.count, 0);
	findings_reset(&found);
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
	set_path(&settings.qemu_path, "/usr/bin/q");
	expect("bad qemu: /opt/open can be written by everyone (mode 1777) "
	       "[chmod go-w /opt/open]\n");
	assert_int_equal(access(marker, F_OK), -1); /* what is not trusted is not run */
	set_path(&settings.qemu_path, "/usr/bin/loop");
	expect_fact("qemu", GRADE_BAD, "/usr/bin/loop: Too many levels of symbolic links");
	host.trusted_uid = geteuid() + 1;
	expect_fact("guest-kernel", GRADE_BAD, "/boot belongs to user ");
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
		TEST(test_merged_pages),
		TEST(test_vulnerabilities),
		TEST(test_kernel),
		TEST(test_network),
		TEST(test_uplinks),
		TEST(test_guest_kernel),
		TEST(test_qemu),
		TEST(test_firecracker),
		TEST(test_distrusted_firecracker),
		TEST(test_jail),
		TEST(test_some_checks),
		TEST(test_trust),
		TEST(test_programs_and_directories),
		TEST(test_uids),
	};

	return cmocka_run_group_tests_name("host", tests, NULL, NULL);
}
