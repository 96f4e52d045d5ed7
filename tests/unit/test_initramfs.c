/* SPDX-License-Identifier: Apache-2.0 */
/* The base that guests boot into: what is packed, in which order, when a cached one is used. */
#include <unistd.h>

#include "base/fs.h"
#include "cpio.h"
#include "guest/initramfs.h"

struct scene {
	char dir[64];
	char init[128], cache[128];
	struct strv modules;
};

static void put(const char *path, const char *content)
{
	assert_int_equal(fs_write_atomic(path, content, strlen(content), 0644, NULL), 0);
}

static void add_module(struct scene *scene, const char *name, const char *content)
{
	strv_addf(&scene->modules, "%s/%s", scene->dir, name);
	put(scene->modules.items[scene->modules.count - 1], content);
}

static int open_scene(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	snprintf(scene->dir, sizeof(scene->dir), "/tmp/test_initramfs.XXXXXX");
	assert_non_null(mkdtemp(scene->dir));
	snprintf(scene->init, sizeof(scene->init), "%s/stoker-init", scene->dir);
	snprintf(scene->cache, sizeof(scene->cache), "%s/a/cache", scene->dir);
	put(scene->init, "\177ELF, not really");
	*state = scene;
	return 0;
}

static int close_scene(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(fs_remove_tree(scene->dir, NULL), 0);
	strv_reset(&scene->modules);
	free(scene);
	return 0;
}

static char *make_base(struct scene *scene)
{
	struct error err = { 0 };
	char *path = NULL;

	if (initramfs_base(scene->init, &scene->modules, scene->cache, &path, &err) < 0)
		fail_msg("%s", err.text);
	return path;
}

static void refuse_base(struct scene *scene, const char *format, ...)
{
	struct error err = { 0 };
	char expected[ERROR_TEXT_MAX], *path = NULL;
	va_list args;

	va_start(args, format);
	vsnprintf(expected, sizeof(expected), format, args);
	va_end(args);
	assert_int_equal(initramfs_base(scene->init, &scene->modules, scene->cache, &path, &err),
			 -1);
	assert_null(path);
	assert_string_equal(err.text, expected);
	assert_int_equal(access(scene->cache, F_OK), -1);
}

static void the_base_holds_init_and_modules_in_order(void **state)
{
	static const char *const directories[] = { "dev",  "proc",  "sys",    "base",
						   "root", "upper", "stoker", "modules" };
	static const char list[] = "\100\0\0\0\021\0\0\0/modules/00-zz.ko"
				   "\100\0\0\0\021\0\0\0/modules/01-aa.ko"
				   "\100\0\0\0\025\0\0\0/modules/02-virtio.ko";
	struct scene *scene = *state;
	struct strbuf bytes = { 0 };
	struct archive archive;
	char *path;

	add_module(scene, "zz.ko", "first");
	add_module(scene, "aa.ko", "");
	add_module(scene, "virtio.ko", "third, of 17 byte");
	path = make_base(scene);
	assert_int_equal(fs_read(path, 1 << 20, &bytes, NULL), 0);
	parse(&bytes, 0, &archive);
	assert_int_equal(archive.end, bytes.length);
	assert_int_equal(archive.count, 8 + 1 + 1 + 3 + 1);
	for (size_t i = 0; i < 8; i++)
		expect_member(&archive, i, directories[i], S_IFDIR | 0700);
	expect_member(&archive, 8, "dev/console", S_IFCHR | 0600);
	assert_int_equal(archive.members[8].major, 5);
	assert_int_equal(archive.members[8].minor, 1);
	expect_member(&archive, 9, "init", S_IFREG | 0500);
	expect_content(&bytes, &archive.members[9], "\177ELF, not really", 16);
	expect_member(&archive, 10, "modules/00-zz.ko", S_IFREG | 0400);
	expect_content(&bytes, &archive.members[10], "first", 5);
	expect_member(&archive, 11, "modules/01-aa.ko", S_IFREG | 0400);
	assert_int_equal(archive.members[11].size, 0);
	expect_member(&archive, 12, "modules/02-virtio.ko", S_IFREG | 0400);
	expect_content(&bytes, &archive.members[12], "third, of 17 byte", 17);
	expect_member(&archive, 13, "stoker/modules", S_IFREG | 0400);
	expect_content(&bytes, &archive.members[13], list, sizeof(list) - 1);
	strbuf_reset(&bytes);
	free(path);
}

static void a_kernel_without_modules(void **state)
{
	struct strbuf bytes = { 0 };
	struct archive archive;
	char *path = make_base(*state);

	assert_int_equal(fs_read(path, 1 << 20, &bytes, NULL), 0);
	parse(&bytes, 0, &archive);
	assert_int_equal(archive.count, 11);
	expect_member(&archive, 10, "stoker/modules", S_IFREG | 0400);
	assert_int_equal(archive.members[10].size, 0);
	strbuf_reset(&bytes);
	free(path);
}

static void the_cached_base_is_used_as_it_is(void **state)
{
	struct scene *scene = *state;
	struct stat before, after;
	char *first, *again;

	add_module(scene, "a.ko", "a");
	first = make_base(scene);
	assert_int_equal(strncmp(first, scene->cache, strlen(scene->cache)), 0);
	assert_int_equal(strncmp(first + strlen(scene->cache), "/initramfs-", 11), 0);
	assert_int_equal(stat(first, &before), 0);
	assert_int_equal(before.st_mode, S_IFREG | 0444);
	again = make_base(scene);
	assert_string_equal(again, first);
	assert_int_equal(stat(again, &after), 0);
	assert_int_equal(after.st_ino, before.st_ino);
	assert_int_equal(after.st_ctim.tv_sec, before.st_ctim.tv_sec);
	assert_int_equal(after.st_ctim.tv_nsec, before.st_ctim.tv_nsec);
	free(first);
	free(again);
}

/* The name is only a hint: a file of that name with other bytes is replaced. */
static void a_damaged_base_is_made_anew(void **state)
{
	struct scene *scene = *state;
	struct strbuf good = { 0 }, bytes = { 0 };
	char *path = make_base(scene);

	assert_int_equal(fs_read(path, 1 << 20, &good, NULL), 0);
	for (int i = 0; i < 3; i++) {
		struct strbuf bad = { 0 };

		strbuf_add(&bad, good.data, good.length - (i == 0)); /* cut short */
		if (i == 1)
			bad.data[200] ^= 1;
		if (i == 2)
			strbuf_putc(&bad, 0);
		assert_int_equal(fs_write_atomic(path, bad.data, bad.length, 0444, NULL), 0);
		strbuf_reset(&bad);
		free(path);
		path = make_base(scene);
		strbuf_reset(&bytes);
		assert_int_equal(fs_read(path, 1 << 20, &bytes, NULL), 0);
		assert_int_equal(bytes.length, good.length);
		assert_memory_equal(bytes.data, good.data, good.length);
	}
	strbuf_reset(&good);
	strbuf_reset(&bytes);
	free(path);
}

static void another_content_has_another_name(void **state)
{
	struct scene *scene = *state;
	char *paths[5], *swap;

	add_module(scene, "a.ko", "a");
	add_module(scene, "b.ko", "b");
	paths[0] = make_base(scene);
	put(scene->init, "\177ELF, not reallY");
	paths[1] = make_base(scene);
	put(scene->modules.items[0], "A");
	paths[2] = make_base(scene);
	swap = scene->modules.items[0];
	scene->modules.items[0] = scene->modules.items[1];
	scene->modules.items[1] = swap;
	paths[3] = make_base(scene);
	add_module(scene, "c.ko", "");
	paths[4] = make_base(scene);
	for (int i = 0; i < 5; i++) {
		for (int j = 0; j < i; j++)
			assert_string_not_equal(paths[i], paths[j]);
		assert_int_equal(access(paths[i], R_OK), 0);
	}
	for (int i = 0; i < 5; i++)
		free(paths[i]);
}

static void what_cannot_be_packed_is_told(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(unlink(scene->init), 0);
	refuse_base(scene, "build initramfs: %s: cannot open: No such file or directory",
		    scene->init);
	put(scene->init, "x");
	strv_addf(&scene->modules, "%s/gone.ko", scene->dir);
	refuse_base(scene, "build initramfs: %s/gone.ko: cannot open: No such file or directory",
		    scene->dir);
	strv_reset(&scene->modules);
	add_module(scene, "a.ko.xz", "");
	refuse_base(scene,
		    "build initramfs: %s/a.ko.xz: compressed kernel modules cannot be loaded by "
		    "the guest (use a kernel with plain or built-in modules)",
		    scene->dir);
	strv_reset(&scene->modules);
	add_module(scene, "a.so", "");
	refuse_base(scene,
		    "build initramfs: %s/a.so: not a kernel module (its name must end in .ko)",
		    scene->dir);
	strv_reset(&scene->modules);
	assert_int_equal(truncate(scene->init, (64 << 20) + 1), 0);
	refuse_base(scene, "build initramfs: %s: larger than the 67108864 bytes allowed",
		    scene->init);
}

static void a_cache_that_is_no_directory_is_told(void **state)
{
	struct scene *scene = *state;
	struct error err;
	char expected[256], *path = NULL;

	snprintf(scene->cache, sizeof(scene->cache), "%s/a", scene->dir);
	put(scene->cache, "");
	snprintf(expected, sizeof(expected),
		 "cache initramfs: %s: is in the way of a directory (move it)", scene->cache);
	assert_int_equal(initramfs_base(scene->init, &scene->modules, scene->cache, &path, &err),
			 -1);
	assert_string_equal(err.text, expected);
	assert_null(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define BASE_TEST(name) cmocka_unit_test_setup_teardown(name, open_scene, close_scene)
		BASE_TEST(the_base_holds_init_and_modules_in_order),
		BASE_TEST(a_kernel_without_modules),
		BASE_TEST(the_cached_base_is_used_as_it_is),
		BASE_TEST(a_damaged_base_is_made_anew),
		BASE_TEST(another_content_has_another_name),
		BASE_TEST(what_cannot_be_packed_is_told),
		BASE_TEST(a_cache_that_is_no_directory_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
