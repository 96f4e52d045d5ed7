/* SPDX-License-Identifier: Apache-2.0 */
/* The files of named volumes: made once, found again, longer but never shorter, listed, removed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "disk/volume.h"

enum { MIB = 1 << 20 };

static void open_as(const char *dir, const char *id, uint64_t size, struct stat *ret)
{
	struct error err = { 0 };
	int fd = -1;

	if (volume_open(dir, id, size, geteuid(), &fd, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(fstat(fd, ret), 0);
	close(fd);
}

static void test_life(void **state)
{
	char dir[] = "/tmp/stoker-volume-XXXXXX";
	_cleanup_free_ char *path = NULL, *left = NULL;
	struct volume_list list = { 0 };
	struct stat first, again;
	struct error err = { 0 };
	int fd = -1;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(volume_list(dir, &list, &err), 0);
	assert_int_equal(list.count, 0);

	left = xasprintf("%s/volumes/acme", dir);
	path = xasprintf("%s/data.ext4", left);
	assert_int_equal(fs_mkdir_p(left, 0700, &err), 0);
	/* What a crash left of an attempt is no volume, and in nobody's way. */
	free(left);
	left = xasprintf("%s.new", path);
	assert_int_equal(fs_write_atomic(left, "x", 1, 0600, &err), 0);
	open_as(dir, "acme/data", 16 * MIB, &first);
	assert_int_equal(first.st_size, 16 * MIB);
	assert_int_equal(first.st_mode & 0777, 0600);
	assert_int_equal(access(left, F_OK), -1);
	open_as(dir, "acme/data", 32 * MIB, &again);
	assert_int_equal(again.st_ino, first.st_ino);
	assert_int_equal(again.st_size, 32 * MIB);
	assert_int_equal(volume_open(dir, "acme/data", 16 * MIB, geteuid(), &fd, &err), -1);
	assert_non_null(strstr(err.text, "/volumes/acme/data.ext4: has 33554432 bytes already, and "
					 "volumes do not shrink (ask for at least as many)"));
	open_as(dir, "acme/data.2", 16 * MIB, &again);
	open_as(dir, "aaa/z", 16 * MIB, &again);

	assert_int_equal(volume_list(dir, &list, &err), 0);
	assert_int_equal(list.count, 3);
	assert_string_equal(list.items[0].id, "aaa/z");
	assert_string_equal(list.items[1].id, "acme/data");
	assert_string_equal(list.items[2].id, "acme/data.2");
	assert_int_equal(list.items[1].size_bytes, 32 * MIB);
	assert_true(list.items[1].used_bytes > 0 && list.items[1].used_bytes < MIB);
	for (size_t i = 0; i < list.count; i++)
		assert_int_equal(volume_remove(dir, list.items[i].id, &err), 0);
	volume_list_reset(&list);
	assert_int_equal(volume_remove(dir, "acme/data", &err), -1);
	assert_int_equal(volume_list(dir, &list, &err), 0);
	assert_int_equal(list.count, 0);
	assert_int_equal(fs_remove_tree(dir, &err), 0);
}

/* A link in the place of a volume leads nowhere. */
static void test_link(void **state)
{
	char dir[] = "/tmp/stoker-volume-XXXXXX";
	_cleanup_free_ char *tenant = NULL, *path = NULL;
	struct error err = { 0 };
	int fd = -1;

	(void)state;
	assert_non_null(mkdtemp(dir));
	tenant = xasprintf("%s/volumes/acme", dir);
	path = xasprintf("%s/data.ext4", tenant);
	assert_int_equal(fs_mkdir_p(tenant, 0700, &err), 0);
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_int_equal(volume_open(dir, "acme/data", 16 * MIB, geteuid(), &fd, &err), -1);
	assert_non_null(strstr(err.text, "cannot open"));
	assert_int_equal(fs_remove_tree(dir, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
