/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by kernel.c with a mapped file. Formats, all of Linux:
 *
 * - bzImage: Documentation/arch/x86/boot.rst ("payload_offset"). The payload is an ELF, which QEMU
 *   and Firecracker start through its PVH entry (the note XEN_ELFNOTE_PHYS32_ENTRY,
 *   include/xen/interface/elfnote.h), with no real-mode code in between.
 * - Image: Documentation/arch/arm64/booting.rst, "Call the kernel image".
 * - zboot: drivers/firmware/efi/libstub/zboot-header.S. The payload is an Image.
 */
#include "vmm/kernel_image.h"

#include <elf.h>
#include <endian.h>
#include <string.h>

#include "base/cleanup.h"
#include "vmm/unpack.h"

enum {
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

	IMAGE_FLAGS = 24,
	IMAGE_MAGIC = 56, /* "ARM\x64" */
	IMAGE_BIG_ENDIAN = 1,

	ZBOOT_MAGIC = 4, /* "zimg"; "MZ" comes first */
	ZBOOT_PAYLOAD_OFFSET = 8,
	ZBOOT_PAYLOAD_LENGTH = 12,
};

static const struct {
	const char *name;
	uint16_t elf;
} machines[] = {
	[MACHINE_X86_64] = { "x86_64", EM_X86_64 },
	[MACHINE_AARCH64] = { "aarch64", EM_AARCH64 },
};

static uint32_t le32_at(const uint8_t *bytes, size_t offset)
{
	uint32_t value;

	memcpy(&value, bytes + offset, sizeof(value));
	return le32toh(value);
}

/* --- plain forms ------------------------------------------------------------------------------
 */

static bool is_elf(const uint8_t *bytes, size_t length)
{
	return length >= SELFMAG && memcmp(bytes, ELFMAG, SELFMAG) == 0;
}

static bool is_image(const uint8_t *bytes, size_t length)
{
	return length >= KERNEL_IMAGE_MIN && memcmp(bytes + IMAGE_MAGIC, "ARM\x64", 4) == 0;
}

bool kernel_image_is_plain(const uint8_t *bytes, size_t length)
{
	return is_elf(bytes, length) || is_image(bytes, length);
}

static int wrong_machine(const char *path, const char *form, enum machine machine,
			 struct error *err)
{
	return error_set(err, "%s: %s is not a kernel for %s", path, form, machines[machine].name);
}

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

static int find_pvh_entry(const uint8_t *bytes, size_t length, const Elf64_Ehdr *header,
			  const char *path, struct error *err)
{
	for (size_t i = 0; i < le16toh(header->e_phnum); i++) {
		Elf64_Phdr segment;
		uint64_t offset, size;

		memcpy(&segment, bytes + le64toh(header->e_phoff) + i * sizeof(segment),
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

static int check_elf(const uint8_t *bytes, size_t length, enum machine machine, const char *path,
		     struct error *err)
{
	Elf64_Ehdr header;

	memcpy(&header, bytes, sizeof(header));
	if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
	    le16toh(header.e_machine) != machines[machine].elf)
		return wrong_machine(path, "the ELF", machine, err);
	if (machine == MACHINE_AARCH64)
		return error_set(err,
				 "%s: an ELF, which nothing starts on aarch64 (use the Image "
				 "of the same build, arch/arm64/boot/Image)",
				 path);
	if (le16toh(header.e_phentsize) != sizeof(Elf64_Phdr) || le64toh(header.e_phoff) > length ||
	    le16toh(header.e_phnum) > (length - le64toh(header.e_phoff)) / sizeof(Elf64_Phdr))
		return error_set(err, "%s: its ELF program headers lie outside of it", path);
	return find_pvh_entry(bytes, length, &header, path, err);
}

static int check_image(const uint8_t *bytes, enum machine machine, const char *path,
		       struct error *err)
{
	if (machine != MACHINE_AARCH64)
		return wrong_machine(path, "the arm64 Image", machine, err);
	if (le32_at(bytes, IMAGE_FLAGS) & IMAGE_BIG_ENDIAN)
		return error_set(err,
				 "%s: a big-endian kernel (build it without "
				 "CONFIG_CPU_BIG_ENDIAN)",
				 path);
	return 0;
}

int kernel_image_check(const uint8_t *bytes, size_t length, enum machine machine, const char *path,
		       struct error *err)
{
	if (length >= KERNEL_IMAGE_MIN && is_elf(bytes, length))
		return check_elf(bytes, length, machine, path, err);
	if (is_image(bytes, length))
		return check_image(bytes, machine, path, err);
	return error_set(err, "%s: holds neither an ELF kernel nor an arm64 Image", path);
}

/* --- packed forms -----------------------------------------------------------------------------
 */

static bool is_bzimage(const uint8_t *bytes, size_t length)
{
	return length >= BZIMAGE_HEADER_END && memcmp(bytes + BZIMAGE_MAGIC, "HdrS", 4) == 0;
}

static bool is_zboot(const uint8_t *bytes)
{
	return memcmp(bytes, "MZ", 2) == 0 && memcmp(bytes + ZBOOT_MAGIC, "zimg", 4) == 0;
}

static int payload_outside(const char *path, const char *form, struct error *err)
{
	return error_set(err, "%s: the %s's payload lies outside of the file", path, form);
}

static int extract_bzimage(const uint8_t *bytes, size_t length, const char *path,
			   struct strbuf *out, struct error *err)
{
	/* "For backwards compatibility, if the setup_sects field contains 0, the real value is 4."
	 */
	size_t setup_sects = bytes[BZIMAGE_SETUP_SECTS] ? bytes[BZIMAGE_SETUP_SECTS] : 4;
	size_t offset = (setup_sects + 1) * SECTOR_BYTES +
			(size_t)le32_at(bytes, BZIMAGE_PAYLOAD_OFFSET);
	size_t size = le32_at(bytes, BZIMAGE_PAYLOAD_LENGTH);
	uint32_t announced;

	if ((le32_at(bytes, BZIMAGE_VERSION) & 0xffff) < BZIMAGE_VERSION_WITH_PAYLOAD)
		return error_set(err, "%s: a bzImage older than Linux 2.6.26", path);
	if (offset > length || size > length - offset || size < 8)
		return payload_outside(path, "bzImage", err);
	if (is_elf(bytes + offset, size)) { /* CONFIG_KERNEL_UNCOMPRESSED */
		strbuf_add(out, bytes + offset, size);
		return 0;
	}
	if (unpack(bytes + offset, size, KERNEL_IMAGE_MAX, path, out, err))
		return -1;
	/* gzip ends in the size modulo 2^32; for the others, the kernel's Makefile appends it. */
	announced = le32_at(bytes, offset + size - 4);
	if (announced != out->length)
		return error_set(err, "%s: unpacks to %zu bytes, but %u were announced", path,
				 out->length, announced);
	return 0;
}

static int extract_zboot(const uint8_t *bytes, size_t length, const char *path, struct strbuf *out,
			 struct error *err)
{
	size_t offset = le32_at(bytes, ZBOOT_PAYLOAD_OFFSET);
	size_t size = le32_at(bytes, ZBOOT_PAYLOAD_LENGTH);

	if (offset > length || size > length - offset)
		return payload_outside(path, "zboot image", err);
	/* Its header names the format, too; the first bytes say so with less room for error. */
	return unpack(bytes + offset, size, KERNEL_IMAGE_MAX, path, out, err);
}

int kernel_image_extract(const uint8_t *bytes, size_t length, enum machine machine,
			 const char *path, struct strbuf *out, struct error *err)
{
	int result;

	if (is_bzimage(bytes, length))
		result = machine == MACHINE_X86_64
				 ? extract_bzimage(bytes, length, path, out, err)
				 : wrong_machine(path, "the bzImage", machine, err);
	else if (is_zboot(bytes))
		result = extract_zboot(bytes, length, path, out, err);
	else if (unpack_format(bytes, length))
		result = unpack(bytes, length, KERNEL_IMAGE_MAX, path, out, err);
	else
		result = error_set(err,
				   "%s: neither an ELF kernel, a bzImage, an arm64 Image nor a "
				   "zboot image",
				   path);
	if (result)
		return -1;
	return kernel_image_check((const uint8_t *)out->data, out->length, machine, path, err);
}
