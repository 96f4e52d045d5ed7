/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/kernel_image.c and vmm/unpack.c: every form and compression, for both machines whatever this
 * host is, and every way to be damaged. */
#include "kernels.h"

#include <stdio.h>

#include "base/error.h"
#include "vmm/kernel_image.h"

static pack_fn *const packers[] = {
	pack_gzip, pack_xz, pack_lzma, pack_zstd, pack_bzip2, pack_lz4
};
enum { PACKERS = sizeof(packers) / sizeof(packers[0]) };

static int extract(const struct strbuf *image, enum machine machine, struct strbuf *out,
		   struct error *err)
{
	return kernel_image_extract((const uint8_t *)image->data, image->length, machine, "KERNEL",
				    out, err);
}

static void extracts(const struct strbuf *image, enum machine machine, const uint8_t *plain)
{
	_cleanup_strbuf_ struct strbuf out = { 0 };
	struct error err = { 0 };

	assert_false(kernel_image_is_plain((const uint8_t *)image->data, image->length));
	if (extract(image, machine, &out, &err))
		fail_msg("%s", err.text);
	assert_int_equal(out.length, ELF_BYTES);
	assert_memory_equal(out.data, plain, ELF_BYTES);
}

static void refuses(const struct strbuf *image, enum machine machine, const char *message)
{
	_cleanup_strbuf_ struct strbuf out = { 0 };
	struct error err = { 0 };

	assert_int_equal(extract(image, machine, &out, &err), -1);
	assert_string_equal(err.text, message);
}

static void refuses_plain(const uint8_t *plain, enum machine machine, const char *message)
{
	struct error err = { 0 };

	assert_true(kernel_image_is_plain(plain, ELF_BYTES));
	assert_int_equal(kernel_image_check(plain, ELF_BYTES, machine, "KERNEL", &err), -1);
	assert_string_equal(err.text, message);
}

static void test_bzimage(void **state)
{
	uint8_t elf[ELF_BYTES];

	(void)state;
	make_elf(elf, 1);
	for (unsigned i = 0; i <= PACKERS; i++) {
		_cleanup_strbuf_ struct strbuf image = { 0 };

		make_bzimage(i < PACKERS ? packers[i] : pack_not, elf, &image);
		extracts(&image, MACHINE_X86_64, elf);
		refuses(&image, MACHINE_AARCH64, "KERNEL: the bzImage is not a kernel for aarch64");
	}
}

static void test_zboot(void **state)
{
	uint8_t arm[ELF_BYTES];

	(void)state;
	make_image(arm, 2);
	for (unsigned i = 0; i < PACKERS; i++) {
		_cleanup_strbuf_ struct strbuf image = { 0 };

		make_zboot(packers[i], arm, &image);
		extracts(&image, MACHINE_AARCH64, arm);
		refuses(&image, MACHINE_X86_64,
			"KERNEL: the arm64 Image is not a kernel for x86_64");
	}
}

static void test_compressed_whole(void **state)
{
	uint8_t arm[ELF_BYTES], elf[ELF_BYTES];

	(void)state;
	make_image(arm, 3);
	make_elf(elf, 3);
	for (unsigned i = 0; i < PACKERS; i++) {
		_cleanup_strbuf_ struct strbuf image = { 0 };
		_cleanup_strbuf_ struct strbuf vmlinux = { 0 };

		packers[i](arm, &image);
		extracts(&image, MACHINE_AARCH64, arm);
		packers[i](elf, &vmlinux);
		extracts(&vmlinux, MACHINE_X86_64, elf);
		refuses(&vmlinux, MACHINE_AARCH64, "KERNEL: the ELF is not a kernel for aarch64");
	}
}

static void test_plain_elf(void **state)
{
	uint8_t elf[ELF_BYTES];
	struct error err = { 0 };

	(void)state;
	make_elf(elf, 7);
	assert_int_equal(kernel_image_check(elf, ELF_BYTES, MACHINE_X86_64, "KERNEL", &err), 0);
	refuses_plain(elf, MACHINE_AARCH64, "KERNEL: the ELF is not a kernel for aarch64");
	elf[NOTE_AT + 8] = 17;
	refuses_plain(elf, MACHINE_X86_64, "KERNEL: has no PVH entry (build it with CONFIG_PVH=y)");
	memset(elf + NOTE_AT, 0xff, 8);
	refuses_plain(elf, MACHINE_X86_64, "KERNEL: has no PVH entry (build it with CONFIG_PVH=y)");
	make_elf(elf, 7);
	elf[offsetof(Elf64_Ehdr, e_machine)] = EM_AARCH64;
	refuses_plain(elf, MACHINE_X86_64, "KERNEL: the ELF is not a kernel for x86_64");
	refuses_plain(elf, MACHINE_AARCH64,
		      "KERNEL: an ELF, which nothing starts on aarch64 (use the Image of the same "
		      "build, arch/arm64/boot/Image)");
	make_elf(elf, 7);
	elf[EI_CLASS] = ELFCLASS32;
	refuses_plain(elf, MACHINE_X86_64, "KERNEL: the ELF is not a kernel for x86_64");
	make_elf(elf, 7);
	elf[offsetof(Elf64_Ehdr, e_phoff) + 7] = 0x80;
	refuses_plain(elf, MACHINE_X86_64, "KERNEL: its ELF program headers lie outside of it");
	make_elf(elf, 7);
	elf[sizeof(Elf64_Ehdr) + offsetof(Elf64_Phdr, p_filesz) + 7] = 0xff;
	refuses_plain(elf, MACHINE_X86_64, "KERNEL: its ELF segment 0 lies outside of it");
}

static void test_plain_image(void **state)
{
	uint8_t arm[ELF_BYTES];
	struct error err = { 0 };

	(void)state;
	make_image(arm, 8);
	assert_int_equal(kernel_image_check(arm, ELF_BYTES, MACHINE_AARCH64, "KERNEL", &err), 0);
	refuses_plain(arm, MACHINE_X86_64, "KERNEL: the arm64 Image is not a kernel for x86_64");
	arm[24] = 0x0b; /* 4 KiB pages, anywhere in memory, big-endian */
	refuses_plain(arm, MACHINE_AARCH64,
		      "KERNEL: a big-endian kernel (build it without CONFIG_CPU_BIG_ENDIAN)");
	arm[24] = 0x0a;
	assert_int_equal(kernel_image_check(arm, ELF_BYTES, MACHINE_AARCH64, "KERNEL", &err), 0);
}

static void test_damaged_bzimage(void **state)
{
	_cleanup_strbuf_ struct strbuf image = { 0 };
	uint8_t elf[ELF_BYTES];
	char *payload;

	(void)state;
	make_elf(elf, 9);
	make_bzimage(pack_gzip, elf, &image);
	payload = image.data + 1024 + PAYLOAD_OFFSET;
	put32(&image, 0x248, 0xfffffff0);
	refuses(&image, MACHINE_X86_64, "KERNEL: the bzImage's payload lies outside of the file");
	put32(&image, 0x248, PAYLOAD_OFFSET);
	payload[2000] ^= 0x55;
	refuses(&image, MACHINE_X86_64, "KERNEL: the gzip data are damaged or cut short");
	memcpy(payload, "\x89LZO\0\r\n\x1a\n", 9);
	refuses(&image, MACHINE_X86_64,
		"KERNEL: compressed with lzo, which is not supported (use a kernel with gzip, xz, "
		"zstd, lz4 or bzip2)");
	memcpy(payload, "none", 4);
	refuses(&image, MACHINE_X86_64, "KERNEL: not in a compression format of Linux");
	image.data[0x206] = 7;
	refuses(&image, MACHINE_X86_64, "KERNEL: a bzImage older than Linux 2.6.26");
}

static void test_damaged_zboot(void **state)
{
	_cleanup_strbuf_ struct strbuf image = { 0 };
	uint8_t arm[ELF_BYTES];

	(void)state;
	make_image(arm, 10);
	make_zboot(pack_zstd, arm, &image);
	put32(&image, 12, (uint32_t)image.length);
	refuses(&image, MACHINE_AARCH64,
		"KERNEL: the zboot image's payload lies outside of the file");
	put32(&image, 12, 0);
	refuses(&image, MACHINE_AARCH64, "KERNEL: not in a compression format of Linux");
	put32(&image, 8, 0xfffffff0);
	refuses(&image, MACHINE_AARCH64,
		"KERNEL: the zboot image's payload lies outside of the file");
}

/* Every compression, cut short here and there. */
static void test_damaged_streams(void **state)
{
	uint8_t arm[ELF_BYTES];

	(void)state;
	make_image(arm, 11);
	for (unsigned i = 0; i < PACKERS; i++) {
		_cleanup_strbuf_ struct strbuf whole = { 0 };

		packers[i](arm, &whole);
		for (size_t length = KERNEL_IMAGE_MIN; length < whole.length - 8; length += 997) {
			struct strbuf cut = { .data = whole.data, .length = length };
			_cleanup_strbuf_ struct strbuf out = { 0 };
			struct error err = { 0 };

			assert_int_equal(extract(&cut, MACHINE_AARCH64, &out, &err), -1);
			if (!strstr(err.text, "damaged or cut short"))
				fail_msg("packer %u, %zu bytes: %s", i, length, err.text);
		}
	}
}

static void test_refuses_strangers(void **state)
{
	_cleanup_strbuf_ struct strbuf image = { 0 };
	uint8_t bytes[ELF_BYTES] = { 0 };

	(void)state;
	strbuf_add(&image, bytes, sizeof(bytes));
	refuses(&image, MACHINE_X86_64,
		"KERNEL: neither an ELF kernel, a bzImage, an arm64 Image nor a zboot image");
	strbuf_reset(&image);
	pack_gzip(bytes, &image);
	if (image.length < KERNEL_IMAGE_MIN)
		strbuf_add(&image, bytes, KERNEL_IMAGE_MIN);
	refuses(&image, MACHINE_X86_64, "KERNEL: holds neither an ELF kernel nor an arm64 Image");
	strbuf_reset(&image);
	make_elf(bytes, 12);
	make_bzimage(pack_xz, bytes, &image);
	put32(&image, image.length - 22 - 4, ELF_BYTES + 1);
	refuses(&image, MACHINE_X86_64, "KERNEL: unpacks to 40000 bytes, but 40001 were announced");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bzimage),		  cmocka_unit_test(test_zboot),
		cmocka_unit_test(test_compressed_whole),  cmocka_unit_test(test_plain_elf),
		cmocka_unit_test(test_plain_image),	  cmocka_unit_test(test_damaged_bzimage),
		cmocka_unit_test(test_damaged_zboot),	  cmocka_unit_test(test_damaged_streams),
		cmocka_unit_test(test_refuses_strangers),
	};

	return cmocka_run_group_tests_name("kernel_image", tests, NULL, NULL);
}
