/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/system/guest_vm.h"

#include <endian.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "vmm/qemu_args.h"
#include "vmm/sockets.h"

enum { TURN_MS = 200 };

/* --- TAP ------------------------------------------------------------------------------------ */

static void show(const char *text)
{
	while (*text) {
		size_t length = strcspn(text, "\n");

		printf("#   %.*s\n", (int)length, text);
		text += length + (text[length] == '\n');
	}
}

void said(struct guest *guest, enum channel_stream stream, const char *text)
{
	const char *all = strbuf_text(&guest->logs[stream]);
	bool found = strstr(all, text);

	ok(found, "%s says: %.*s", guest->name, (int)strcspn(text, "\n"), text);
	if (!found)
		show(all);
}

/* --- the guest's words ---------------------------------------------------------------------- */

static void on_hello(void *data, const struct channel_hello *hello)
{
	struct guest *guest = data;

	guest->hello = *hello;
	guest->hellos++;
	loop_stop(guest->host->loop);
}

static void on_log(void *data, enum channel_stream stream, const void *bytes, size_t length)
{
	struct guest *guest = data;

	strbuf_add(&guest->logs[stream], bytes, length);
	loop_stop(guest->host->loop);
}

static void on_exited(void *data, const struct channel_exit *exit)
{
	struct guest *guest = data;

	guest->exit = *exit;
	guest->has_exit = true;
	loop_stop(guest->host->loop);
}

static void on_lost(void *data, const struct error *why)
{
	struct guest *guest = data;

	(void)why;
	guest->lost = true;
	loop_stop(guest->host->loop);
}

static void on_gone(struct child *child, const struct child_exit *exit, void *data)
{
	struct guest *guest = data;

	(void)exit;
	guest->vmm = child_free(child);
	guest->gone = true;
	loop_stop(guest->host->loop);
}

static void on_turn(struct watch *watch, unsigned events, void *data)
{
	struct guest *guest = data;

	(void)events;
	watch_rearm(watch, TURN_MS);
	loop_stop(guest->host->loop);
}

/* What stoker-init said last tells why a VM is gone that should not be. */
static void show_init_log(const struct guest *guest)
{
	printf("# %s is gone; its init had said:\n", guest->name);
	show(strbuf_text(&guest->logs[CHANNEL_INIT]));
}

bool wait_until(struct guest *guest, bool (*holds)(const struct guest *, const void *),
		const void *argument, unsigned seconds)
{
	uint64_t deadline = loop_now_ms() + seconds * 1000ULL;
	struct watch *turn = loop_timer(guest->host->loop, TURN_MS, on_turn, guest);

	while (!holds(guest, argument) && !guest->gone && loop_now_ms() < deadline)
		loop_run(guest->host->loop);
	watch_free(turn);
	if (holds(guest, argument))
		return true;
	if (guest->gone)
		show_init_log(guest);
	return false;
}

bool has_greeted(const struct guest *guest, const void *hellos)
{
	return guest->hellos >= *(const int *)hellos;
}

bool has_ended(const struct guest *guest, const void *nothing)
{
	(void)nothing;
	return guest->gone;
}

bool has_printed(const struct guest *guest, const void *text)
{
	return strstr(strbuf_text(&guest->logs[CHANNEL_STDOUT]), text);
}

/* --- booting -------------------------------------------------------------------------------- */

void image_says(struct guest *guest, enum config_tag tag, const char *text)
{
	struct config_entry entry = { htole32(tag), htole32((uint32_t)strlen(text)) };

	strbuf_add(&guest->image, &entry, sizeof(entry));
	strbuf_puts(&guest->image, text);
}

static void write_initrd(struct guest *guest)
{
	_cleanup_strbuf_ struct strbuf initrd = { 0 };
	struct guest_config config = { .spec = guest->spec,
				       .gateway4 = "169.254.1.1",
				       .gateway6 = "fe80::1",
				       .gateway_mac = "\x02\x53\x74\x6b\x00\xfe",
				       .channel_key = guest->peer.key,
				       .hosts = "10.20.0.77 first-peer\n",
				       .files = guest->files,
				       .file_count = guest->file_count,
				       .image_record = guest->image.data,
				       .image_record_length = guest->image.length };
	_cleanup_free_ char *path = xasprintf("%s/%s.initrd", guest->host->dir, guest->name);
	struct error err;

	if (fs_read(guest->host->base, 64 << 20, &initrd, &err) < 0 ||
	    initramfs_config(&config, &initrd, &err) < 0 ||
	    fs_write_atomic(path, initrd.data, initrd.length, 0600, &err) < 0)
		bail_out("set-up", err.text);
}

static int open_at(const char *dir, const char *name, const char *suffix, int flags)
{
	_cleanup_free_ char *path = xasprintf("%s/%s%s", dir, name, suffix);
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		bail_out(path, strerror(errno));
	return fd;
}

/* tap0 is there: guest-boot.t made it. */
static int open_tap(void)
{
	struct ifreq request = { .ifr_name = "tap0",
				 .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int fd = open_at("/dev", "net/tun", "", O_RDWR);

	must_errno(ioctl(fd, TUNSETIFF, &request));
	return fd;
}

/* What a VM opens: the product's driver would have it all from the instance. */
struct opened {
	int dir, kernel, initrd, base, upper, tap, console, channel, qmp;
};

static void open_all(const struct guest *guest, const char *upper, struct opened *ret)
{
	const struct host *host = guest->host;
	_cleanup_free_ char *channel = xasprintf("%s.sock", guest->name);
	_cleanup_free_ char *qmp = xasprintf("%s.qmp", guest->name);

	*ret = (struct opened){
		.dir = open_at(host->dir, "", "", O_PATH | O_DIRECTORY),
		.kernel = open_at("", host->kernel.path, "", O_RDONLY),
		.initrd = open_at(host->dir, guest->name, ".initrd", O_RDONLY),
		.base = open_at(host->dir, guest->base ? guest->base : "base", ".sqfs", O_RDONLY),
		.upper = open_at(host->dir, upper, ".ext4", O_RDWR),
		.console = open_at(host->dir, guest->name, ".console",
				   O_WRONLY | O_CREAT | O_APPEND),
		.tap = -1,
	};
	if (!guest->is_alone)
		ret->tap = open_tap();
	must(socket_listen(ret->dir, channel, &ret->channel, &err));
	must(socket_listen(ret->dir, qmp, &ret->qmp, &err));
}

static void close_all(const struct opened *opened)
{
	const int fds[] = { opened->dir,     opened->kernel,  opened->initrd,
			    opened->base,    opened->upper,   opened->tap,
			    opened->console, opened->channel, opened->qmp };

	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* Behind those of the driver. */
static void add_kernel_arguments(struct qemu_args *args, const char *more)
{
	for (size_t i = 1; more && i < args->argv.count; i++) {
		char **item = &args->argv.items[i];

		if (strcmp(args->argv.items[i - 1], "-append") == 0) {
			char *whole = xasprintf("%s %s", *item, more);

			free(*item);
			*item = whole;
		}
	}
}

void connect_channel(struct guest *guest)
{
	static const struct channel_callbacks callbacks = {
		.hello = on_hello, .log = on_log, .exited = on_exited, .lost = on_lost
	};
	_cleanup_close_ int dir = open_at(guest->host->dir, "", "", O_PATH | O_DIRECTORY);
	_cleanup_free_ char *name = xasprintf("%s.sock", guest->name);
	int fd = -1;

	must(socket_connect(dir, name, &fd, &err));
	guest->channel = channel_new(guest->host->loop, fd, &guest->peer, &callbacks, guest);
}

void boot(struct guest *guest, const char *upper)
{
	struct host *host = guest->host;
	CLEANUP(qemu_args_reset) struct qemu_args args = { 0 };
	struct child_options options = { 0 };
	struct vmm_config config;
	struct qemu_parts parts;
	struct opened opened;

	write_initrd(guest);
	open_all(guest, upper, &opened);
	config = (struct vmm_config){
		.name = guest->name,
		.cpus = 1,
		.memory_bytes = 160 << 20,
		.machine = host->machine,
		.kernel_fd = opened.kernel,
		.initrd_fd = opened.initrd,
		.disks = { { .serial = "base", .fd = opened.base, .read_only = true },
			   { .serial = "upper", .fd = opened.upper } },
		.disk_count = 2,
		.tap_fd = opened.tap,
		.mac = { 0x02, 0, 0, 0, 0, 1 },
	};
	parts = (struct qemu_parts){
		.program = host->machine == MACHINE_AARCH64 ? "/usr/bin/qemu-system-aarch64"
							    : "/usr/bin/qemu-system-x86_64",
		.qmp_fd = opened.qmp,
		.channel_fd = opened.channel,
		.console_fd = opened.console,
	};
	qemu_args_build(&config, &parts, &args);
	add_kernel_arguments(&args, guest->kernel_arguments);
	options.argv = args.argv.items;
	options.fds = args.fds;
	options.fd_count = args.fd_count;
	must(child_spawn(host->loop, &options, on_gone, guest, &guest->vmm, &err));
	close_all(&opened);
	connect_channel(guest);
}

void set(char **text, const char *value)
{
	free(*text);
	*text = xstrdup(value);
}

void guest_init(struct guest *guest, struct host *host, const char *name)
{
	*guest = (struct guest){ .host = host,
				 .name = name,
				 .spec = spec_new(),
				 .peer.key = "known to stoker-init alone" };
	set(&guest->spec->name, name);
	set(&guest->spec->hostname, name);
	set(&guest->spec->user, "");
	set(&guest->spec->working_dir, "");
	set(&guest->spec->stop_signal, "");
}

void add_address(struct guest *guest, const char *text)
{
	struct address_list *list = &guest->spec->addresses;

	if (address_parse(text, &list->items[list->count++]) < 0)
		abort();
}

void ended(struct guest *guest, int kind, int code)
{
	ok(wait_until(guest, has_ended, NULL, BOOT_S), "%s: the VM ends by itself", guest->name);
	ok(guest->has_exit && (int)guest->exit.kind == kind && guest->exit.code == code,
	   "%s: exit report %d, %d", guest->name, guest->has_exit ? (int)guest->exit.kind : -1,
	   guest->exit.code);
}

void guest_free(struct guest *guest)
{
	if (guest->vmm) {
		child_kill(guest->vmm, 9);
		wait_until(guest, has_ended, NULL, STEP_S);
	}
	channel_free(guest->channel);
	spec_free(guest->spec);
	strbuf_reset(&guest->image);
	for (size_t i = 0; i <= CHANNEL_INIT; i++)
		strbuf_reset(&guest->logs[i]);
}

long find_tick(const struct guest *guest, bool last)
{
	const char *at = strstr(strbuf_text(&guest->logs[CHANNEL_STDOUT]), "tick ");
	long number = 0;

	while (at) {
		number = strtol(at + 5, NULL, 10);
		at = last ? strstr(at + 5, "tick ") : NULL;
	}
	return number;
}

bool runs(const char *command)
{
	return system(command) == 0;
}
