/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/kernel.c, vmm/modules.c, vmm/unpack.c on trees made here, damaged ones included. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <elf.h>
#include <lz4.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/strbuf.h"
#include "vmm/kernel.h"

enum { ELF_BYTES = 40000, NOTE_AT = 128, PAYLOAD_OFFSET = 0x300 };

static char *root, *boot_dir, *modules_dir, *cache_dir;

static int make_tree(void **state)
{
	char template[] = "/tmp/test_kernel.XXXXXX";

	(void)state;
	root = xstrdup(mkdtemp(template));
	boot_dir = xasprintf("%s/boot", root);
	modules_dir = xasprintf("%s/modules", root);
	cache_dir = xasprintf("%s/cache", root);
	return fs_mkdir_p(boot_dir, 0755, NULL) || fs_mkdir_p(modules_dir, 0755, NULL);
}

static int remove_tree(void **state)
{
	(void)state;
	fs_remove_tree(root, NULL);
	free(root);
	free(boot_dir);
	free(modules_dir);
	free(cache_dir);
	return 0;
}

static void write_file(const char *path, const void *bytes, size_t length)
{
	_cleanup_free_ char *parent = xstrndup(path, (size_t)(strrchr(path, '/') - path));

	assert_int_equal(fs_mkdir_p(parent, 0755, NULL), 0);
	assert_int_equal(fs_write_atomic(path, bytes, length, 0644, NULL), 0);
}

static void write_text(const char *text, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void write_text(const char *text, const char *format, ...)
{
	_cleanup_free_ char *path = NULL;
	va_list args;

	va_start(args, format);
	assert_true(vasprintf(&path, format, args) > 0);
	va_end(args);
	write_file(path, text, strlen(text));
}

/* --- kernels ---------------------------------------------------------------------------------- */

/* The least that is a kernel: an ELF header, one note, and filling that differs by `seed`. */
static void make_elf(uint8_t *elf, unsigned seed)
{
	Elf64_Ehdr header = { .e_type = ET_EXEC,
			      .e_machine = EM_X86_64,
			      .e_version = EV_CURRENT,
			      .e_phoff = sizeof(header),
			      .e_phentsize = sizeof(Elf64_Phdr),
			      .e_phnum = 1 };
	Elf64_Phdr segment = { .p_type = PT_NOTE, .p_offset = NOTE_AT, .p_filesz = 24 };
	Elf64_Nhdr note = { .n_namesz = 4, .n_descsz = 8, .n_type = 18 };

	memcpy(header.e_ident, ELFMAG, SELFMAG);
	header.e_ident[EI_CLASS] = ELFCLASS64;
	header.e_ident[EI_DATA] = ELFDATA2LSB;
	for (size_t i = 0; i < ELF_BYTES; i++)
		elf[i] = (uint8_t)(i * i / 97 + seed);
	memcpy(elf, &header, sizeof(header));
	memcpy(elf + sizeof(header), &segment, sizeof(segment));
	memcpy(elf + NOTE_AT, &note, sizeof(note));
	memcpy(elf + NOTE_AT + sizeof(note), "Xen", 4);
}

static void append_size(struct strbuf *out)
{
	uint32_t size = ELF_BYTES;

	strbuf_add(out, &size, sizeof(size));
}

static void pack_gzip(const uint8_t *elf, struct strbuf *out)
{
	uint8_t packed[ELF_BYTES + 1024];
	z_stream stream = { .next_in = (Bytef *)elf,
			    .avail_in = ELF_BYTES,
			    .next_out = packed,
			    .avail_out = sizeof(packed) };

	assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, 0), Z_OK);
	assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
	strbuf_add(out, packed, stream.total_out);
	deflateEnd(&stream);
}

static void pack_xz(const uint8_t *elf, struct strbuf *out)
{
	uint8_t packed[ELF_BYTES + 1024];
	size_t length = 0;

	assert_int_equal(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, NULL, elf, ELF_BYTES, packed,
						 &length, sizeof(packed)),
			 LZMA_OK);
	strbuf_add(out, packed, length);
	append_size(out);
}

static void pack_lzma(const uint8_t *elf, struct strbuf *out)
{
	uint8_t packed[ELF_BYTES + 1024];
	lzma_stream stream = LZMA_STREAM_INIT;
	lzma_options_lzma options;

	assert_false(lzma_lzma_preset(&options, 6));
	assert_int_equal(lzma_alone_encoder(&stream, &options), LZMA_OK);
	stream.next_in = elf;
	stream.avail_in = ELF_BYTES;
	stream.next_out = packed;
	stream.avail_out = sizeof(packed);
	assert_int_equal(lzma_code(&stream, LZMA_FINISH), LZMA_STREAM_END);
	strbuf_add(out, packed, stream.total_out);
	lzma_end(&stream);
	append_size(out);
}

static void pack_zstd(const uint8_t *elf, struct strbuf *out)
{
	uint8_t packed[ELF_BYTES + 1024];
	size_t length = ZSTD_compress(packed, sizeof(packed), elf, ELF_BYTES, 3);

	assert_false(ZSTD_isError(length));
	strbuf_add(out, packed, length);
	append_size(out);
}

static void pack_lz4(const uint8_t *elf, struct strbuf *out)
{
	char packed[ELF_BYTES + 1024];

	strbuf_add(out, "\x02\x21\x4c\x18", 4);
	/* Two blocks, as of a kernel larger than 8 MiB. */
	for (size_t at = 0; at < ELF_BYTES; at += ELF_BYTES / 2) {
		uint32_t size = (uint32_t)LZ4_compress_default((const char *)elf + at, packed,
							       ELF_BYTES / 2, sizeof(packed));

		strbuf_add(out, &size, sizeof(size));
		strbuf_add(out, packed, size);
	}
	append_size(out);
}

static void pack_not(const uint8_t *elf, struct strbuf *out)
{
	strbuf_add(out, elf, ELF_BYTES);
}

static void put32(struct strbuf *out, size_t offset, uint32_t value)
{
	memcpy(out->data + offset, &value, sizeof(value));
}

static void make_bzimage(void (*pack)(const uint8_t *, struct strbuf *), unsigned seed,
			 struct strbuf *out)
{
	uint8_t elf[ELF_BYTES], setup[2 * 512 + PAYLOAD_OFFSET] = { 0 };

	make_elf(elf, seed);
	setup[0x1f1] = 1;
	memcpy(setup + 0x202, "HdrS\x0f\x02", 6);
	strbuf_add(out, setup, sizeof(setup));
	pack(elf, out);
	put32(out, 0x248, PAYLOAD_OFFSET);
	put32(out, 0x24c, (uint32_t)(out->length - sizeof(setup)));
	strbuf_add(out, "trailer of the bzImage", 22);
}

static int resolve(const char *choice, struct kernel *kernel, struct error *err)
{
	return kernel_resolve(choice, cache_dir, boot_dir, modules_dir, kernel, err);
}

static void test_formats(void **state)
{
	static void (*const packers[])(const uint8_t *, struct strbuf *) = { pack_gzip, pack_xz,
									     pack_lzma, pack_zstd,
									     pack_lz4,	pack_not };

	(void)state;
	for (unsigned i = 0; i < sizeof(packers) / sizeof(packers[0]); i++) {
		CLEANUP(kernel_reset) struct kernel kernel = { 0 };
		_cleanup_strbuf_ struct strbuf image = { 0 };
		_cleanup_strbuf_ struct strbuf found = { 0 };
		_cleanup_free_ char *path = xasprintf("%s/own", root);
		uint8_t elf[ELF_BYTES];
		struct error err = { 0 };
		struct stat st;

		make_elf(elf, i);
		make_bzimage(packers[i], i, &image);
		write_file(path, image.data, image.length);
		if (resolve(path, &kernel, &err))
			fail_msg("format %u: %s", i, err.text);
		assert_int_equal(strncmp(kernel.path, cache_dir, strlen(cache_dir)), 0);
		assert_string_equal(kernel.version, "");
		assert_int_equal(kernel.modules.count, 0);
		assert_int_equal(fs_read(kernel.path, 1 << 20, &found, &err), 0);
		assert_int_equal(found.length, ELF_BYTES);
		assert_memory_equal(found.data, elf, ELF_BYTES);
		assert_int_equal(stat(kernel.path, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0644);
	}
}

static void refuse_image(const void *bytes, size_t length, mode_t mode, const char *message)
{
	CLEANUP(kernel_reset) struct kernel kernel = { 0 };
	_cleanup_free_ char *path = xasprintf("%s/bad", root);
	struct error err = { 0 };

	write_file(path, bytes, length);
	assert_int_equal(chmod(path, mode), 0);
	assert_int_equal(resolve(path, &kernel, &err), -1);
	if (!strstr(err.text, message) || !strstr(err.text, path))
		fail_msg("'%s' lacks '%s'", err.text, message);
	assert_null(kernel.path);
}

static void test_refuses_images(void **state)
{
	_cleanup_strbuf_ struct strbuf image = { 0 };
	_cleanup_free_ char *noise = xcalloc(1, 4096);
	CLEANUP(kernel_reset) struct kernel kernel = { 0 };
	struct error err = { 0 };

	(void)state;
	make_bzimage(pack_gzip, 100, &image);
	refuse_image(image.data, image.length, 0666, "others than root can write it");
	refuse_image(image.data, 100, 0644, "100 bytes are no kernel");
	refuse_image(noise, 4096, 0644, "neither an ELF kernel nor a bzImage");
	refuse_image(image.data, image.length / 2, 0644, "payload lies outside of the file");
	put32(&image, 0x248, 0xfffffff0);
	refuse_image(image.data, image.length, 0644, "payload lies outside of the file");
	put32(&image, 0x248, PAYLOAD_OFFSET);
	image.data[1024 + PAYLOAD_OFFSET + 2000] ^= 0x55;
	refuse_image(image.data, image.length, 0644, "the gzip data are damaged or cut short");
	memcpy(image.data + 1024 + PAYLOAD_OFFSET, "BZh9", 4);
	refuse_image(image.data, image.length, 0644,
		     "compressed with bzip2, which is not supported");
	memcpy(image.data + 1024 + PAYLOAD_OFFSET, "none", 4);
	refuse_image(image.data, image.length, 0644, "not in a compression format of Linux");

	assert_int_equal(resolve("/no/such/kernel", &kernel, &err), -1);
	assert_int_equal(resolve(root, &kernel, &err), -1);
	assert_non_null(strstr(err.text, "a kernel must be a regular file"));
}

static void test_announced_size(void **state)
{
	_cleanup_strbuf_ struct strbuf image = { 0 };

	(void)state;
	make_bzimage(pack_xz, 101, &image);
	put32(&image, image.length - 22 - 4, ELF_BYTES + 1);
	refuse_image(image.data, image.length, 0644,
		     "unpacks to 40000 bytes, but 40001 were announced");
}

static void test_elf(void **state)
{
	CLEANUP(kernel_reset) struct kernel kernel = { 0 };
	_cleanup_free_ char *path = xasprintf("%s/vmlinux", root);
	uint8_t elf[ELF_BYTES];
	struct error err = { 0 };

	(void)state;
	make_elf(elf, 7);
	write_file(path, elf, sizeof(elf));
	assert_int_equal(resolve(path, &kernel, &err), 0);
	assert_string_equal(kernel.path, path); /* as it is */
	kernel_reset(&kernel);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(resolve(path, &kernel, &err), 0);
	assert_string_not_equal(kernel.path, path); /* a copy that the VM's uid can read */

	elf[NOTE_AT + 8] = 17;
	refuse_image(elf, sizeof(elf), 0644, "has no PVH entry (build it with CONFIG_PVH=y)");
	memset(elf + NOTE_AT, 0xff, 8);
	refuse_image(elf, sizeof(elf), 0644, "has no PVH entry");
	make_elf(elf, 7);
	elf[offsetof(Elf64_Ehdr, e_machine)] = EM_AARCH64;
	refuse_image(elf, sizeof(elf), 0644, "not a kernel for x86_64");
	make_elf(elf, 7);
	elf[offsetof(Elf64_Ehdr, e_phoff) + 7] = 0x80;
	refuse_image(elf, sizeof(elf), 0644, "program headers lie outside of it");
	make_elf(elf, 7);
	elf[sizeof(Elf64_Ehdr) + offsetof(Elf64_Phdr, p_filesz) + 7] = 0xff;
	refuse_image(elf, sizeof(elf), 0644, "segment 0 lies outside of it");
}

/* --- installed kernels and their modules ------------------------------------------------------ */

static const char builtin[] = "kernel/fs/ext4/ext4.ko\nkernel/drivers/virtio/virtio-mmio.ko\n";

static const char dep[] =
	"kernel/virtio.ko: kernel/ring/virtio_ring.ko\n"
	"kernel/ring/virtio_ring.ko:\n"
	"kernel/virtio_blk.ko: kernel/virtio.ko kernel/ring/virtio_ring.ko\n"
	"kernel/net_failover.ko: kernel/failover.ko\n"
	"kernel/failover.ko:\n"
	"kernel/virtio_net.ko: kernel/net_failover.ko kernel/failover.ko "
	"kernel/virtio.ko kernel/ring/virtio_ring.ko\n"
	"kernel/virtio_console.ko.xz: kernel/virtio.ko kernel/ring/virtio_ring.ko\n"
	"kernel/virtio-rng.ko: kernel/virtio.ko kernel/ring/virtio_ring.ko\n"
	"kernel/not-overlay.ko:\n"
	"kernel/overlay.ko: kernel/base.ko\n"
	"kernel/base.ko:\n"
	"kernel/squashfs.ko:\n"
	"kernel/other.ko: kernel/gone.ko\n";

static const char *const files[] = {
	"virtio.ko",	 "ring/virtio_ring.ko", "virtio_blk.ko",  "net_failover.ko", "failover.ko",
	"virtio_net.ko", "virtio-rng.ko",	"not-overlay.ko", "overlay.ko",	     "base.ko",
	"squashfs.ko",
};

static void install(const char *version, unsigned seed)
{
	_cleanup_strbuf_ struct strbuf image = { 0 };
	_cleanup_strbuf_ struct strbuf module = { 0 };
	_cleanup_free_ char *path = xasprintf("%s/vmlinuz-%s", boot_dir, version);
	_cleanup_free_ char *packed = xasprintf("%s/%s/kernel/virtio_console.ko.xz", modules_dir,
						version);
	uint8_t elf[ELF_BYTES];

	make_bzimage(pack_lz4, seed, &image);
	write_file(path, image.data, image.length);
	write_text(dep, "%s/%s/modules.dep", modules_dir, version);
	write_text(builtin, "%s/%s/modules.builtin", modules_dir, version);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		write_text("module", "%s/%s/kernel/%s", modules_dir, version, files[i]);
	make_elf(elf, 200);
	pack_xz(elf, &module);
	write_file(packed, module.data, module.length);
}

static void test_newest(void **state)
{
	static const char *const order[] = { "5.9.0-1-amd64", "5.10.0-1-amd64", "6.12.1-amd64",
					     "5.9.0-2-cloud-amd64", "5.10.0-2-cloud-amd64" };
	CLEANUP(kernel_reset) struct kernel none = { 0 };
	struct error err = { 0 };

	(void)state;
	assert_int_equal(resolve("auto", &none, &err), -1);
	assert_non_null(strstr(err.text, "install linux-image-cloud-amd64"));
	for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		CLEANUP(kernel_reset) struct kernel kernel = { 0 };

		install(order[i], i);
		if (resolve("auto", &kernel, &err))
			fail_msg("%s", err.text);
		assert_string_equal(kernel.version, order[i]);
	}
	/* An image without its modules is no candidate. */
	write_text("x", "%s/vmlinuz-9.9.9-cloud-amd64", boot_dir);
	assert_int_equal(resolve("auto", &none, &err), 0);
	assert_string_equal(none.version, "5.10.0-2-cloud-amd64");
}

static void test_modules(void **state)
{
	static const char *const expected[] = {
		"virtio_ring.ko",  "virtio.ko",	    "virtio_blk.ko",   "failover.ko",
		"net_failover.ko", "virtio_net.ko", "virtio_console-", "virtio-rng.ko",
		"squashfs.ko",	   "base.ko",	    "overlay.ko",
	};
	CLEANUP(kernel_reset) struct kernel kernel = { 0 };
	_cleanup_strbuf_ struct strbuf unpacked = { 0 };
	struct error err = { 0 };

	(void)state;
	install("5.10.0-2-cloud-amd64", 4);
	assert_int_equal(resolve("auto", &kernel, &err), 0);
	assert_int_equal(kernel.modules.count, sizeof(expected) / sizeof(expected[0]));
	for (size_t i = 0; i < kernel.modules.count; i++) {
		const char *base = strrchr(kernel.modules.items[i], '/') + 1;

		assert_int_equal(strncmp(base, expected[i], strlen(expected[i])), 0);
		assert_int_equal(access(kernel.modules.items[i], R_OK), 0);
	}
	assert_int_equal(fs_read(kernel.modules.items[6], 1 << 20, &unpacked, &err), 0);
	assert_int_equal(unpacked.length, ELF_BYTES);
}

static void refuse_modules(const char *message)
{
	CLEANUP(kernel_reset) struct kernel kernel = { 0 };
	struct error err = { 0 };

	assert_int_equal(resolve("auto", &kernel, &err), -1);
	if (!strstr(err.text, message))
		fail_msg("'%s' lacks '%s'", err.text, message);
}

static void test_refuses_modules(void **state)
{
	static const char version[] = "5.10.0-2-cloud-amd64";
	_cleanup_free_ char *path = xasprintf("%s/%s/kernel/base.ko", modules_dir, version);

	(void)state;
	install(version, 4);
	write_text("", "%s/%s/modules.builtin", modules_dir, version);
	refuse_modules("has no module 'virtio_mmio', nor is it built in");
	write_text(builtin, "%s/%s/modules.builtin", modules_dir, version);
	write_text("damaged", "%s/%s/kernel/virtio_console.ko.xz", modules_dir, version);
	refuse_modules("virtio_console.ko.xz: not in a compression format of Linux");
	install(version, 4);
	unlink(path);
	refuse_modules("kernel/base.ko: listed in modules.dep but not there (run depmod)");
	write_text("kernel/virtio_ring.ko\n", "%s/%s/modules.dep", modules_dir, version);
	refuse_modules("modules.dep: a line without ':' (run depmod)");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_newest),
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_refuses_images),
		cmocka_unit_test(test_announced_size),
		cmocka_unit_test(test_elf),
		cmocka_unit_test(test_modules),
		cmocka_unit_test(test_refuses_modules),
	};

	return cmocka_run_group_tests_name("kernel", tests, make_tree, remove_tree);
}
