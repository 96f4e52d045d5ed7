/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by qemu.c. Everything that QEMU opens, it gets as a descriptor: in its jail there is
 * nothing to be found by name. Options as in qemu(1), docs/system/i386/microvm.rst and
 * docs/system/arm/virt.rst of QEMU.
 */
#include "vmm/qemu_args.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "vmm/qmp.h"
#include "vmm/tsc.h"

enum { FIRST_FD = 3 };

static void add(struct qemu_args *args, const char *option, char *value_taken)
{
	strv_add(&args->argv, option);
	strv_add_taken(&args->argv, value_taken);
}

/* Gives the process a descriptor; returns the number that it has there. */
static int pass(struct qemu_args *args, int fd)
{
	int target = FIRST_FD + (int)args->fd_count - 2; /* behind stdout and stderr */

	assert(args->fd_count < QEMU_FDS_MAX);
	args->fds[args->fd_count++] = (struct child_fd){ .fd = fd, .target = target };
	return target;
}

/* Passes it for something that opens a file by name; the name is /dev/fdset/N. */
static int pass_as_set(struct qemu_args *args, int fd)
{
	int target = pass(args, fd);

	add(args, "-add-fd", xasprintf("fd=%d,set=%d", target, target));
	return target;
}

/* What differs from processor to processor. */
struct platform {
	const char *machine;
	const char *tcg_cpu;
	const char *console; /* kernel arguments: where it is, what need not be probed for */
};

static const struct platform platforms[] = {
	[MACHINE_X86_64] = {
		/* Each switched-off device is an emulated one less to attack and some milliseconds
		 * of boot; rtc=off would add two seconds. acpi=on idles at a tenth of what acpi=off
		 * costs. */
		.machine = "microvm,acpi=on,pit=off,pic=off,rtc=on,x-option-roms=off,"
			   "auto-kernel-cmdline=off",
		/* TCG copies by "rep movsb" a byte at a time: kernels told that it is fast take
		 * twice as long. */
		.tcg_cpu = "max,-erms,-fsrm",
		.console = "console=ttyS0 8250.nr_uarts=1 i8042.noprobe=1 reboot=t",
	},
	[MACHINE_AARCH64] = {
		/* The nearest to a microvm: its devices are virtio's over MMIO, and its tables come
		 * as a device tree. */
		.machine = "virt,gic-version=max,its=off,acpi=off",
		/* The architecture's own pointer authentication is slow to emulate. */
		.tcg_cpu = "max,pauth-impdef=on",
		.console = "console=ttyAMA0",
	},
};

static void add_machine(const struct vmm_config *config, const struct qemu_parts *parts,
			struct qemu_args *args)
{
	const struct platform *platform = &platforms[config->machine];

	add(args, "-M", xstrdup(platform->machine));
	add(args, "-accel", xstrdup(parts->kvm ? "kvm" : "tcg,tb-size=32"));
	add(args, "-cpu", xstrdup(parts->kvm ? "host" : platform->tcg_cpu));
	add(args, "-m", xasprintf("%" PRIu64 "M", config->memory_bytes >> 20));
	add(args, "-smp", xasprintf("%" PRIu32, config->cpus));
	/* Devices of virtio 1.0 only, as a microvm has them anyway. */
	add(args, "-global", xstrdup("virtio-mmio.force-legacy=off"));
}

/* panic=-1: a panic ends the VM at once (after pvpanic has reported it). cryptomgr.notests: boot
 * time. */
static char *kernel_arguments(enum machine machine, bool kvm)
{
	char clock[64] = "";

	if (machine == MACHINE_X86_64 && !kvm)
		snprintf(clock, sizeof(clock), " tsc_early_khz=%" PRIu64 " tsc=reliable",
			 tsc_khz());
	return xasprintf("%s quiet panic=-1 cryptomgr.notests%s", platforms[machine].console,
			 clock);
}

static void add_kernel(const struct vmm_config *config, const struct qemu_parts *parts,
		       struct qemu_args *args)
{
	add(args, "-kernel", xasprintf("/proc/self/fd/%d", pass(args, config->kernel_fd)));
	add(args, "-initrd", xasprintf("/proc/self/fd/%d", pass(args, config->initrd_fd)));
	add(args, "-append", kernel_arguments(config->machine, parts->kvm));
}

/* One group for all writable disks, with limits or without: they are changed while the VM runs. */
static void add_disk_limits(const struct vmm_limits *limits, struct qemu_args *args)
{
	add(args, "-object",
	    xasprintf("{\"qom-type\":\"throttle-group\",\"id\":\"" QMP_DISK_LIMITS
		      "\",\"limits\":{\"bps-total\":%" PRIu64 ",\"iops-total\":%" PRIu64 "}}",
		      limits->disk_bandwidth, limits->disk_iops));
}

static void add_disk(const struct vmm_disk *disk, struct qemu_args *args)
{
	int set = pass_as_set(args, disk->fd);
	const char *read_only = disk->read_only ? "on" : "off";
	const char *format = disk->read_only ? "raw" : "throttle,throttle-group=" QMP_DISK_LIMITS;

	/* discard: what the guest frees becomes a hole in the sparse file again. no-flush: nobody
	 * reads what is in the file after the VM. */
	add(args, "-blockdev",
	    xasprintf("driver=file,node-name=file%d,filename=/dev/fdset/%d,read-only=%s,"
		      "auto-read-only=off,discard=unmap,cache.no-flush=%s",
		      set, set, read_only, disk->is_ephemeral ? "on" : "off"));
	add(args, "-blockdev",
	    xasprintf("driver=%s,node-name=disk%d,file=file%d,read-only=%s,discard=unmap", format,
		      set, set, read_only));
	add(args, "-device",
	    xasprintf("virtio-blk-device,drive=disk%d,serial=%s", set, disk->serial));
}

static void add_network(const struct vmm_config *config, struct qemu_args *args)
{
	const uint8_t *mac = config->mac;

	if (config->tap_fd < 0)
		return;
	add(args, "-netdev", xasprintf("tap,id=net0,fd=%d", pass(args, config->tap_fd)));
	add(args, "-device",
	    xasprintf("virtio-net-device,netdev=net0,mac=%02x:%02x:%02x:%02x:%02x:%02x", mac[0],
		      mac[1], mac[2], mac[3], mac[4], mac[5]));
}

/* QMP and channel listen, so that another daemon can connect when this one is gone. */
static void add_sockets(const struct qemu_parts *parts, struct qemu_args *args)
{
	add(args, "-device", xstrdup("virtio-serial-device"));
	add(args, "-chardev",
	    xasprintf("socket,id=channel,fd=%d,server=on,wait=off", pass(args, parts->channel_fd)));
	add(args, "-device", xstrdup("virtserialport,chardev=channel,name=stoker.0"));
	add(args, "-chardev",
	    xasprintf("socket,id=qmp,fd=%d,server=on,wait=off", pass(args, parts->qmp_fd)));
	add(args, "-mon", xstrdup("chardev=qmp,mode=control"));
}

static void add_console(const struct qemu_parts *parts, struct qemu_args *args)
{
	/* append: a FIFO cannot be truncated. */
	add(args, "-chardev",
	    xasprintf("file,id=console,path=/dev/fdset/%d,append=on",
		      pass_as_set(args, parts->console_fd)));
	add(args, "-serial", xstrdup("chardev:console"));
}

void qemu_args_build(const struct vmm_config *config, const struct qemu_parts *parts,
		     struct qemu_args *ret)
{
	*ret = (struct qemu_args){
		.fds = { { .fd = parts->console_fd, .target = 1 },
			 { .fd = parts->console_fd, .target = 2 } },
		.fd_count = 2,
	};
	strv_add(&ret->argv, parts->program);
	add(ret, "-name", xasprintf("guest=%s", config->name)); /* whose it is, for ps(1) */
	strv_add(&ret->argv, "-nodefaults");
	strv_add(&ret->argv, "-no-user-config");
	add(ret, "-display", xstrdup("none"));
	strv_add(&ret->argv, "-no-reboot");
	add(ret, "-sandbox",
	    xstrdup("on,obsolete=deny,elevateprivileges=deny,spawn=deny,"
		    "resourcecontrol=deny"));
	add_machine(config, parts, ret);
	add_kernel(config, parts, ret);
	add_disk_limits(&config->limits, ret);
	for (size_t i = 0; i < config->disk_count; i++)
		add_disk(&config->disks[i], ret);
	add_network(config, ret);
	add_sockets(parts, ret);
	add_console(parts, ret);
	add(ret, "-device", xstrdup("virtio-rng-device"));
	if (config->machine == MACHINE_X86_64)
		add(ret, "-device", xstrdup("pvpanic"));
	/* Always there: it may be wanted while the VM runs. */
	add(ret, "-device", xstrdup("virtio-balloon-device,deflate-on-oom=on"));
}

void qemu_args_reset(struct qemu_args *args)
{
	strv_reset(&args->argv);
}
