/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The QEMU driver against real guests: started by vmm-qemu.t with a directory of its own and the
 * guest's init, in a network namespace of its own. Speaks TAP.
 */
#include <dirent.h>
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
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/strbuf.h"
#include "disk/disk.h"
#include "loop/loop.h"
#include "vmm/console.h"
#include "vmm/kernel.h"
#include "vmm/vmm.h"

enum {
	FLOOD_BYTES = 16 << 10,
	BOOT_TIMEOUT_MS = 60000,
	ANSWER_TIMEOUT_MS = 20000,
	END_TIMEOUT_MS = 30000,
	UID = 990001
};

static const uint8_t mac[6] = { 0x02, 0x53, 0, 0, 0, 1 };

/* What the tests share: made once. */
static struct {
	const char *directory;
	struct settings settings;
	struct kernel kernel;
	char *initrd;
	struct loop *loop;
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

static const struct vmm_callbacks callbacks = { .channel = on_channel, .gone = on_gone };

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
		.kernel_fd = kernel_fd,
		.initrd_fd = initrd_fd,
		.disks = { { .serial = "base", .fd = base_fd, .read_only = true },
			   { .serial = "upper", .fd = upper_fd, .is_ephemeral = true } },
		.disk_count = 2,
		.tap_fd = tap_fd,
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

static void release(struct guest *guest)
{
	watch_free(guest->readable);
	if (guest->channel_fd >= 0)
		close(guest->channel_fd);
	vmm_qemu.free(guest->vmm);
	strbuf_reset(&guest->heard);
	close(guest->run_dir_fd);
	close(guest->console_fd);
	free(guest->run_dir);
}

static void ended_as(const struct guest *guest, const char *what, enum reason reason, int number,
		     const char *detail)
{
	printf("# %s: %s\n", what, guest->exit.detail);
	ok(guest->exit.reason == reason && guest->exit.exit_signal == number &&
		   strcmp(guest->exit.detail, detail) == 0,
	   "%s: reason and detail", what);
}

/* --- the tests -------------------------------------------------------------------------------- */

static bool status_has(const char *status, const char *key, const char *value)
{
	_cleanup_free_ char *line = xasprintf("\n%s:\t%s\n", key, value);

	return strstr(status, line);
}

static void read_proc(pid_t pid, const char *file, struct strbuf *out)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/%s", (int)pid, file);
	struct error err = { 0 };

	if (fs_read(path, 1 << 20, out, &err))
		die("proc", &err);
}

static void list_root(pid_t pid, struct strbuf *out)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/root", (int)pid);
	struct dirent **names;
	int count = scandir(path, &names, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		if (names[i]->d_name[0] != '.')
			strbuf_printf(out, "%s ", names[i]->d_name);
		free(names[i]);
	}
	if (count >= 0)
		free(names);
}

static void test_confined(pid_t pid)
{
	_cleanup_strbuf_ struct strbuf status = { 0 };
	_cleanup_strbuf_ struct strbuf links = { 0 };
	_cleanup_strbuf_ struct strbuf root = { 0 };
	_cleanup_strbuf_ struct strbuf mounts = { 0 };
	_cleanup_free_ char *uids = xasprintf("%d\t%d\t%d\t%d", UID, UID, UID, UID);
	const char *text;
	int lines = 0;

	read_proc(pid, "status", &status);
	text = strbuf_text(&status);
	ok(status_has(text, "Uid", uids) && status_has(text, "Gid", uids),
	   "uid and gid of its own");
	ok(status_has(text, "Groups", " ") || status_has(text, "Groups", ""), "no groups");
	ok(status_has(text, "CapEff", "0000000000000000") &&
		   status_has(text, "CapPrm", "0000000000000000") &&
		   status_has(text, "CapInh", "0000000000000000") &&
		   status_has(text, "CapBnd", "0000000000000000") &&
		   status_has(text, "CapAmb", "0000000000000000"),
	   "no capabilities in any set");
	ok(status_has(text, "Seccomp", "2"), "system calls are filtered");
	ok(status_has(text, "NoNewPrivs", "1"), "no new privileges");

	read_proc(pid, "net/dev", &links);
	for (const char *c = strbuf_text(&links); (c = strchr(c, '\n')); c++)
		lines++;
	ok(lines == 3 && strstr(strbuf_text(&links), "lo:"), "its network has lo and nothing else");

	list_root(pid, &root);
	printf("# root: %s\n", strbuf_text(&root));
	ok(strcmp(strbuf_text(&root), "dev lib lib64 proc usr ") == 0, "its root is minimal");
	read_proc(pid, "mounts", &mounts);
	ok(!strstr(strbuf_text(&mounts), " rw,"), "nothing it sees can be written");
	ok(strstr(strbuf_text(&mounts), "hidepid=invisible") != NULL, "it sees no other process");
}

static void test_life(void)
{
	struct guest guest;
	struct stat st = { 0 };

	if (!ok(boot(&guest, "life"), "a guest boots and speaks on its channel"))
		exit(1);
	ok(strstr(strbuf_text(&guest.heard), "hello base upper 02:53:00:00:00:01\n") ||
		   strstr(strbuf_text(&guest.heard), "hello upper base 02:53:00:00:00:01\n"),
	   "it finds its disks by serial and its network card");
	ok(strcmp(vmm_qemu.describe(guest.vmm), "qemu (tcg)") == 0 ||
		   strcmp(vmm_qemu.describe(guest.vmm), "qemu (kvm)") == 0,
	   "described as %s", vmm_qemu.describe(guest.vmm));
	test_confined(vmm_qemu.pid(guest.vmm));

	tell(&guest, "flood\n");
	for (int i = 0; i < 60 && st.st_size < FLOOD_BYTES; i++) {
		hear(&guest, NULL, 500);
		fstat(guest.console_fd, &st);
	}
	printf("# console file: %lld bytes\n", (long long)st.st_size);
	ok(guest.gone == 0, "a guest that floods its console goes on");
	ok(st.st_size >= FLOOD_BYTES, "the flood arrives");
	ok(st.st_size <= CONSOLE_FILE_MAX + (64 << 10), "and is bounded");
	tell(&guest, "ping\n");
	ok(hear(&guest, "pong\n", ANSWER_TIMEOUT_MS), "it still answers on its channel");

	tell(&guest, "poweroff\n");
	ok(ends(&guest), "it powers off");
	ended_as(&guest, "power-off", REASON_GUEST_ENDED, 0,
		 "SHUTDOWN guest-shutdown, exit code 0");
	ok(guest.channels == 1, "one channel");
	release(&guest);
}

static void test_panic(void)
{
	struct guest guest;

	ok(boot(&guest, "panic"), "another guest boots");
	tell(&guest, "panic\n");
	ok(ends(&guest), "it panics");
	ended_as(&guest, "panic", REASON_PANIC, 0, "SHUTDOWN guest-panic, exit code 0");
	release(&guest);
}

static void test_signal(const char *name, bool booted, int number, enum reason reason,
			int exit_signal, const char *detail)
{
	struct guest guest;
	uint64_t begin;

	if (booted)
		ok(boot(&guest, name), "%s: boots", name);
	else
		start(&guest, name);
	begin = loop_now_ms();
	kill(vmm_qemu.pid(guest.vmm), number);
	ok(ends(&guest), "%s: ends", name);
	printf("# %s: signal to gone: %llu ms\n", name,
	       (unsigned long long)(guest.gone_ms - begin));
	ended_as(&guest, name, reason, exit_signal, detail);
	release(&guest);
}

static void test_kill(void)
{
	struct guest guest;

	start(&guest, "kill");
	vmm_qemu.kill(guest.vmm);
	ok(guest.gone == 0, "kill() calls nobody back from inside");
	ok(ends(&guest), "kill() ends it");
	ended_as(&guest, "kill()", REASON_OPERATOR, SIGKILL, "no shutdown event, signal 9");
	release(&guest);
}

struct handover {
	pid_t pid;
	uint64_t start_time;
};

/* The first daemon: starts a VM, hears it, and dies of a SIGKILL. */
static void first_daemon(int report_fd)
{
	struct handover handover = { 0 };
	struct error err = { 0 };
	struct guest guest;

	host.loop = loop_new(&err);
	if (host.loop && boot(&guest, "adopt")) {
		handover.pid = vmm_qemu.pid(guest.vmm);
		handover.start_time = vmm_qemu.start_time(guest.vmm);
		if (write(report_fd, &handover, sizeof(handover)) < 0)
			die("handover", NULL);
	}
	fflush(stdout);
	kill(getpid(), SIGKILL);
}

static int adopt_as(struct guest *guest, pid_t pid, uint64_t start_time, struct error *err)
{
	const struct vmm_config config = {
		.name = "adopt",
		.run_dir_fd = guest->run_dir_fd,
		.run_dir = guest->run_dir,
		.console_fd = guest->console_fd,
	};

	return vmm_qemu.adopt(host.loop, &host.settings, &config, pid, start_time, &callbacks,
			      guest, &guest->vmm, err);
}

static void adopt(struct guest *guest, const struct handover *handover)
{
	struct error err = { 0 };

	open_run_dir(guest, "adopt");
	if (adopt_as(guest, handover->pid, handover->start_time, &err))
		die("adopt", &err);
}

static void test_adoption(void)
{
	struct handover handover = { 0 };
	struct error err = { 0 };
	struct guest guest;
	int ends_of_pipe[2];
	pid_t pid;

	if (pipe2(ends_of_pipe, O_CLOEXEC))
		die("pipe", NULL);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		first_daemon(ends_of_pipe[1]);
	close(ends_of_pipe[1]);
	ok(read(ends_of_pipe[0], &handover, sizeof(handover)) == (ssize_t)sizeof(handover),
	   "a first daemon starts a guest");
	close(ends_of_pipe[0]);
	waitpid(pid, NULL, 0);
	ok(kill(handover.pid, 0) == 0, "the VM outlives it");

	open_run_dir(&guest, "adopt");
	ok(adopt_as(&guest, handover.pid, handover.start_time + 1, &err) == -1,
	   "not adopted with another start time: %s", err.text);
	release(&guest);

	adopt(&guest, &handover);
	hear(&guest, NULL, 500);
	ok(guest.channels == 1, "adopted: the channel is there again");
	tell(&guest, "ping\n");
	ok(hear(&guest, "pong\n", ANSWER_TIMEOUT_MS), "and carries an answer");
	tell(&guest, "flood\n");
	release(&guest);
	sleep(2);
	ok(kill(handover.pid, 0) == 0, "let go, it runs on");

	adopt(&guest, &handover);
	hear(&guest, NULL, 500);
	tell(&guest, "ping\n");
	ok(hear(&guest, "pong\n", ANSWER_TIMEOUT_MS),
	   "adopted again: it answers, though nobody had read the flood on its console");
	tell(&guest, "poweroff\n");
	ok(ends(&guest), "it powers off");
	ended_as(&guest, "power-off of an adopted guest", REASON_GUEST_ENDED, 0,
		 "SHUTDOWN guest-shutdown, exit status unknown");
	release(&guest);
}

static bool run_dir_is_clean(const struct guest *guest)
{
	return faccessat(guest->run_dir_fd, "qmp.sock", F_OK, 0) &&
	       faccessat(guest->run_dir_fd, "channel.sock", F_OK, 0) &&
	       faccessat(guest->run_dir_fd, "console.fifo", F_OK, 0);
}

static void test_refusals(void)
{
	struct settings settings = host.settings;
	struct error err = { 0 };
	struct guest guest;

	ok(start_with(&guest, "root", host.kernel.path, 0, &err) == -1 && run_dir_is_clean(&guest),
	   "uid 0 is refused and nothing is left: %s", err.text);
	release(&guest);

	host.settings.qemu_path = (char *)"/usr/bin/env";
	ok(start_with(&guest, "env", host.kernel.path, UID, &err) == 0 && ends(&guest),
	   "a program that is no QEMU ends");
	ok(guest.exit.reason == REASON_VMM_CRASHED && strstr(guest.exit.detail, "exit code"),
	   "and is called a crash: %s", guest.exit.detail);
	release(&guest);
	host.settings = settings;

	ok(start_with(&guest, "no-kernel", host.initrd, UID, &err) == 0 && ends(&guest),
	   "a kernel that is none ends QEMU");
	ok(guest.exit.reason == REASON_VMM_CRASHED && strstr(guest.exit.detail, "exit code 1: "),
	   "and its message is kept: %s", guest.exit.detail);
	release(&guest);
}

int main(int argc, char **argv)
{
	_cleanup_free_ char *cache = NULL;
	struct error err = { 0 };

	if (argc != 3)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	host.directory = argv[1];
	host.settings.run_dir = argv[1];
	host.settings.qemu_path = (char *)"/usr/bin/qemu-system-x86_64";
	cache = xasprintf("%s/kernels", argv[1]);
	if (kernel_resolve("auto", MACHINE_HOST, cache, "/boot", "/lib/modules", &host.kernel,
			   &err))
		die("kernel", &err);
	printf("# kernel %s\n", host.kernel.version);
	make_initrd(argv[2]);

	host.loop = loop_new(&err);
	if (!host.loop)
		die("loop", &err);
	test_life();
	test_panic();
	test_signal("SIGKILL", true, SIGKILL, REASON_VMM_KILLED, SIGKILL,
		    "no shutdown event, signal 9");
	test_signal("SIGSEGV", false, SIGSEGV, REASON_VMM_CRASHED, SIGSEGV,
		    "no shutdown event, signal 11");
	test_signal("SIGTERM", true, SIGTERM, REASON_VMM_KILLED, 0,
		    "SHUTDOWN host-signal, exit code 0");
	test_kill();
	test_adoption();
	test_refusals();
	printf("1..%d\n", host.tests);
	loop_free(host.loop);
	kernel_reset(&host.kernel);
	free(host.initrd);
	return host.failures != 0;
}
