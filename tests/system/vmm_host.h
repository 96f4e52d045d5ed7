/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One guest of the QEMU driver as its owner sees it, for the tests that boot real ones: vmm_guest.c
 * is its PID 1, the channel carries its words. Speaks TAP.
 */
#ifndef STOKER_TESTS_VMM_HOST_H
#define STOKER_TESTS_VMM_HOST_H

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/strbuf.h"
#include "disk/disk.h"
#include "loop/loop.h"
#include "vmm/kernel.h"
#include "vmm/vmm.h"

enum { BOOT_TIMEOUT_MS = 60000, ANSWER_TIMEOUT_MS = 20000, END_TIMEOUT_MS = 30000, UID = 990001 };

static const uint8_t mac[6] = { 0x02, 0x53, 0, 0, 0, 1 };

/* What the tests share: made once. */
static struct {
	const char *directory;
	enum machine machine;
	struct settings settings;
	struct kernel kernel;
	char *initrd;
	struct loop *loop;
	struct vmm_limits limits; /* of the guests that are started */
	int tests, failures;
} host;

/* One VM as its owner sees it. */
struct guest {
	struct vmm *vmm;
	char *run_dir;
	int run_dir_fd, console_fd, channel_fd;
	int channels; /* times that one was delivered */
	struct watch *readable;
	struct strbuf heard;
	int refusals;
	struct error refusal; /* the last one */
	int gone;
	struct vmm_exit exit;
	uint64_t gone_ms;
};

static bool ok(bool good, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool ok(bool good, const char *format, ...)
{
	va_list args;

	printf("%sok %d - ", good ? "" : "not ", ++host.tests);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
	host.failures += !good;
	return good;
}

static void die(const char *what, const struct error *err)
{
	printf("Bail out! %s: %s\n", what, err ? err->text : strerror(errno));
	exit(1);
}

/* --- the initramfs: "newc" -------------------------------------------------------------------- */

static void cpio_add(struct strbuf *out, const char *name, unsigned mode, const void *bytes,
		     size_t length)
{
	static const char zeros[4];
	static unsigned inode = 1;

	strbuf_printf(out, "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x", inode++,
		      mode, 0, 0, 1, 0, length, 0, 0, 0, 0, strlen(name) + 1, 0);
	strbuf_add(out, name, strlen(name) + 1);
	strbuf_add(out, zeros, -out->length & 3);
	strbuf_add(out, bytes, length);
	strbuf_add(out, zeros, -out->length & 3);
}

static void cpio_add_file(struct strbuf *out, const char *name, unsigned mode, const char *path)
{
	_cleanup_strbuf_ struct strbuf content = { 0 };
	struct error err = { 0 };

	if (fs_read(path, 16 << 20, &content, &err))
		die("initramfs", &err);
	cpio_add(out, name, S_IFREG | mode, content.data, content.length);
}

static void make_initrd(const char *init)
{
	_cleanup_strbuf_ struct strbuf out = { 0 };
	struct error err = { 0 };
	int number = 10;

	cpio_add(&out, "modules", S_IFDIR | 0755, "", 0);
	cpio_add_file(&out, "init", 0755, init);
	STRV_EACH (path, &host.kernel.modules) {
		_cleanup_free_ char *name = xasprintf("modules/%d.ko", number++);

		cpio_add_file(&out, name, 0644, path);
	}
	cpio_add(&out, "TRAILER!!!", 0, "", 0);
	host.initrd = xasprintf("%s/initrd", host.directory);
	if (fs_write_atomic(host.initrd, out.data, out.length, 0644, &err))
		die("initramfs", &err);
}

/* --- a guest ---------------------------------------------------------------------------------- */

static void on_heard(struct watch *watch, unsigned events, void *data)
{
	struct guest *guest = data;
	char bytes[4096];
	ssize_t n = read(guest->channel_fd, bytes, sizeof(bytes));

	(void)events;
	if (n > 0)
		strbuf_add(&guest->heard, bytes, (size_t)n);
	else if (n == 0)
		watch_set_events(watch, 0);
	loop_stop(host.loop);
}

static void on_channel(void *data, int fd)
{
	struct guest *guest = data;

	guest->channels++;
	guest->channel_fd = fd;
	guest->readable = loop_io(host.loop, fd, LOOP_READ, on_heard, guest);
}

static void on_gone(void *data, const struct vmm_exit *ended)
{
	struct guest *guest = data;

	guest->gone++;
	guest->exit = *ended;
	guest->gone_ms = loop_now_ms();
	guest->vmm = vmm_qemu.free(guest->vmm);
	loop_stop(host.loop);
}

static void on_refused(void *data, enum vmm_wish wish, const struct error *why)
{
	struct guest *guest = data;

	(void)wish;
	guest->refusals++;
	guest->refusal = *why;
	loop_stop(host.loop);
}

static const struct vmm_callbacks callbacks = { .channel = on_channel,
						.gone = on_gone,
						.refused = on_refused };

static void on_tick(struct watch *watch, unsigned events, void *data)
{
	(void)watch;
	(void)events;
	(void)data;
	loop_stop(host.loop);
}

/* Runs the loop until the guest has said `text`, or has gone, or the time is over. */
static bool hear(struct guest *guest, const char *text, uint64_t timeout_ms)
{
	uint64_t deadline = loop_now_ms() + timeout_ms;

	while (loop_now_ms() < deadline && !guest->gone) {
		struct watch *tick;

		if (text && strstr(strbuf_text(&guest->heard), text))
			return true;
		tick = loop_timer(host.loop, 200, on_tick, NULL);
		loop_run(host.loop);
		watch_free(tick);
	}
	return text && strstr(strbuf_text(&guest->heard), text);
}

static bool ends(struct guest *guest)
{
	hear(guest, NULL, END_TIMEOUT_MS);
	return guest->gone == 1;
}

static void tell(struct guest *guest, const char *text)
{
	strbuf_reset(&guest->heard);
	if (write(guest->channel_fd, text, strlen(text)) < 0)
		die("channel", NULL);
}

static int open_tap(void)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "tap%%d");
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request))
		die("tap", NULL);
	return fd;
}

static int open_file(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		die(path, NULL);
	return fd;
}

static void open_run_dir(struct guest *guest, const char *name)
{
	*guest = (struct guest){ .channel_fd = -1 };
	guest->run_dir = xasprintf("%s/%s", host.directory, name);
	mkdir(guest->run_dir, 0700);
	guest->run_dir_fd = open_file(guest->run_dir, O_RDONLY | O_DIRECTORY);
	guest->console_fd = openat(guest->run_dir_fd, "console.log",
				   O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int start_with(struct guest *guest, const char *name, const char *kernel, uid_t uid,
		      struct error *err)
{
	static const struct disk_options options = {
		.size_bytes = 64 << 20, .uuid = { 1, 2, 3 }, .now = 1700000000, .owner = UID
	};
	_cleanup_free_ char *disk = NULL;
	_cleanup_close_ int kernel_fd = open_file(kernel, O_RDONLY);
	_cleanup_close_ int initrd_fd = open_file(host.initrd, O_RDONLY);
	_cleanup_close_ int base_fd = open_file(host.initrd, O_RDONLY);
	_cleanup_close_ int tap_fd = open_tap();
	_cleanup_close_ int upper_fd = -1;
	struct vmm_config config;

	open_run_dir(guest, name);
	disk = xasprintf("%s/upper", guest->run_dir);
	unlink(disk);
	if (disk_create(disk, &options, &upper_fd, err))
		return -1;
	config = (struct vmm_config){
		.name = name,
		.run_dir_fd = guest->run_dir_fd,
		.run_dir = guest->run_dir,
		.uid = uid,
		.cpus = 1,
		.memory_bytes = 256 << 20,
		.machine = host.machine,
		.kernel_fd = kernel_fd,
		.initrd_fd = initrd_fd,
		.disks = { { .serial = "base", .fd = base_fd, .read_only = true },
			   { .serial = "upper", .fd = upper_fd, .is_ephemeral = true } },
		.disk_count = 2,
		.tap_fd = tap_fd,
		.limits = host.limits,
		.console_fd = guest->console_fd,
	};
	memcpy(config.mac, mac, sizeof(mac));
	return vmm_qemu.start(host.loop, &host.settings, &config, &callbacks, guest, &guest->vmm,
			      err);
}

static void start(struct guest *guest, const char *name)
{
	struct error err = { 0 };

	if (start_with(guest, name, host.kernel.path, UID, &err))
		die(name, &err);
}

static bool boot(struct guest *guest, const char *name)
{
	uint64_t begin = loop_now_ms();
	bool heard;

	start(guest, name);
	heard = hear(guest, "hello", BOOT_TIMEOUT_MS);
	printf("# %s: start to the guest's first word: %llu ms\n", name,
	       (unsigned long long)(loop_now_ms() - begin));
	if (!heard) {
		_cleanup_strbuf_ struct strbuf console = { 0 };
		_cleanup_free_ char *path = xasprintf("%s/console.log", guest->run_dir);

		fs_read(path, 1 << 20, &console, NULL);
		printf("# gone %d: %s\n# console: %s\n", guest->gone, guest->exit.detail,
		       strbuf_text(&console));
	}
	return heard;
}

/* One that should have ended by now is ended. */
static void release(struct guest *guest)
{
	if (guest->vmm)
		vmm_qemu.kill(guest->vmm);
	watch_free(guest->readable);
	if (guest->channel_fd >= 0)
		close(guest->channel_fd);
	vmm_qemu.free(guest->vmm);
	strbuf_reset(&guest->heard);
	close(guest->run_dir_fd);
	close(guest->console_fd);
	free(guest->run_dir);
}

/* As a daemon that dies leaves it: it runs on. */
static void let_go(struct guest *guest)
{
	guest->vmm = vmm_qemu.free(guest->vmm);
	release(guest);
}

static int adopt_as(struct guest *guest, const char *name, pid_t pid, uint64_t start_time,
		    struct error *err)
{
	const struct vmm_config config = {
		.name = name,
		.run_dir_fd = guest->run_dir_fd,
		.run_dir = guest->run_dir,
		.console_fd = guest->console_fd,
	};

	return vmm_qemu.adopt(host.loop, &host.settings, &config, pid, start_time, &callbacks,
			      guest, &guest->vmm, err);
}

/* --- the program ------------------------------------------------------------------------------ */

/* argv: a directory of its own, and the guest's init; "aarch64" and the root directory that holds
 * its kernel, for guests of that machine. */
static void host_open(int argc, char **argv)
{
	_cleanup_free_ char *cache = NULL;
	_cleanup_free_ char *boot_dir = NULL;
	_cleanup_free_ char *modules_dir = NULL;
	struct error err = { 0 };

	if (argc != 3 && (argc != 5 || strcmp(argv[3], "aarch64") != 0))
		exit(2);
	host.machine = argc == 5 ? MACHINE_AARCH64 : MACHINE_X86_64;
	boot_dir = xasprintf("%s/boot", argc == 5 ? argv[4] : "");
	modules_dir = xasprintf("%s/lib/modules", argc == 5 ? argv[4] : "");
	signal(SIGPIPE, SIG_IGN);
	host.directory = argv[1];
	host.settings.run_dir = argv[1];
	host.settings.qemu_path = (char *)(argc == 5 ? "/usr/bin/qemu-system-aarch64"
						     : "/usr/bin/qemu-system-x86_64");
	cache = xasprintf("%s/kernels", argv[1]);
	if (kernel_resolve("auto", host.machine, cache, boot_dir, modules_dir, &host.kernel, &err))
		die("kernel", &err);
	printf("# kernel %s\n", host.kernel.version);
	make_initrd(argv[2]);
	host.loop = loop_new(&err);
	if (!host.loop)
		die("loop", &err);
}

static int host_close(void)
{
	printf("1..%d\n", host.tests);
	loop_free(host.loop);
	kernel_reset(&host.kernel);
	free(host.initrd);
	return host.failures != 0;
}

#endif
