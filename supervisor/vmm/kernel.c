/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by instance/ before a guest is prepared; its result feeds the drivers (the ELF) and
 * guest/initramfs (the modules).
 *
 * A bzImage is taken apart as Documentation/arch/x86/boot.rst of Linux says ("payload_offset"); its
 * payload is the ELF that QEMU and Firecracker start through its PVH entry (the note
 * XEN_ELFNOTE_PHYS32_ENTRY, include/xen/interface/elfnote.h), with no real-mode code in between.
 */
#include "vmm/kernel.h"

#include <dirent.h>
#include <elf.h>
#include <endian.h>
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
#include "vmm/unpack.h"

enum {
	FILE_MAX = 512 << 20,
	NOTES_MAX = 1 << 20,
	XEN_ELFNOTE_PHYS32_ENTRY = 18,

	/* Offsets in the first sector, boot.rst "The Real-Mode Kernel Header". */
	BZIMAGE_SETUP_SECTS = 0x1f1,
	BZIMAGE_MAGIC = 0x202, /* "HdrS" */
	BZIMAGE_VERSION = 0x206,
	BZIMAGE_PAYLOAD_OFFSET = 0x248,
	BZIMAGE_PAYLOAD_LENGTH = 0x24c,
	BZIMAGE_HEADER_END = 0x250,
	BZIMAGE_VERSION_WITH_PAYLOAD = 0x208,
	SECTOR_BYTES = 512,
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

static uint32_t le32_at(const uint8_t *bytes, size_t offset)
{
	uint32_t value;

	memcpy(&value, bytes + offset, sizeof(value));
	return le32toh(value);
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
	if (st.st_size < SECTOR_BYTES || st.st_size > FILE_MAX)
		return error_set(err, "%s: %lld bytes are no kernel", path, (long long)st.st_size);
	bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes == MAP_FAILED)
		return error_errno(err, errno, "%s: map", path);
	ret->bytes = bytes;
	ret->length = (size_t)st.st_size;
	ret->world_readable = st.st_mode & 0004;
	return 0;
}

/* --- the ELF --------------------------------------------------------------------------------- */

static size_t note_align(size_t size)
{
	return (size + 3) & ~(size_t)3;
}

static bool notes_have_pvh_entry(const uint8_t *notes, size_t length)
{
	while (length >= sizeof(Elf64_Nhdr)) {
		const uint8_t *name = notes + sizeof(Elf64_Nhdr);
		uint32_t name_size = le32_at(notes, offsetof(Elf64_Nhdr, n_namesz));
		uint32_t value_size = le32_at(notes, offsetof(Elf64_Nhdr, n_descsz));
		uint32_t type = le32_at(notes, offsetof(Elf64_Nhdr, n_type));
		size_t size = sizeof(Elf64_Nhdr) + note_align(name_size) + note_align(value_size);

		if (size > length)
			return false;
		if (type == XEN_ELFNOTE_PHYS32_ENTRY && name_size == 4 &&
		    memcmp(name, "Xen", 4) == 0)
			return true;
		notes += size;
		length -= size;
	}
	return false;
}

static bool is_elf(const uint8_t *bytes, size_t length)
{
	return length >= SELFMAG && memcmp(bytes, ELFMAG, SELFMAG) == 0;
}

static int check_elf(const uint8_t *bytes, size_t length, const char *path, struct error *err)
{
	Elf64_Ehdr header;

	if (length < sizeof(header) || !is_elf(bytes, length))
		return error_set(err, "%s: does not hold an ELF kernel", path);
	memcpy(&header, bytes, sizeof(header));
	if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
	    le16toh(header.e_machine) != EM_X86_64)
		return error_set(err, "%s: not a kernel for x86_64", path);
	if (le16toh(header.e_phentsize) != sizeof(Elf64_Phdr) || le64toh(header.e_phoff) > length ||
	    le16toh(header.e_phnum) > (length - le64toh(header.e_phoff)) / sizeof(Elf64_Phdr))
		return error_set(err, "%s: its ELF program headers lie outside of it", path);

	for (size_t i = 0; i < le16toh(header.e_phnum); i++) {
		Elf64_Phdr segment;
		uint64_t offset, size;

		memcpy(&segment, bytes + le64toh(header.e_phoff) + i * sizeof(segment),
		       sizeof(segment));
		offset = le64toh(segment.p_offset);
		size = le64toh(segment.p_filesz);
		if (offset > length || size > length - offset)
			return error_set(err, "%s: its ELF segment %zu lies outside of it", path,
					 i);
		if (le32toh(segment.p_type) == PT_NOTE && size <= NOTES_MAX &&
		    notes_have_pvh_entry(bytes + offset, size))
			return 0;
	}
	return error_set(err, "%s: has no PVH entry (build it with CONFIG_PVH=y)", path);
}

/* --- the bzImage ----------------------------------------------------------------------------- */

static int find_payload(const struct image *image, const char *path, size_t *ret_offset,
			size_t *ret_length, struct error *err)
{
	const uint8_t *bytes = image->bytes;
	size_t setup_sects, begin, length;

	if (image->length < BZIMAGE_HEADER_END || memcmp(bytes + BZIMAGE_MAGIC, "HdrS", 4))
		return error_set(err, "%s: neither an ELF kernel nor a bzImage", path);
	if ((le32_at(bytes, BZIMAGE_VERSION) & 0xffff) < BZIMAGE_VERSION_WITH_PAYLOAD)
		return error_set(err, "%s: a bzImage older than Linux 2.6.26", path);
	/* "For backwards compatibility, if the setup_sects field contains 0, the real value is 4."
	 */
	setup_sects = bytes[BZIMAGE_SETUP_SECTS] ? bytes[BZIMAGE_SETUP_SECTS] : 4;
	begin = (setup_sects + 1) * SECTOR_BYTES + (size_t)le32_at(bytes, BZIMAGE_PAYLOAD_OFFSET);
	length = le32_at(bytes, BZIMAGE_PAYLOAD_LENGTH);
	if (begin > image->length || length > image->length - begin || length < 8)
		return error_set(err, "%s: the bzImage's payload lies outside of the file", path);
	*ret_offset = begin;
	*ret_length = length;
	return 0;
}

static int extract(const struct image *image, const char *path, struct strbuf *out,
		   struct error *err)
{
	size_t offset = 0, length = 0;

	if (find_payload(image, path, &offset, &length, err))
		return -1;
	if (is_elf(image->bytes + offset, length)) { /* CONFIG_KERNEL_UNCOMPRESSED */
		strbuf_add(out, image->bytes + offset, length);
		return 0;
	}
	if (unpack(image->bytes + offset, length, FILE_MAX, path, out, err))
		return -1;
	/* gzip ends in the size modulo 2^32; for the others, the kernel's Makefile appends it. */
	if (le32_at(image->bytes, offset + length - 4) != out->length)
		return error_set(err, "%s: unpacks to %zu bytes, but %u were announced", path,
				 out->length, le32_at(image->bytes, offset + length - 4));
	return 0;
}

/* The path of the ELF: the file itself, or what is in the cache under a name made of its content.
 */
static int resolve_elf(const char *path, const char *cache_dir, char **ret, struct error *err)
{
	CLEANUP(image_unmap) struct image image = { 0 };
	_cleanup_strbuf_ struct strbuf elf = { 0 };
	_cleanup_free_ char *cached = NULL;

	if (image_map(path, &image, err))
		return -1;
	if (is_elf(image.bytes, image.length)) {
		if (check_elf(image.bytes, image.length, path, err))
			return -1;
		if (image.world_readable) {
			*ret = xstrdup(path);
			return 0;
		}
	}
	cached = modules_cache_path(cache_dir, "vmlinux", image.bytes, image.length, "");
	if (access(cached, F_OK) == 0) {
		*ret = take_ptr(cached);
		return 0;
	}
	if (is_elf(image.bytes, image.length))
		strbuf_add(&elf, image.bytes, image.length);
	else if (extract(&image, path, &elf, err))
		return -1;
	if (check_elf((const uint8_t *)elf.data, elf.length, path, err) ||
	    fs_mkdir_p(cache_dir, 0755, err) ||
	    fs_write_atomic(cached, elf.data, elf.length, 0644, err))
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

static int find_newest(const char *boot_dir, const char *modules_dir, char **ret_version,
		       char **ret_path, struct error *err)
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
				 "(install linux-image-cloud-amd64, or set `kernel` to a path)",
				 boot_dir, modules_dir);
	*ret_version = take_ptr(best);
	*ret_path = take_ptr(best_path);
	return 0;
}

static int resolve_auto(const char *cache_dir, const char *boot_dir, const char *modules_dir,
			struct kernel *kernel, struct error *err)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_free_ char *tree = NULL;

	if (find_newest(boot_dir, modules_dir, &kernel->version, &path, err))
		return -1;
	tree = xasprintf("%s/%s", modules_dir, kernel->version);
	if (fs_mkdir_p(cache_dir, 0755, err) || resolve_elf(path, cache_dir, &kernel->path, err))
		return -1;
	return modules_resolve(tree, cache_dir, &kernel->modules, err);
}

int kernel_resolve(const char *choice, const char *cache_dir, const char *boot_dir,
		   const char *modules_dir, struct kernel *ret, struct error *err)
{
	CLEANUP(kernel_reset) struct kernel kernel = { 0 };

	if (strcmp(choice, "auto") == 0) {
		if (resolve_auto(cache_dir, boot_dir, modules_dir, &kernel, err))
			return -1;
	} else {
		kernel.version = xstrdup("");
		if (resolve_elf(choice, cache_dir, &kernel.path, err))
			return -1;
	}
	*ret = kernel;
	kernel = (struct kernel){ 0 };
	return 0;
}

void kernel_reset(struct kernel *kernel)
{
	free(kernel->path);
	free(kernel->version);
	strv_reset(&kernel->modules);
	*kernel = (struct kernel){ 0 };
}
