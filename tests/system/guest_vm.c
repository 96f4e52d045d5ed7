/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/system/guest_vm.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "vmm/tsc.h"

enum { TURN_MS = 200 };

/* --- TAP ------------------------------------------------------------------------------------ */

void said(struct guest *guest, enum channel_stream stream, const char *text)
{
	const char *all = strbuf_text(&guest->logs[stream]);
	bool found = strstr(all, text);

	ok(found, "%s says: %.*s", guest->name, (int)strcspn(text, "\n"), text);
	for (const char *at = all; !found && *at;) {
		size_t length = strcspn(at, "\n");

		printf("#   %.*s\n", (int)length, at);
		at += length + (at[length] == '\n');
	}
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

bool wait_until(struct guest *guest, bool (*holds)(const struct guest *, const void *),
		const void *argument, unsigned seconds)
{
	uint64_t deadline = loop_now_ms() + seconds * 1000ULL;
	struct watch *turn = loop_timer(guest->host->loop, TURN_MS, on_turn, guest);

	while (!holds(guest, argument) && !guest->gone && loop_now_ms() < deadline)
		loop_run(guest->host->loop);
	watch_free(turn);
	return holds(guest, argument);
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

static char *write_initrd(struct guest *guest)
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
	char *path = xasprintf("%s/%s.initrd", guest->host->dir, guest->name);
	struct error err;

	if (fs_read(guest->host->base, 64 << 20, &initrd, &err) < 0 ||
	    initramfs_config(&config, &initrd, &err) < 0 ||
	    fs_write_atomic(path, initrd.data, initrd.length, 0600, &err) < 0)
		bail_out("set-up", err.text);
	return path;
}

static void add_machine(const struct guest *guest, struct strv *argv)
{
	const struct host *host = guest->host;
	_cleanup_free_ char *common = xasprintf(
		"quiet panic=-1 %s", guest->kernel_arguments ? guest->kernel_arguments : "");
	static const char *const x86_64[] = { "/usr/bin/qemu-system-x86_64",
					      "-M",
					      "microvm,acpi=on,pit=off,pic=off,rtc=on,"
					      "x-option-roms=off,auto-kernel-cmdline=off",
					      "-cpu",
					      "max",
					      NULL };
	/* pauth-impdef: the architecture's own pointer authentication is slow to emulate. */
	static const char *const aarch64[] = { "/usr/bin/qemu-system-aarch64", "-M",
					       "virt,gic-version=3",	       "-cpu",
					       "max,pauth-impdef=on",	       "-global",
					       "virtio-mmio.force-legacy=off", NULL };

	for (const char *const *word = host->machine == MACHINE_AARCH64 ? aarch64 : x86_64; *word;
	     word++)
		strv_add(argv, *word);
	strv_add(argv, "-append");
	if (host->machine == MACHINE_AARCH64)
		strv_addf(argv, "console=ttyAMA0 %s", common);
	else
		strv_addf(argv, "console=ttyS0 %s reboot=t tsc_early_khz=%" PRIu64 " tsc=reliable",
			  common, tsc_khz());
}

static void make_command(struct guest *guest, const char *upper, struct strv *argv)
{
	const char *dir = guest->host->dir;
	_cleanup_free_ char *initrd = write_initrd(guest);
	static const char *const fixed[] = { "-nodefaults",
					     "-no-user-config",
					     "-display",
					     "none",
					     "-no-reboot",
					     "-accel",
					     "tcg,tb-size=32",
					     "-m",
					     "160M",
					     "-smp",
					     "1",
					     "-device",
					     "virtio-serial-device",
					     "-device",
					     "virtserialport,chardev=ch0,name=stoker.0",
					     "-device",
					     "virtio-rng-device",
					     "-device",
					     "virtio-blk-device,drive=d0,serial=base",
					     "-device",
					     "virtio-blk-device,drive=d1,serial=upper" };

	add_machine(guest, argv);
	for (size_t i = 0; i < sizeof(fixed) / sizeof(*fixed); i++)
		strv_add(argv, fixed[i]);
	if (!guest->is_alone) {
		strv_add(argv, "-netdev");
		strv_add(argv, "tap,id=n0,ifname=tap0,script=no,downscript=no");
		strv_add(argv, "-device");
		strv_add(argv, "virtio-net-device,netdev=n0,mac=02:00:00:00:00:01");
	}
	strv_add(argv, "-kernel");
	strv_add(argv, guest->host->kernel.path);
	strv_add(argv, "-initrd");
	strv_add(argv, initrd);
	strv_add(argv, "-drive");
	strv_addf(argv, "id=d0,file=%s/%s.sqfs,format=raw,if=none,readonly=on", dir,
		  guest->base ? guest->base : "base");
	strv_add(argv, "-drive");
	strv_addf(argv, "id=d1,file=%s/%s.ext4,format=raw,if=none", dir, upper);
	strv_add(argv, "-serial");
	strv_addf(argv, "file:%s/%s.console", dir, guest->name);
	strv_add(argv, "-chardev");
	strv_addf(argv, "socket,id=ch0,path=%s,server=on,wait=off", guest->socket);
}

void connect_channel(struct guest *guest)
{
	static const struct channel_callbacks callbacks = {
		.hello = on_hello, .log = on_log, .exited = on_exited, .lost = on_lost
	};
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const struct timespec pause = { .tv_nsec = 20000000 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct error err;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", guest->socket);
	for (int tries = 0; connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0;
	     tries++) {
		if (tries == 500) {
			error_errno(&err, errno, "connect %s", guest->socket);
			bail_out("set-up", err.text);
		}
		nanosleep(&pause, NULL);
	}
	guest->channel = channel_new(guest->host->loop, fd, &guest->peer, &callbacks, guest);
}

void boot(struct guest *guest, const char *upper)
{
	_cleanup_strv_ struct strv argv = { 0 };
	struct child_options options = { 0 };
	struct error err;

	guest->socket = xasprintf("%s/%s.sock", guest->host->dir, guest->name);
	make_command(guest, upper, &argv);
	options.argv = argv.items;
	options.fds = (const struct child_fd[]){ { 2, 2 } };
	options.fd_count = 1;
	if (child_spawn(guest->host->loop, &options, on_gone, guest, &guest->vmm, &err) < 0)
		bail_out("set-up", err.text);
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
	unlink(guest->socket);
	free(guest->socket);
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
