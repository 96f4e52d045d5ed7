/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a verified image to a running VMM: opens everything the VM may use, in an order that can be
 * undone at each step, and hands the descriptors to the driver.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/log.h"
#include "disk/disk.h"
#include "disk/volume.h"
#include "guest/initramfs.h"
#include "instance/internal.h"
#include "model/fleet.h"
#include "model/volume.h"

enum {
	IMAGE_RECORD_MAX = 8 << 20,
	INITRAMFS_MAX = 256 << 20,
	CONSOLE_MAX = 1 << 20,
	CONSOLE_KEPT = 8 << 10,
};

/* What the driver gets, owned here until it has its own copies. */
struct parts {
	int kernel, initrd, base, upper, tap, console, run_dir;
	int volumes[VOLUMES_MAX];
};

static void parts_close(struct parts *parts)
{
	int *fds = (int *)parts;

	for (size_t i = 0; i < sizeof(*parts) / sizeof(int); i++)
		cleanup_close(&fds[i]);
}

void instance_tap_name(uint32_t slot, char name[16])
{
	snprintf(name, 16, NET_TAP_PREFIX "%u", (unsigned)slot);
}

char *instance_run_dir(const struct instance_context *context, uint32_t slot)
{
	return xasprintf("%s/vm/%u", context->settings->run_dir, (unsigned)slot);
}

uid_t instance_uid(const struct settings *settings, uint32_t slot)
{
	/* The first two uids of the range are the image workers'. */
	return settings->uid_base + 2 + slot;
}

struct vmm_limits instance_limits(const struct spec *spec)
{
	return (struct vmm_limits){
		.disk_bandwidth = spec->rate_disk_bandwidth,
		.disk_iops = spec->rate_disk_iops,
		.balloon_bytes = spec->balloon_bytes,
	};
}

int instance_open_log(struct instance *instance, struct error *err)
{
	if (instance->log)
		return 0;
	return logfile_open(instance->context->settings, instance->spec->name,
			    instance->context->forward, &instance->log, err);
}

static int open_read(const char *path, int *ret_fd, struct error *err)
{
	*ret_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (*ret_fd < 0)
		return error_errno(err, errno, "%s: cannot open", path);
	return 0;
}

/* --- run directory, kernel, disks ------------------------------------------------------------ */

static int make_run_dir(const char *path, struct parts *parts, struct error *err)
{
	if (fs_remove_tree(path, err) < 0 || fs_mkdir_p(path, 0700, err) < 0)
		return -1;
	parts->run_dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (parts->run_dir < 0)
		return error_errno(err, errno, "%s: cannot open", path);
	parts->console = openat(parts->run_dir, "console.log",
				O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (parts->console < 0)
		return error_errno(err, errno, "%s/console.log: cannot create", path);
	return 0;
}

static char *upper_path(const struct instance *instance)
{
	return xasprintf("%s/disks/%u.upper", instance->context->settings->state_dir,
			 (unsigned)instance->slot);
}

/* The upper layer loses its name as soon as the VMM has it, and lives as long as that: a crash of
 * the VMM leaves nothing behind. What a crash of the daemon leaves before that is removed by the
 * next start. */
static void hide_upper(const struct instance *instance)
{
	_cleanup_free_ char *path = upper_path(instance);

	if (unlink(path) < 0 && errno != ENOENT)
		log_warning("%s: %s: cannot remove: %s", instance->spec->name, path,
			    strerror(errno));
}

static int make_upper(const struct instance *instance, struct parts *parts, struct error *err)
{
	const struct settings *settings = instance->context->settings;
	struct disk_options options = {
		.size_bytes = instance->spec->disk_bytes,
		.now = time(NULL),
		.owner = instance_uid(settings, instance->slot),
	};
	_cleanup_free_ char *directory = xasprintf("%s/disks", settings->state_dir);
	_cleanup_free_ char *path = upper_path(instance);

	if (getrandom(options.uuid, sizeof(options.uuid), 0) != sizeof(options.uuid))
		return error_errno(err, errno, "getrandom");
	if (fs_mkdir_p(directory, 0700, err) < 0)
		return -1;
	if (unlink(path) < 0 && errno != ENOENT)
		return error_errno(err, errno, "%s: cannot remove", path);
	return disk_create(path, &options, &parts->upper, err);
}

/* They outlive the VM; whoever used them before has ended (instance_holds_volume). */
static int open_volumes(const struct instance *instance, struct parts *parts, struct error *err)
{
	const struct settings *settings = instance->context->settings;
	const struct spec *spec = instance->spec;

	if (spec->volumes.count > VOLUMES_MAX)
		return error_set(err, "%zu volumes (at most %d)", spec->volumes.count, VOLUMES_MAX);
	for (size_t i = 0; i < spec->volumes.count; i++) {
		_cleanup_free_ char *id = NULL;
		struct spec_volume volume;
		int result;

		if (spec_volume_parse(spec->volumes.items[i], &volume, err) < 0)
			return -1;
		id = spec_volume_id(spec, &volume);
		result = volume_open(settings->state_dir, id, volume.size_bytes,
				     instance_uid(settings, instance->slot), &parts->volumes[i],
				     err);
		spec_volume_reset(&volume);
		if (result < 0)
			return error_wrap(err, "volume '%s'", id);
	}
	return 0;
}

/* --- initramfs ------------------------------------------------------------------------------- */

static int copy_file(int from, const char *name, int to, struct error *err)
{
	struct stat st;
	off_t offset = 0;

	if (fstat(from, &st) < 0)
		return error_errno(err, errno, "%s: cannot inspect", name);
	if (st.st_size > INITRAMFS_MAX)
		return error_set(err, "%s: larger than %d bytes", name, INITRAMFS_MAX);
	while (offset < st.st_size) {
		char chunk[65536];
		ssize_t n = pread(from, chunk, sizeof(chunk), offset);

		if (n <= 0)
			return error_errno(err, n < 0 ? errno : EIO, "%s: cannot read", name);
		if (fs_write_all(to, chunk, (size_t)n, err) < 0)
			return error_wrap(err, "%s: copying it", name);
		offset += n;
	}
	return 0;
}

static bool has_family(const struct spec *spec, uint8_t family)
{
	for (uint32_t i = 0; i < spec->addresses.count; i++)
		if (spec->addresses.items[i].family == family)
			return true;
	return false;
}

static int add_config(const struct instance *instance, const struct boot_files *files,
		      struct strbuf *out, struct error *err)
{
	const struct instance_context *context = instance->context;
	const struct spec *spec = instance->spec;
	_cleanup_free_ char *hosts = context->hosts(context->data, spec->tenant);
	_cleanup_strbuf_ struct strbuf record = { 0 };
	_cleanup_strv_ struct strv disks = { 0 };
	CLEANUP(attachments_reset) struct attachments attachments = { 0 };
	struct guest_config config = {
		.spec = spec,
		.gateway4 = has_family(spec, 4) ? NET_GATEWAY4 : NULL,
		.gateway6 = has_family(spec, 6) ? NET_GATEWAY6 : NULL,
		.gateway_mac = NET_GATEWAY_MAC,
		.channel_key = instance->peer.key,
		.is_verified = files->has_verity,
		.hosts = hosts,
	};

	if (fs_read(instance->image->record_path, IMAGE_RECORD_MAX, &record, err) < 0 ||
	    attachments_read(spec, &attachments, err) < 0)
		return -1;
	config.files = attachments.items;
	config.file_count = attachments.count;
	strv_add(&disks, "base"); /* in the order of start_vmm */
	strv_add(&disks, "upper");
	for (size_t i = 0; i < spec->volumes.count; i++)
		strv_addf(&disks, SPEC_VOLUME_SERIAL, i);
	if (!instance->driver->has_serials)
		config.disks = &disks;
	config.image_record = strbuf_text(&record);
	config.image_record_length = record.length;
	return initramfs_config(&config, out, err);
}

static void wipe(struct strbuf *secret)
{
	if (secret->length)
		explicit_bzero(secret->data, secret->length);
	strbuf_reset(secret);
}

/* Base and configuration in one anonymous file: secrets never get a name on disk. */
static int make_initrd(const struct instance *instance, const struct boot_files *files,
		       struct parts *parts, struct error *err)
{
	const char *base_path = files->initramfs_path;
	CLEANUP(wipe) struct strbuf config = { 0 };
	_cleanup_close_ int base = -1;
	static const char padding[4];
	off_t length;

	if (open_read(base_path, &base, err) < 0)
		return -1;
	parts->initrd = memfd_create("initramfs", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (parts->initrd < 0)
		return error_errno(err, errno, "memfd_create");
	if (copy_file(base, base_path, parts->initrd, err) < 0)
		return -1;
	/* A further segment has to start at a multiple of four bytes. */
	length = lseek(parts->initrd, 0, SEEK_END);
	if (fs_write_all(parts->initrd, padding, (size_t)(-length & 3), err) < 0)
		return -1;
	if (add_config(instance, files, &config, err) < 0 ||
	    fs_write_all(parts->initrd, strbuf_text(&config), config.length, err) < 0)
		return -1;
	if (fchown(parts->initrd, instance_uid(instance->context->settings, instance->slot),
		   (gid_t)-1) < 0 ||
	    fchmod(parts->initrd, 0400) < 0)
		return error_errno(err, errno, "initramfs: cannot give it to the VM's uid");
	return 0;
}

/* --- network --------------------------------------------------------------------------------- */

void instance_describe_tap(const struct instance *instance, char name[16], struct net_tap *ret)
{
	const struct spec *spec = instance->spec;

	instance_tap_name(instance->slot, name);
	*ret = (struct net_tap){
		.name = name,
		.slot = instance->slot,
		.tenant_id = tenant_id(spec->tenant),
		.addresses = spec->addresses,
		.rate_bits = spec->rate_network_bandwidth,
		.rate_packets = spec->rate_network_packets,
		.egress = &spec->egress,
		.ingress = &spec->ingress,
		.ports = &spec->ports,
	};
	spec_mac(spec->name, ret->mac);
}

static int make_tap(struct instance *instance, struct parts *parts, struct error *err)
{
	struct net_tap tap;
	char name[16];

	instance->has_tap = true; /* from its first part on: the end clears up */
	if (instance->driver->opens_tap)
		return 0; /* when the VMM is there: instance_lend_tap */
	instance_describe_tap(instance, name, &tap);
	return net_tap_create(instance->context->net, &tap, &parts->tap, err);
}

int instance_lend_tap(void *data, int netns_fd, struct error *err)
{
	struct instance *instance = data;
	const struct instance_context *context = instance->context;
	struct net_tap tap;
	char name[16];

	instance_describe_tap(instance, name, &tap);
	return net_tap_lend(context->net, &tap, netns_fd,
			    instance_uid(context->settings, instance->slot), err);
}

int instance_take_tap(void *data, int netns_fd, struct error *err)
{
	struct instance *instance = data;
	struct net_tap tap;
	char name[16];

	instance_describe_tap(instance, name, &tap);
	return net_tap_take(instance->context->net, &tap, netns_fd, err);
}

/* --- all together ---------------------------------------------------------------------------- */

static int start_vmm(struct instance *instance, const char *run_dir, const struct parts *parts,
		     struct error *err)
{
	const struct instance_context *context = instance->context;
	const struct spec *spec = instance->spec;
	char tap_name[16], serials[VOLUMES_MAX][sizeof("volume") + 20];
	struct vmm_config config = {
		.name = spec->name,
		.tenant = spec->tenant,
		.id = tap_name,
		.run_dir_fd = parts->run_dir,
		.run_dir = run_dir,
		.uid = instance_uid(context->settings, instance->slot),
		.cpus = spec->cpus,
		.memory_bytes = spec->memory_bytes,
		.machine = MACHINE_HOST,
		.kernel_fd = parts->kernel,
		.initrd_fd = parts->initrd,
		.disks = { { .serial = "base", .fd = parts->base, .read_only = true },
			   { .serial = "upper", .fd = parts->upper, .is_ephemeral = true } },
		.disk_count = 2,
		.tap_name = tap_name,
		.tap_fd = parts->tap,
		.limits = instance_limits(spec),
		.cgroup = context->cgroup,
		.console_fd = parts->console,
	};

	for (size_t i = 0; i < spec->volumes.count; i++) {
		snprintf(serials[i], sizeof(serials[i]), SPEC_VOLUME_SERIAL, i);
		config.disks[config.disk_count++] = (struct vmm_disk){ .serial = serials[i],
								       .fd = parts->volumes[i] };
	}
	instance_tap_name(instance->slot, tap_name);
	spec_mac(spec->name, config.mac);
	return instance->driver->start(context->loop, context->settings, &config,
				       &instance_vmm_callbacks, instance, &instance->vmm, err);
}

static int make_key(struct instance *instance, struct error *err)
{
	uint8_t *key = instance->peer.key;

	instance->peer.log_seen = 0;
	if (getrandom(key, sizeof(instance->peer.key), 0) != sizeof(instance->peer.key))
		return error_errno(err, errno, "getrandom");
	return 0;
}

static int prepare_parts(struct instance *instance, struct parts *parts, struct error *err)
{
	_cleanup_free_ char *run_dir = instance_run_dir(instance->context, instance->slot);
	struct boot_files files;

	const struct instance_context *context = instance->context;

	if (instance_open_log(instance, err) < 0 ||
	    vmm_choose(instance->spec->vmm, context->settings, &instance->driver, instance->vmm_why,
		       err) < 0 ||
	    boot_find(context->boot, instance->spec->kernel, &files, err) < 0 ||
	    make_run_dir(run_dir, parts, err) < 0 || make_key(instance, err) < 0 ||
	    open_read(files.kernel_path, &parts->kernel, err) < 0 ||
	    open_read(instance->image->squashfs_path, &parts->base, err) < 0 ||
	    make_initrd(instance, &files, parts, err) < 0 || make_upper(instance, parts, err) < 0 ||
	    open_volumes(instance, parts, err) < 0 || make_tap(instance, parts, err) < 0 ||
	    start_vmm(instance, run_dir, parts, err) < 0)
		return -1;
	return 0;
}

int instance_prepare(struct instance *instance, struct error *err)
{
	struct parts parts;
	int result;

	memset(&parts, 0xff, sizeof(parts)); /* -1 in all */
	result = prepare_parts(instance, &parts, err);

	if (parts.upper >= 0)
		hide_upper(instance);
	parts_close(&parts);
	if (result < 0)
		return -1;
	/* Without a record no later daemon could take it over: better no VM than a stray. Its end
	 * is then seen and handled as any other. */
	if (record_write(instance, err) < 0) {
		instance_blame(instance, REASON_START_ERROR, err->text);
		instance->doom = REASON_START_ERROR;
		instance->driver->kill(instance->vmm);
	}
	return 0;
}

int instance_keep_rest(const struct instance *instance, struct error *err)
{
	_cleanup_free_ char *run_dir = instance_run_dir(instance->context, instance->slot);

	if (fs_mkdir_p(run_dir, 0700, err) < 0)
		return -1;
	return record_write(instance, err);
}

/* The newest of the console, for an end that nobody reported: the run directory goes away. */
void instance_keep_console(struct instance *instance)
{
	_cleanup_free_ char *run_dir = instance_run_dir(instance->context, instance->slot);
	_cleanup_free_ char *path = xasprintf("%s/console.log", run_dir);
	_cleanup_strbuf_ struct strbuf text = { 0 };
	size_t kept;

	if (!instance->log || fs_read(path, CONSOLE_MAX, &text, NULL) < 0)
		return;
	kept = text.length < CONSOLE_KEPT ? text.length : CONSOLE_KEPT;
	logfile_write(instance->log, "console", strbuf_text(&text) + text.length - kept, kept);
	logfile_write(instance->log, "console", "\n", 1);
}

void instance_clear_run(struct instance *instance)
{
	_cleanup_free_ char *run_dir = instance_run_dir(instance->context, instance->slot);
	struct error err = { 0 };
	char name[16];

	instance_disarm(instance);
	instance_drop_callers(instance);
	instance->channel = channel_free(instance->channel);
	if (instance->vmm)
		instance->vmm = instance->driver->free(instance->vmm);
	instance_tap_name(instance->slot, name);
	if (instance->has_tap &&
	    net_tap_destroy(instance->context->net, name, instance->slot, &err) < 0)
		log_error("%s: %s", instance->spec->name, err.text);
	instance->has_tap = false;
	if (fs_remove_tree(run_dir, &err) < 0)
		log_error("%s: %s", instance->spec->name, err.text);
	instance->has_report = instance->has_gone = instance->was_adopted = false;
	instance->has_hello = instance->has_warned = instance->has_health = false;
	instance->health = (struct channel_health){ 0 };
	instance->stats = (struct guest_stats){ 0 };
	instance->wait = WAIT_NOT;
	instance->doom = REASON_NONE;
	instance->running_ms = instance->started_ms = instance->boot_ms = 0;
	instance->boot = (struct boot_times){ 0 };
}
