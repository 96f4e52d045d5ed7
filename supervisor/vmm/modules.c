/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads modules.dep(5) and modules.builtin of one installed kernel. depmod(8) writes all of a
 * module's dependencies, also the indirect ones, on its line, the first to load last.
 *
 * One list serves every driver, so that one base initramfs does: virtio over MMIO for both, the
 * console for QEMU, vsock and the balloon for Firecracker.
 */
#include "vmm/modules.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/strbuf.h"
#include "vmm/unpack.h"

enum {
	INDEX_MAX = 16 << 20, /* of modules.dep; a full distribution's has about 1 MiB */
	MODULE_MAX = 64 << 20,
	HASH_HEX = 32,
};

struct wanted {
	const char *name;
	bool optional; /* a guest runs without it */
};

/* In this order; what a module depends on comes before it. */
static const struct wanted wanted_modules[] = {
	{ "virtio_ring", false },
	{ "virtio", false },
	{ "virtio_mmio", false },
	{ "virtio_blk", false },
	{ "failover", true }, /* only where virtio_net depends on it */
	{ "net_failover", true },
	{ "virtio_net", false },
	{ "virtio_console", false },
	{ "virtio_rng", false },
	{ "squashfs", false },
	{ "crc32c_generic", true },   /* ext4 asks the crypto API for it by name; */
	{ "crc32c_cryptoapi", true }, /* Linux 6.14 renamed it, 6.16 needs none */
	{ "ext4", false },
	{ "overlay", false },
	{ "pvpanic", true },	  /* without: a panic looks like a reset to the host */
	{ "pvpanic_mmio", true }, /* the driver of its ACPI device */
	{ "vmw_vsock_virtio_transport", true },
	{ "virtio_balloon", true }, /* without: the guest keeps all memory that it once used */
};

/* Only where disks are to be checked; dm-verity asks the crypto API for sha256 by name. */
static const struct wanted verity_modules[] = {
	{ "sha256_generic", true },
	{ "dm_mod", false },
	{ "dm_bufio", false },
	{ "dm_verity", false },
};

struct module_tree {
	const char *path;
	struct strbuf dep;
	struct strbuf builtin;
};

static void module_tree_reset(struct module_tree *tree)
{
	strbuf_reset(&tree->dep);
	strbuf_reset(&tree->builtin);
}

/* "kernel/drivers/char/hw_random/virtio-rng.ko.xz" is virtio_rng: to the kernel, - and _ are one.
 */
static bool path_is_module(const char *path, size_t length, const char *name)
{
	const char *slash = memrchr(path, '/', length);
	const char *base = slash ? slash + 1 : path;
	const char *end = path + length;

	for (; *name; name++, base++)
		if (base == end || (*base == '-' ? '_' : *base) != *name)
			return false;
	return end - base >= 3 && memcmp(base, ".ko", 3) == 0 &&
	       (end - base == 3 || base[3] == '.');
}

/* The line whose path, up to `stop`, is the module; NULL when there is none. */
static const char *find_line(const struct strbuf *text, const char *name, char stop)
{
	for (const char *line = strbuf_text(text); *line;) {
		size_t length = strcspn(line, "\n");
		const char *end = memchr(line, stop, length);

		if (path_is_module(line, end ? (size_t)(end - line) : length, name))
			return line;
		line += length + (line[length] == '\n');
	}
	return NULL;
}

char *modules_cache_path(const char *cache_dir, const char *stem, const void *bytes, size_t length,
			 const char *suffix)
{
	uint8_t digest[EVP_MAX_MD_SIZE] = { 0 };
	char hex[HASH_HEX + 1];

	if (EVP_Digest(bytes, length, digest, NULL, EVP_sha256(), NULL) != 1)
		abort(); /* SHA-256 is in every libcrypto: only memory can be missing */
	for (size_t i = 0; i < HASH_HEX / 2; i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	return xasprintf("%s/%s-%s%s", cache_dir, stem, hex, suffix);
}

static int unpack_module(const char *path, const char *cache_dir, struct strv *ret,
			 struct error *err)
{
	_cleanup_strbuf_ struct strbuf packed = { 0 };
	_cleanup_strbuf_ struct strbuf plain = { 0 };
	_cleanup_free_ char *stem = xstrdup(strrchr(path, '/') + 1);
	_cleanup_free_ char *cached = NULL;

	if (fs_read(path, MODULE_MAX, &packed, err))
		return -1;
	*strstr(stem, ".ko") = '\0';
	cached = modules_cache_path(cache_dir, stem, packed.data, packed.length, ".ko");
	if (access(cached, F_OK)) {
		if (unpack((const uint8_t *)packed.data, packed.length, MODULE_MAX, path, &plain,
			   err))
			return -1;
		if (fs_write_atomic(cached, plain.data, plain.length, 0644, err))
			return -1;
	}
	strv_add(ret, cached);
	return 0;
}

/* `found` is as modules.dep has it: relative to the tree, or absolute. `added` keeps what was. */
static int add_module(const struct module_tree *tree, const char *cache_dir, const char *found,
		      size_t length, struct strv *added, struct strv *ret, struct error *err)
{
	_cleanup_free_ char *relative = xstrndup(found, length);
	_cleanup_free_ char *path = NULL;

	if (strv_contains(added, relative))
		return 0;
	strv_add(added, relative);
	path = *relative == '/' ? xstrdup(relative) : xasprintf("%s/%s", tree->path, relative);
	if (access(path, R_OK))
		return error_set(err, "%s: listed in modules.dep but not there (run depmod)", path);
	if (length > 3 && memcmp(found + length - 3, ".ko", 3) == 0) {
		strv_add(ret, path);
		return 0;
	}
	return unpack_module(path, cache_dir, ret, err);
}

static int add_with_dependencies(const struct module_tree *tree, const char *cache_dir,
				 const char *line, struct strv *added, struct strv *ret,
				 struct error *err)
{
	const char *end = line + strcspn(line, "\n");
	const char *colon = memchr(line, ':', (size_t)(end - line));

	if (!colon)
		return error_set(err, "%s/modules.dep: a line without ':' (run depmod)",
				 tree->path);
	for (const char *word_end = end; word_end > colon + 1;) {
		const char *word = word_end;

		while (word > colon + 1 && word[-1] != ' ')
			word--;
		if (word < word_end &&
		    add_module(tree, cache_dir, word, (size_t)(word_end - word), added, ret, err))
			return -1;
		word_end = word - 1;
	}
	return add_module(tree, cache_dir, line, (size_t)(colon - line), added, ret, err);
}

static int read_tree(struct module_tree *tree, struct error *err)
{
	_cleanup_free_ char *dep = xasprintf("%s/modules.dep", tree->path);
	_cleanup_free_ char *builtin = xasprintf("%s/modules.builtin", tree->path);

	if (fs_read(dep, INDEX_MAX, &tree->dep, err))
		return -1;
	return fs_read(builtin, INDEX_MAX, &tree->builtin, err);
}

/* *ret_missing: one that is neither there nor built in and not optional; NULL: none. */
static int add_wanted(const struct module_tree *tree, const char *cache_dir,
		      const struct wanted *wanted, size_t count, struct strv *modules,
		      const char **ret_missing, struct error *err)
{
	_cleanup_strv_ struct strv added = { 0 };

	*ret_missing = NULL;
	for (size_t i = 0; i < count && !*ret_missing; i++) {
		const char *line = find_line(&tree->dep, wanted[i].name, ':');

		if (line && add_with_dependencies(tree, cache_dir, line, &added, modules, err))
			return -1;
		if (!line && !wanted[i].optional &&
		    !find_line(&tree->builtin, wanted[i].name, '\n'))
			*ret_missing = wanted[i].name;
	}
	return 0;
}

int modules_resolve(const char *path, const char *cache_dir, struct strv *ret, struct error *err)
{
	CLEANUP(module_tree_reset) struct module_tree tree = { .path = path };
	_cleanup_strv_ struct strv found = { 0 };
	const char *missing;

	if (read_tree(&tree, err) ||
	    add_wanted(&tree, cache_dir, wanted_modules,
		       sizeof(wanted_modules) / sizeof(wanted_modules[0]), &found, &missing, err))
		return -1;
	if (missing)
		return error_set(err,
				 "%s: has no module '%s', nor is it built in (install a "
				 "kernel for virtual machines, or set `kernel`)",
				 path, missing);
	*ret = found;
	found = (struct strv){ 0 };
	return 0;
}

int modules_add_verity(const char *path, const char *cache_dir, struct strv *modules, bool *ret_has,
		       struct error *err)
{
	CLEANUP(module_tree_reset) struct module_tree tree = { .path = path };
	_cleanup_strv_ struct strv found = { 0 };
	const char *missing;

	if (read_tree(&tree, err) ||
	    add_wanted(&tree, cache_dir, verity_modules,
		       sizeof(verity_modules) / sizeof(verity_modules[0]), &found, &missing, err))
		return -1;
	*ret_has = !missing;
	STRV_EACH (module, &found)
		if (!missing && !strv_contains(modules, module))
			strv_add(modules, module);
	return 0;
}
