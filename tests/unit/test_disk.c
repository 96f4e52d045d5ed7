/* SPDX-License-Identifier: Apache-2.0 */
/* disk/disk.c: what it makes is judged by e2fsck(8), by its bytes, and by what a fault leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "disk/disk.h"

static char *directory;

static int make_directory(void **state)
{
	char template[] = "/tmp/test_disk.XXXXXX";

	(void)state;
	directory = xstrdup(mkdtemp(template));
	return directory ? 0 : -1;
}

static int remove_directory(void **state)
{
	(void)state;
	fs_remove_tree(directory, NULL);
	free(directory);
	return 0;
}

static struct disk_options options_of(uint64_t size_bytes)
{
	return (struct disk_options){
		.size_bytes = size_bytes,
		.uuid = { 0x5a, 1, 2, 3, 4, 5, 0x46, 7, 0x88, 9, 10, 11, 12, 13, 14, 15 },
		.now = 1700000000,
		.owner = geteuid(),
	};
}

static int run(const char *program, const char *argument, const char *path)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		int quiet = open("/dev/null", O_RDWR);

		dup2(quiet, 1);
		dup2(quiet, 2);
		execlp(program, program, argument, path, (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static char *make(const char *name, const struct disk_options *options)
{
	char *path = xasprintf("%s/%s", directory, name);
	struct error err = { 0 };
	int fd = -1;

	if (disk_create(path, options, &fd, &err))
		fail_msg("%s", err.text);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
	close(fd);
	return path;
}

static void test_clean_and_sparse(void **state)
{
	static const uint64_t sizes[] = { DISK_MIN_BYTES, (64 << 20) + 4096, 1ULL << 30,
					  10ULL << 30, 1ULL << 40 };

	(void)state;
	setenv("PATH", "/usr/sbin:/sbin:/usr/bin:/bin", 1);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct disk_options options = options_of(sizes[i]);
		_cleanup_free_ char *path = make("clean", &options);
		struct stat st;

		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_size, sizes[i]);
		assert_int_equal(st.st_mode & 07777, 0600);
		if (sizes[i] <= 10ULL << 30)
			assert_in_range(st.st_blocks * 512, 4096, 256 << 10);
		assert_int_equal(run("e2fsck", "-fn", path), 0);
		unlink(path);
	}
}

static void test_same_inputs_same_bytes(void **state)
{
	struct disk_options options = options_of(64 << 20);
	_cleanup_free_ char *first = make("first", &options);
	_cleanup_free_ char *second = NULL;
	_cleanup_free_ char *other = NULL;

	(void)state;
	sleep(1); /* a second in which a stray call to the clock would show */
	second = make("second", &options);
	assert_int_equal(run("cmp", first, second), 0);
	options.uuid[15]++;
	other = make("other", &options);
	assert_int_equal(run("cmp", first, other), 1);
}

static void test_refuses(void **state)
{
	struct disk_options options = options_of(DISK_MIN_BYTES - 4096);
	_cleanup_free_ char *path = xasprintf("%s/refused", directory);
	struct error err = { 0 };
	struct stat st;
	int fd = -1;

	(void)state;
	assert_int_equal(disk_create(path, &options, &fd, &err), -1);
	assert_non_null(strstr(err.text, "are no size for a disk (a multiple of 4096"));
	options = options_of(DISK_MIN_BYTES + 1);
	assert_int_equal(disk_create(path, &options, &fd, &err), -1);
	options = options_of(DISK_MIN_BYTES);
	options.now = 0;
	assert_int_equal(disk_create(path, &options, &fd, &err), -1);
	assert_int_equal(stat(path, &st), -1);

	options = options_of(DISK_MIN_BYTES);
	free(make("exists", &options));
	free(path);
	path = xasprintf("%s/exists", directory);
	assert_int_equal(disk_create(path, &options, &fd, &err), -1);
	assert_int_equal(err.number, EEXIST);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(fd, -1);
}

/* In a child with a mount namespace and a full tmpfs of its own. Exit code 77: not permitted. */
static void fill_small_tmpfs(void)
{
	struct disk_options options = options_of(1ULL << 30);
	_cleanup_free_ char *path = xasprintf("%s/full", directory);
	struct error err = { 0 };
	struct stat st;
	int fd = -1;

	if (unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", directory, "tmpfs", 0, "size=32k"))
		_exit(77);
	if (disk_create(path, &options, &fd, &err) != -1 || fd != -1)
		_exit(1);
	if (err.number != ENOSPC || !strstr(err.text, path))
		_exit(2);
	_exit(stat(path, &st) == 0 ? 3 : 0);
}

static void test_full_disk_leaves_nothing(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0)
		fill_small_tmpfs();
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean_and_sparse),
		cmocka_unit_test(test_same_inputs_same_bytes),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_full_disk_leaves_nothing),
	};

	return cmocka_run_group_tests_name("disk", tests, make_directory, remove_directory);
}
