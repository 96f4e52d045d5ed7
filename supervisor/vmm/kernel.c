/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by instance/ before a guest is prepared; its result feeds the drivers (the image) and
 * guest/initramfs (the modules). What is in the file, kernel_image.c knows.
 */
#include "vmm/kernel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/strbuf.h"
#include "vmm/modules.h"

static const char *const cache_stems[] = {
	[MACHINE_X86_64] = "vmlinux",
	[MACHINE_AARCH64] = "Image",
};

static const char *const debian_packages[] = {
	[MACHINE_X86_64] = "linux-image-cloud-amd64",
	[MACHINE_AARCH64] = "linux-image-cloud-arm64",
};

/* A file in memory. */
struct image {
	uint8_t *bytes; /* mapped */
	size_t length;
	bool world_readable;
};

static void image_unmap(struct image *image)
{
	if (image->bytes)
		munmap(image->bytes, image->length);
}

static int image_map(const char *path, struct image *ret, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	void *bytes;

	if (fd < 0 || fstat(fd, &st))
		return error_errno(err, errno, "%s: open the kernel", path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, "%s: a kernel must be a regular file", path);
	/* Whoever can write it owns every guest that boots it. */
	if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & 022))
		return error_set(err, "%s: others than root can write it (chown root, chmod go-w)",
				 path);
	if (st.st_size < KERNEL_IMAGE_MIN || st.st_size > KERNEL_IMAGE_MAX)
		return error_set(err, "%s: %lld bytes are no kernel", path, (long long)st.st_size);
	bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes == MAP_FAILED)
		return error_errno(err, errno, "%s: map", path);
	ret->bytes = bytes;
	ret->length = (size_t)st.st_size;
	ret->world_readable = st.st_mode & 0004;
	return 0;
}

/* The path of the plain kernel: the file itself, or what is in the cache under a name made of its
 * content. */
static int resolve_image(const char *path, enum machine machine, const char *cache_dir, char **ret,
			 struct error *err)
{
	CLEANUP(image_unmap) struct image image = { 0 };
	_cleanup_strbuf_ struct strbuf plain = { 0 };
	_cleanup_free_ char *cached = NULL;
	bool as_is;

	if (image_map(path, &image, err))
		return -1;
	as_is = kernel_image_is_plain(image.bytes, image.length);
	if (as_is && kernel_image_check(image.bytes, image.length, machine, path, err))
		return -1;
	if (as_is && image.world_readable) {
		*ret = xstrdup(path);
		return 0;
	}
	cached = modules_cache_path(cache_dir, cache_stems[machine], image.bytes, image.length, "");
	if (access(cached, F_OK) == 0) {
		*ret = take_ptr(cached);
		return 0;
	}
	if (as_is)
		strbuf_add(&plain, image.bytes, image.length);
	else if (kernel_image_extract(image.bytes, image.length, machine, path, &plain, err))
		return -1;
	if (fs_mkdir_p(cache_dir, 0755, err) ||
	    fs_write_atomic(cached, plain.data, plain.length, 0644, err))
		return -1;
	*ret = take_ptr(cached);
	return 0;
}

/* --- the newest installed one ---------------------------------------------------------------- */

/* Debian and Ubuntu keep /boot/vmlinuz-VERSION, Fedora and Arch /lib/modules/VERSION/vmlinuz. */
static char *find_image(const char *version, const char *boot_dir, const char *modules_dir)
{
	_cleanup_free_ char *dep = xasprintf("%s/%s/modules.dep", modules_dir, version);
	_cleanup_free_ char *in_boot = xasprintf("%s/vmlinuz-%s", boot_dir, version);
	_cleanup_free_ char *in_modules = xasprintf("%s/%s/vmlinuz", modules_dir, version);

	if (access(dep, R_OK))
		return NULL;
	if (access(in_boot, R_OK) == 0)
		return take_ptr(in_boot);
	return access(in_modules, R_OK) == 0 ? take_ptr(in_modules) : NULL;
}

/* Cloud kernels are made to be guests: smaller, with virtio; among equals the newest. */
static bool is_better(const char *version, const char *than)
{
	bool cloud = strstr(version, "-cloud-");

	if (!than)
		return true;
	if (cloud != (strstr(than, "-cloud-") != NULL))
		return cloud;
	return strverscmp(version, than) > 0;
}

static int find_newest(enum machine machine, const char *boot_dir, const char *modules_dir,
		       char **ret_version, char **ret_path, struct error *err)
{
	_cleanup_free_ char *best = NULL;
	_cleanup_free_ char *best_path = NULL;
	struct dirent *entry;
	DIR *directory = opendir(modules_dir);

	while (directory && (entry = readdir(directory))) {
		char *path;

		if (entry->d_name[0] == '.' || !is_better(entry->d_name, best))
			continue;
		path = find_image(entry->d_name, boot_dir, modules_dir);
		if (!path)
			continue;
		free(best);
		free(best_path);
		best = xstrdup(entry->d_name);
		best_path = path;
	}
	if (directory)
		closedir(directory);
	if (!best)
		return error_set(err,
				 "%s: no installed kernel with its modules in %s "
				 "(install %s, or set `kernel` to a path)",
				 boot_dir, modules_dir, debian_packages[machine]);
	*ret_version = take_ptr(best);
	*ret_path = take_ptr(best_path);
	return 0;
}

static int resolve_auto(enum machine machine, const char *cache_dir, const char *boot_dir,
			const char *modules_dir, struct kernel *kernel, struct error *err)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_free_ char *tree = NULL;

	if (find_newest(machine, boot_dir, modules_dir, &kernel->version, &path, err))
		return -1;
	tree = xasprintf("%s/%s", modules_dir, kernel->version);
	if (fs_mkdir_p(cache_dir, 0755, err) ||
	    resolve_image(path, machine, cache_dir, &kernel->path, err))
		return -1;
	return modules_resolve(tree, cache_dir, &kernel->modules, err);
}

int kernel_resolve(const char *choice, enum machine machine, const char *cache_dir,
		   const char *boot_dir, const char *modules_dir, struct kernel *ret,
		   struct error *err)
{
	CLEANUP(kernel_reset) struct kernel kernel = { 0 };

	if (strcmp(choice, "auto") == 0) {
		if (resolve_auto(machine, cache_dir, boot_dir, modules_dir, &kernel, err))
			return -1;
	} else {
		kernel.version = xstrdup("");
		if (resolve_image(choice, machine, cache_dir, &kernel.path, err))
			return -1;
	}
	*ret = kernel;
	kernel = (struct kernel){ 0 };
	return 0;
}

int kernel_add_verity(struct kernel *kernel, const char *cache_dir, const char *modules_dir,
		      bool *ret_has, struct error *err)
{
	static const char message[] = "device-mapper: verity: "; /* DMERR of dm-verity-target.c */
	CLEANUP(image_unmap) struct image image = { 0 };
	_cleanup_free_ char *tree = xasprintf("%s/%s", modules_dir, kernel->version);

	if (*kernel->version)
		return modules_add_verity(tree, cache_dir, &kernel->modules, ret_has, err);
	if (image_map(kernel->path, &image, err))
		return -1;
	*ret_has = memmem(image.bytes, image.length, message, strlen(message)) != NULL;
	return 0;
}

void kernel_reset(struct kernel *kernel)
{
	free(kernel->path);
	free(kernel->version);
	strv_reset(&kernel->modules);
	*kernel = (struct kernel){ 0 };
}
