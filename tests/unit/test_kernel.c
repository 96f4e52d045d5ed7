/* SPDX-License-Identifier: Apache-2.0 */
/* vmm/kernel.c and vmm/modules.c on trees made here, damaged ones included. The forms of kernels
 * have a test of their own, test_kernel_image.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/strbuf.h"
#include "kernels.h"
#include "vmm/kernel.h"

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

static int resolve_for(const char *choice, enum machine machine, struct kernel *kernel,
		       struct error *err)
{
	return kernel_resolve(choice, machine, cache_dir, boot_dir, modules_dir, kernel, err);
}

static int resolve(const char *choice, struct kernel *kernel, struct error *err)
{
	return resolve_for(choice, MACHINE_X86_64, kernel, err);
}

/* The cache has it under a name that says for what, readable for the VMs' uids. */
static void resolves_into_cache(const struct strbuf *packed, enum machine machine, const char *stem,
				const uint8_t *plain)
{
	CLEANUP(kernel_reset) struct kernel kernel = { 0 };
	_cleanup_strbuf_ struct strbuf found = { 0 };
	_cleanup_free_ char *path = xasprintf("%s/own", root);
	_cleanup_free_ char *prefix = xasprintf("%s/%s-", cache_dir, stem);
	struct error err = { 0 };
	struct stat st;

	write_file(path, packed->data, packed->length);
	for (int i = 0; i < 2; i++) { /* extracted, then found in the cache */
		kernel_reset(&kernel);
		if (resolve_for(path, machine, &kernel, &err))
			fail_msg("%s: %s", stem, err.text);
		assert_int_equal(strncmp(kernel.path, prefix, strlen(prefix)), 0);
		assert_string_equal(kernel.version, "");
		assert_int_equal(kernel.modules.count, 0);
	}
	assert_int_equal(fs_read(kernel.path, 1 << 20, &found, &err), 0);
	assert_int_equal(found.length, ELF_BYTES);
	assert_memory_equal(found.data, plain, ELF_BYTES);
	assert_int_equal(stat(kernel.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
}

static void test_cache(void **state)
{
	_cleanup_strbuf_ struct strbuf bzimage = { 0 };
	_cleanup_strbuf_ struct strbuf image_gz = { 0 };
	uint8_t plain[ELF_BYTES];

	(void)state;
	make_elf(plain, 1);
	make_bzimage(pack_xz, plain, &bzimage);
	resolves_into_cache(&bzimage, MACHINE_X86_64, "vmlinux", plain);
	make_image(plain, 1);
	pack_gzip(plain, &image_gz);
	resolves_into_cache(&image_gz, MACHINE_AARCH64, "Image", plain);
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
	CLEANUP(kernel_reset) struct kernel kernel = { 0 };
	uint8_t elf[ELF_BYTES];
	struct error err = { 0 };

	(void)state;
	make_elf(elf, 100);
	make_bzimage(pack_gzip, elf, &image);
	refuse_image(image.data, image.length, 0666, "others than root can write it");
	refuse_image(image.data, 100, 0644, "100 bytes are no kernel");
	refuse_image(image.data, image.length / 2, 0644, "payload lies outside of the file");

	assert_int_equal(resolve("/no/such/kernel", &kernel, &err), -1);
	assert_int_equal(resolve(root, &kernel, &err), -1);
	assert_non_null(strstr(err.text, "a kernel must be a regular file"));
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

	make_elf(elf, seed);
	make_bzimage(pack_lz4, elf, &image);
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
	assert_int_equal(resolve_for("auto", MACHINE_AARCH64, &none, &err), -1);
	assert_non_null(strstr(err.text, "install linux-image-cloud-arm64"));
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

/* dm-verity as modules, built in, in part, and in a kernel of one file. */
static void test_verity(void **state)
{
	static const char version[] = "5.10.0-2-cloud-amd64";
	static const struct {
		const char *dep, *builtin;
		size_t modules;
		bool has;
	} cases[] = {
		{ "", "", 0, false },
		{ "kernel/dm-mod.ko:\nkernel/dm-bufio.ko: kernel/dm-mod.ko\n"
		  "kernel/dm-verity.ko: kernel/dm-bufio.ko kernel/dm-mod.ko\n",
		  "", 3, true },
		{ "kernel/dm-verity.ko:\n", "kernel/dm-mod.ko\nkernel/dm-bufio.ko\n", 1, true },
		{ "kernel/dm-mod.ko:\nkernel/dm-bufio.ko:\n", "", 0, false },
		{ "", "kernel/dm-mod.ko\nkernel/dm-bufio.ko\nkernel/dm-verity.ko\n", 0, true },
	};
	_cleanup_free_ char *plain = xasprintf("%s/plain", boot_dir);
	uint8_t elf[ELF_BYTES];
	struct error err = { 0 };

	(void)state;
	install(version, 4);
	for (size_t i = 0; i < 3; i++)
		write_text("module", "%s/%s/kernel/%s", modules_dir, version,
			   (const char *[]){ "dm-mod.ko", "dm-bufio.ko", "dm-verity.ko" }[i]);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CLEANUP(kernel_reset) struct kernel kernel = { 0 };
		_cleanup_free_ char *deps = xasprintf("%s%s", dep, cases[i].dep);
		_cleanup_free_ char *built = xasprintf("%s%s", builtin, cases[i].builtin);
		bool has = !cases[i].has;
		size_t before;

		write_text(deps, "%s/%s/modules.dep", modules_dir, version);
		write_text(built, "%s/%s/modules.builtin", modules_dir, version);
		assert_int_equal(resolve("auto", &kernel, &err), 0);
		before = kernel.modules.count;
		assert_int_equal(kernel_add_verity(&kernel, cache_dir, modules_dir, &has, &err), 0);
		assert_int_equal(has, cases[i].has);
		assert_int_equal(kernel.modules.count, before + cases[i].modules);
	}
	for (int has_text = 0; has_text < 2; has_text++) {
		CLEANUP(kernel_reset) struct kernel kernel = { 0 };
		bool has = !has_text;

		make_elf(elf, 9);
		if (has_text)
			memcpy(elf + ELF_BYTES / 2, "device-mapper: verity: bad", 26);
		write_file(plain, (const char *)elf, sizeof(elf));
		assert_int_equal(resolve(plain, &kernel, &err), 0);
		assert_int_equal(kernel_add_verity(&kernel, cache_dir, modules_dir, &has, &err), 0);
		assert_int_equal(has, has_text);
		assert_int_equal(kernel.modules.count, 0);
	}
	install(version, 4);
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
		cmocka_unit_test(test_newest),	       cmocka_unit_test(test_cache),
		cmocka_unit_test(test_refuses_images), cmocka_unit_test(test_elf),
		cmocka_unit_test(test_modules),	       cmocka_unit_test(test_refuses_modules),
		cmocka_unit_test(test_verity),
	};

	return cmocka_run_group_tests_name("kernel", tests, make_tree, remove_tree);
}
