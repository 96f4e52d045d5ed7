/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the two cpio segments that a guest boots from. The instance asks for the base (one per
 * kernel, cached) and appends the configuration (one per VM); Linux unpacks both into one rootfs
 * (init/initramfs.c), stoker-init reads them there. Not compressed: the guest has nothing to
 * unpack, and a cached file can be compared byte by byte.
 *
 * Format: "newc", Documentation/driver-api/early-userspace/buffer-format.rst of Linux.
 */
#include "guest/initramfs.h"

#include <endian.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "guest-init/protocol.h"
#include "model/volume.h"

enum {
	PACKED_FILE_MAX = 64 << 20, /* a kernel module or stoker-init; far above any */
	CPIO_ALIGN = 4,
};

struct cpio_entry {
	const char *name;
	mode_t mode;
	const void *data;
	size_t length;
	unsigned device_major, device_minor; /* of a character device */
};

static void pad(struct strbuf *out)
{
	while (out->length % CPIO_ALIGN)
		strbuf_putc(out, '\0');
}

/* All belongs to root and to the epoch: same input, same bytes. The inode number stays 0 because
 * Linux looks at it only for hard links (nlink > 1). */
static void cpio_add(struct strbuf *out, const struct cpio_entry *entry)
{
	strbuf_printf(out, "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x", 0,
		      (unsigned)entry->mode, 0, 0, 1, 0, entry->length, 0, 0, entry->device_major,
		      entry->device_minor, strlen(entry->name) + 1, 0);
	strbuf_add(out, entry->name, strlen(entry->name) + 1);
	pad(out);
	strbuf_add(out, entry->data, entry->length);
	pad(out);
}

static void cpio_end(struct strbuf *out)
{
	cpio_add(out, &(struct cpio_entry){ .name = "TRAILER!!!" });
}

static void config_add(struct strbuf *out, enum config_tag tag, const void *bytes, size_t length)
{
	struct config_entry entry = { htole32(tag), htole32((uint32_t)length) };

	strbuf_add(out, &entry, sizeof(entry));
	strbuf_add(out, bytes, length);
}

static void config_add_text(struct strbuf *out, enum config_tag tag, const char *text)
{
	if (text && *text)
		config_add(out, tag, text, strlen(text));
}

static void config_add_list(struct strbuf *out, enum config_tag tag, const struct strv *list)
{
	/* An empty word of a command line means something: keep it. */
	STRV_EACH (text, list)
		config_add(out, tag, text, strlen(text));
}

/* --- the base ------------------------------------------------------------------------------- */

static int add_file(struct strbuf *out, const char *name, mode_t mode, const char *path,
		    struct error *err)
{
	_cleanup_strbuf_ struct strbuf content = { 0 };

	if (fs_read(path, PACKED_FILE_MAX, &content, err) < 0)
		return -1;
	cpio_add(out, &(struct cpio_entry){ .name = name,
					    .mode = S_IFREG | mode,
					    .data = content.data,
					    .length = content.length });
	return 0;
}

/* finit_module without MODULE_INIT_COMPRESSED_FILE takes plain ELF only. */
static int check_module(const char *path, struct error *err)
{
	const char *dot = strrchr(path, '.');

	if (dot && !strcmp(dot, ".ko"))
		return 0;
	if (dot && (!strcmp(dot, ".xz") || !strcmp(dot, ".zst") || !strcmp(dot, ".gz")))
		return error_set(err,
				 "%s: compressed kernel modules cannot be loaded by the guest (use "
				 "a kernel with plain or built-in modules)",
				 path);
	return error_set(err, "%s: not a kernel module (its name must end in .ko)", path);
}

static int add_modules(struct strbuf *out, const struct strv *modules, struct error *err)
{
	_cleanup_strbuf_ struct strbuf list = { 0 };
	size_t number = 0;

	STRV_EACH (path, modules) {
		const char *slash = strrchr(path, '/');
		_cleanup_free_ char *name = xasprintf("modules/%02zu-%s", number++,
						      slash ? slash + 1 : path);
		_cleanup_free_ char *guest_path = xasprintf("/%s", name);

		if (check_module(path, err) < 0 || add_file(out, name, 0400, path, err) < 0)
			return -1;
		config_add_text(&list, CONFIG_MODULE, guest_path);
	}
	cpio_add(out, &(struct cpio_entry){ .name = "stoker/modules",
					    .mode = S_IFREG | 0400,
					    .data = list.data,
					    .length = list.length });
	return 0;
}

static int build_base(const char *init_path, const struct strv *modules, struct strbuf *out,
		      struct error *err)
{
	static const char *const directories[] = { "dev",  "proc",  "sys",    "base",
						   "root", "upper", "stoker", "modules" };

	for (size_t i = 0; i < sizeof(directories) / sizeof(*directories); i++)
		cpio_add(out,
			 &(struct cpio_entry){ .name = directories[i], .mode = S_IFDIR | 0700 });
	/* The kernel opens it for init's first three descriptors, before anything is mounted. */
	cpio_add(out, &(struct cpio_entry){ .name = "dev/console",
					    .mode = S_IFCHR | 0600,
					    .device_major = 5,
					    .device_minor = 1 });
	if (add_file(out, "init", 0500, init_path, err) < 0 || add_modules(out, modules, err) < 0)
		return -1;
	cpio_end(out);
	return 0;
}

/* FNV-1a: only names the file. What makes reuse right is that the bytes are compared. */
static uint64_t hash_bytes(const struct strbuf *bytes)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < bytes->length; i++)
		hash = (hash ^ (uint8_t)bytes->data[i]) * 0x100000001b3;
	return hash;
}

int initramfs_base(const char *init_path, const struct strv *modules, const char *cache_dir,
		   char **ret_path, struct error *err)
{
	_cleanup_strbuf_ struct strbuf fresh = { 0 }, cached = { 0 };
	_cleanup_free_ char *path = NULL;

	if (build_base(init_path, modules, &fresh, err) < 0)
		return error_wrap(err, "build initramfs");
	path = xasprintf("%s/initramfs-%016" PRIx64 ".cpio", cache_dir, hash_bytes(&fresh));
	if (fs_read(path, fresh.length, &cached, NULL) < 0 || cached.length != fresh.length ||
	    memcmp(cached.data, fresh.data, fresh.length) != 0) {
		if (fs_mkdir_p(cache_dir, 0755, err) < 0 ||
		    fs_write_atomic(path, fresh.data, fresh.length, 0444, err) < 0)
			return error_wrap(err, "cache initramfs");
	}
	*ret_path = take_ptr(path);
	return 0;
}

/* --- the configuration ---------------------------------------------------------------------- */

static void add_network(struct strbuf *out, const struct guest_config *config)
{
	const struct spec *spec = config->spec;
	char text[ADDRESS_TEXT_MAX];

	for (uint32_t i = 0; i < spec->addresses.count; i++)
		config_add_text(out, CONFIG_ADDRESS,
				address_format(&spec->addresses.items[i], text));
	config_add_text(out, CONFIG_GATEWAY, config->gateway4);
	config_add_text(out, CONFIG_GATEWAY, config->gateway6);
	if (config->gateway_mac)
		config_add(out, CONFIG_GATEWAY_MAC, config->gateway_mac, 6);
	config_add_list(out, CONFIG_DNS, &spec->dns);
}

static int add_hosts(struct strbuf *out, const struct guest_config *config, struct error *err)
{
	STRV_EACH (host, &config->spec->extra_hosts) {
		const char *equals = strchr(host, '=');
		_cleanup_free_ char *line = NULL;

		if (!equals)
			return error_set(err, "extra_hosts '%s': no '=' between name and address",
					 host);
		line = xasprintf("%s %.*s", equals + 1, (int)(equals - host), host);
		config_add_text(out, CONFIG_HOSTS, line);
	}
	config_add_text(out, CONFIG_PEERS, config->hosts);
	return 0;
}

static void add_guest_file(struct strbuf *out, const struct guest_file *file)
{
	struct config_file_entry head = { .mode = htole32(file->mode),
					  .path_length = htole16((uint16_t)strlen(file->path)),
					  .user_length = htole16((uint16_t)strlen(file->user)) };
	size_t length = sizeof(head) + strlen(file->path) + strlen(file->user) + file->length;
	struct config_entry entry = { htole32(file->is_secret ? CONFIG_SECRET : CONFIG_FILE),
				      htole32((uint32_t)length) };

	strbuf_add(out, &entry, sizeof(entry));
	strbuf_add(out, &head, sizeof(head));
	strbuf_puts(out, file->path);
	strbuf_puts(out, file->user);
	strbuf_add(out, file->content, file->length);
}

/* By the components of its target: a volume in another is mounted after that. */
static size_t volume_depth(const char *line)
{
	const char *target = strrchr(line, '\t');
	size_t depth = 0;

	for (const char *c = target ? target + 1 : ""; *c; c++)
		depth += c[0] == '/' && c[1] != '/' && c[1] != '\0';
	return depth;
}

static int add_volume(struct strbuf *out, const char *text, size_t number, struct error *err)
{
	_cleanup_free_ char *line = NULL;
	struct spec_volume volume;

	if (spec_volume_parse(text, &volume, err) < 0)
		return -1;
	line = xasprintf(SPEC_VOLUME_SERIAL "\t%s\t%s\t%s", number, volume.name,
			 volume.read_only ? "ro" : "rw", volume.target);
	spec_volume_reset(&volume);
	config_add_text(out, CONFIG_VOLUME, line);
	return 0;
}

static int add_volumes(struct strbuf *out, const struct strv *volumes, struct error *err)
{
	size_t left = volumes->count;

	for (size_t depth = 0; left > 0; depth++)
		for (size_t i = 0; i < volumes->count; i++) {
			if (volume_depth(volumes->items[i]) != depth)
				continue;
			if (add_volume(out, volumes->items[i], i, err) < 0)
				return -1;
			left--;
		}
	return 0;
}

static int build_config(const struct guest_config *config, struct strbuf *out, struct error *err)
{
	const struct spec *spec = config->spec;

	/* First: whatever is wrong with the rest can then be told. */
	if (config->channel_key)
		config_add(out, CONFIG_CHANNEL_KEY, config->channel_key, CHANNEL_KEY_SIZE);
	if (spec->has_entrypoint)
		config_add(out, CONFIG_HAS_ENTRYPOINT, NULL, 0);
	config_add_list(out, CONFIG_ENTRYPOINT, &spec->entrypoint);
	if (spec->has_command)
		config_add(out, CONFIG_HAS_COMMAND, NULL, 0);
	config_add_list(out, CONFIG_COMMAND, &spec->command);
	config_add_list(out, CONFIG_ENVIRONMENT, &spec->environment);
	config_add_text(out, CONFIG_USER, spec->user);
	config_add_text(out, CONFIG_WORKING_DIR, spec->working_dir);
	config_add_text(out, CONFIG_STOP_SIGNAL, spec->stop_signal);
	config_add_text(out, CONFIG_HOSTNAME, spec->hostname);
	config_add_list(out, CONFIG_TMPFS, &spec->tmpfs);
	config_add_list(out, CONFIG_ULIMIT, &spec->ulimits);
	config_add_list(out, CONFIG_SYSCTL, &spec->sysctls);
	if (add_volumes(out, &spec->volumes, err) < 0)
		return -1;
	for (size_t i = 0; i < config->file_count; i++)
		add_guest_file(out, &config->files[i]);
	if (config->disks)
		config_add_list(out, CONFIG_DISK, config->disks);
	if (config->is_verified)
		config_add(out, CONFIG_VERIFY, NULL, 0);
	if (spec->read_only)
		config_add(out, CONFIG_READ_ONLY, NULL, 0);
	add_network(out, config);
	return add_hosts(out, config, err);
}

/* stoker-init refuses a longer entry, but only once the guest has booted. */
static int check_entries(const struct strbuf *record, const char *name, struct error *err)
{
	struct config_entry entry;

	for (size_t at = 0; at < record->length; at += sizeof(entry) + le32toh(entry.length)) {
		memcpy(&entry, record->data + at, sizeof(entry));
		if (le32toh(entry.length) > CONFIG_ENTRY_MAX)
			return error_set(
				err, "configuration of '%s': entry %u has %u bytes (at most %d)",
				name, le32toh(entry.tag), le32toh(entry.length), CONFIG_ENTRY_MAX);
	}
	return 0;
}

static int make_config(const struct guest_config *config, struct strbuf *record, struct error *err)
{
	if (build_config(config, record, err) < 0)
		return -1;
	if (record->length > CONFIG_FILE_MAX)
		return error_set(err, "configuration of '%s' has %zu bytes (at most %d)",
				 config->spec->name, record->length, CONFIG_FILE_MAX);
	if (check_entries(record, config->spec->name, err) < 0)
		return -1;
	if (config->image_record_length > CONFIG_FILE_MAX)
		return error_set(err, "image record of '%s' has %zu bytes (at most %d)",
				 config->spec->name, config->image_record_length, CONFIG_FILE_MAX);
	return 0;
}

int initramfs_config(const struct guest_config *config, struct strbuf *out, struct error *err)
{
	_cleanup_strbuf_ struct strbuf record = { 0 };
	int result = make_config(config, &record, err);

	if (result == 0) {
		/* The segment must begin aligned wherever the caller's buffer ends. */
		pad(out);
		cpio_add(out, &(struct cpio_entry){ .name = "stoker/config",
						    .mode = S_IFREG | 0400,
						    .data = record.data,
						    .length = record.length });
		cpio_add(out, &(struct cpio_entry){ .name = "stoker/image",
						    .mode = S_IFREG | 0400,
						    .data = config->image_record,
						    .length = config->image_record_length });
		cpio_end(out);
	}
	if (record.length)
		explicit_bzero(record.data, record.length);
	return result;
}
