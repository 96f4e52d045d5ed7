/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/qemu_args.c: what QEMU is told of disks and limits, and that descriptors and names agree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/alloc.h"
#include "vmm/qemu_args.h"

static const struct qemu_parts parts = {
	.program = "/usr/bin/qemu-system-x86_64", .qmp_fd = 90, .channel_fd = 91, .console_fd = 92
};

static struct vmm_config make_config(void)
{
	return (struct vmm_config){
		.name = "acme/web",
		.cpus = 2,
		.memory_bytes = 256 << 20,
		.kernel_fd = 80,
		.initrd_fd = 81,
		.disks = { { .serial = "base", .fd = 82, .read_only = true },
			   { .serial = "upper", .fd = 83, .is_ephemeral = true },
			   { .serial = "data", .fd = 84 } },
		.disk_count = 3,
		.tap_fd = -1,
	};
}

/* The number of the descriptor in QEMU. */
static int target_of(const struct qemu_args *args, int fd)
{
	for (size_t i = 0; i < args->fd_count; i++)
		if (args->fds[i].fd == fd && args->fds[i].target > 2)
			return args->fds[i].target;
	fail_msg("descriptor %d is not passed", fd);
	return -1;
}

/* How often the option is there with exactly this value. */
static int count(const struct qemu_args *args, const char *option, const char *value)
{
	int found = 0;

	for (size_t i = 0; i + 1 < args->argv.count; i++)
		found += strcmp(args->argv.items[i], option) == 0 &&
			 strcmp(args->argv.items[i + 1], value) == 0;
	return found;
}

static void has_disk(const struct qemu_args *args, int fd, const char *driver,
		     const char *read_only, const char *no_flush)
{
	int n = target_of(args, fd);
	_cleanup_free_ char *set = xasprintf("fd=%d,set=%d", n, n);
	_cleanup_free_ char *file =
		xasprintf("driver=file,node-name=file%d,filename=/dev/fdset/%d,read-only=%s,"
			  "auto-read-only=off,discard=unmap,cache.no-flush=%s",
			  n, n, read_only, no_flush);
	_cleanup_free_ char *node =
		xasprintf("driver=%s,node-name=disk%d,file=file%d,read-only=%s,discard=unmap",
			  driver, n, n, read_only);

	assert_int_equal(count(args, "-add-fd", set), 1);
	assert_int_equal(count(args, "-blockdev", file), 1);
	assert_int_equal(count(args, "-blockdev", node), 1);
}

/* Only writable disks are limited, and only what dies with the VM is not flushed. */
static void test_disks(void **state)
{
	struct vmm_config config = make_config();
	struct qemu_args args;

	(void)state;
	qemu_args_build(&config, &parts, &args);
	has_disk(&args, 82, "raw", "on", "off");
	has_disk(&args, 83, "throttle,throttle-group=limits", "off", "on");
	has_disk(&args, 84, "throttle,throttle-group=limits", "off", "off");
	qemu_args_reset(&args);
}

/* Both are there without a limit too, so that there may be one later. */
static void test_limits(void **state)
{
	struct vmm_config config = make_config();
	struct qemu_args args;

	(void)state;
	qemu_args_build(&config, &parts, &args);
	assert_int_equal(count(&args, "-object",
			       "{\"qom-type\":\"throttle-group\",\"id\":\"limits\",\"limits\":"
			       "{\"bps-total\":0,\"iops-total\":0}}"),
			 1);
	assert_int_equal(count(&args, "-device", "virtio-balloon-device,deflate-on-oom=on"), 1);
	qemu_args_reset(&args);
	config.limits = (struct vmm_limits){ .disk_bandwidth = UINT64_C(1) << 40, .disk_iops = 7 };
	qemu_args_build(&config, &parts, &args);
	assert_int_equal(count(&args, "-object",
			       "{\"qom-type\":\"throttle-group\",\"id\":\"limits\",\"limits\":"
			       "{\"bps-total\":1099511627776,\"iops-total\":7}}"),
			 1);
	qemu_args_reset(&args);
}

static void test_network(void **state)
{
	struct vmm_config config = make_config();
	_cleanup_free_ char *netdev = NULL;
	struct qemu_args args;

	(void)state;
	qemu_args_build(&config, &parts, &args);
	for (size_t i = 0; i < args.argv.count; i++)
		assert_string_not_equal(args.argv.items[i], "-netdev");
	qemu_args_reset(&args);
	config.tap_fd = 85;
	memcpy(config.mac, "\x06\x01\x02\x03\x04\xff", 6);
	qemu_args_build(&config, &parts, &args);
	netdev = xasprintf("tap,id=net0,fd=%d", target_of(&args, 85));
	assert_int_equal(count(&args, "-netdev", netdev), 1);
	assert_int_equal(
		count(&args, "-device", "virtio-net-device,netdev=net0,mac=06:01:02:03:04:ff"), 1);
	qemu_args_reset(&args);
}

static const char *value_of(const struct qemu_args *args, const char *option)
{
	for (size_t i = 0; i + 1 < args->argv.count; i++)
		if (strcmp(args->argv.items[i], option) == 0)
			return args->argv.items[i + 1];
	fail_msg("%s is not there", option);
	return NULL;
}

/* A processor's own machine, console and clock; and what a guest of it has to tell a panic by. */
static void test_machines(void **state)
{
	struct vmm_config config = make_config();
	struct qemu_parts kvm = parts;
	struct qemu_args args;

	(void)state;
	qemu_args_build(&config, &parts, &args);
	assert_ptr_equal(strstr(value_of(&args, "-M"), "microvm,"), value_of(&args, "-M"));
	assert_string_equal(value_of(&args, "-cpu"), "max,-erms,-fsrm");
	assert_non_null(strstr(value_of(&args, "-append"), "console=ttyS0 "));
	assert_non_null(strstr(value_of(&args, "-append"), " tsc_early_khz="));
	assert_int_equal(count(&args, "-device", "pvpanic"), 1);
	qemu_args_reset(&args);

	config.machine = MACHINE_AARCH64;
	qemu_args_build(&config, &parts, &args);
	assert_ptr_equal(strstr(value_of(&args, "-M"), "virt,"), value_of(&args, "-M"));
	assert_non_null(strstr(value_of(&args, "-append"), "console=ttyAMA0 "));
	assert_null(strstr(value_of(&args, "-append"), "tsc"));
	assert_int_equal(count(&args, "-device", "pvpanic"), 0);
	qemu_args_reset(&args);

	kvm.kvm = true;
	for (int machine = MACHINE_X86_64; machine <= MACHINE_AARCH64; machine++) {
		config.machine = (enum machine)machine;
		qemu_args_build(&config, &kvm, &args);
		assert_string_equal(value_of(&args, "-accel"), "kvm");
		assert_string_equal(value_of(&args, "-cpu"), "host");
		assert_null(strstr(value_of(&args, "-append"), "tsc"));
		qemu_args_reset(&args);
	}
}

/* Every descriptor has a number of its own, and all that can be passed fit. */
static void test_descriptors(void **state)
{
	struct vmm_config config = make_config();
	struct qemu_args args;

	(void)state;
	config.disk_count = VMM_DISKS_MAX;
	for (int i = 0; i < VMM_DISKS_MAX; i++)
		config.disks[i] = (struct vmm_disk){ .serial = "x", .fd = 100 + i };
	config.tap_fd = 85;
	qemu_args_build(&config, &parts, &args);
	assert_true(args.fd_count <= QEMU_FDS_MAX);
	for (size_t i = 0; i < args.fd_count; i++)
		for (size_t j = 0; j < i; j++)
			assert_int_not_equal(args.fds[i].target, args.fds[j].target);
	qemu_args_reset(&args);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_disks),	    cmocka_unit_test(test_limits),
		cmocka_unit_test(test_network),	    cmocka_unit_test(test_machines),
		cmocka_unit_test(test_descriptors),
	};

	return cmocka_run_group_tests_name("qemu args", tests, NULL, NULL);
}
