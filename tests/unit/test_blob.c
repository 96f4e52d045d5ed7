/* SPDX-License-Identifier: Apache-2.0 */
/* Blobs that are written in more than one sitting, and by more than one process. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"
#include "image/blob.h"
#include "image/sha256.h"

static const char content[] = "the whole of it, from the first byte to the last";

struct fixture {
	char directory[64];
	int cache;
	struct oci_descriptor want;
	char part[160], whole[80]; /* names */
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	strcpy(fixture->directory, "/tmp/stoker-blob-XXXXXX");
	assert_non_null(mkdtemp(fixture->directory));
	fixture->cache = open(fixture->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fixture->want.size = strlen(content);
	sha256_digest(content, strlen(content), fixture->want.digest);
	snprintf(fixture->whole, sizeof(fixture->whole), "%s", fixture->want.digest + 7);
	snprintf(fixture->part, sizeof(fixture->part), "%s%s", BLOB_PART_PREFIX, fixture->whole);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	close(fixture->cache);
	fs_remove_tree(fixture->directory, NULL);
	free(fixture);
	return 0;
}

/* -1: no such file. */
static long size_of(const struct fixture *fixture, const char *name)
{
	struct stat st;

	return fstatat(fixture->cache, name, &st, 0) < 0 ? -1 : (long)st.st_size;
}

static struct blob *resume(struct fixture *fixture)
{
	struct blob *blob = NULL;
	struct error err;

	if (blob_resume(fixture->cache, &fixture->want, &blob, &err) != 0)
		fail_msg("%s", err.text);
	return blob;
}

static void leave_part(struct fixture *fixture, const char *bytes, size_t length)
{
	struct blob *blob = resume(fixture);

	assert_int_equal(blob_write(blob, bytes, length, NULL), 0);
	blob_free(blob);
	assert_int_equal(size_of(fixture, fixture->part), (long)length);
}

static void test_goes_on(void **state)
{
	struct fixture *fixture = *state;
	struct oci_descriptor got;
	struct blob *blob;

	leave_part(fixture, content, 10);
	blob = resume(fixture);
	assert_int_equal(blob_size(blob), 10);
	assert_int_equal(blob_write(blob, content + 10, strlen(content) - 10, NULL), 0);
	assert_int_equal(blob_finish(blob, &got, NULL), 0);
	blob_free(blob);
	assert_string_equal(got.digest, fixture->want.digest);
	assert_int_equal(size_of(fixture, fixture->part), -1);
	assert_true(blob_cached(fixture->cache, &fixture->want));
}

static void test_nothing_written(void **state)
{
	struct fixture *fixture = *state;

	blob_free(resume(fixture));
	assert_int_equal(size_of(fixture, fixture->part), -1);
}

/* What does not fit is not kept: the next one would trip over it again. */
static void test_worthless(void **state)
{
	struct fixture *fixture = *state;
	struct blob *blob;
	struct error err;

	leave_part(fixture, "wrong", 5);
	blob = resume(fixture);
	assert_int_equal(blob_write(blob, content + 5, strlen(content) - 5, NULL), 0);
	assert_int_equal(blob_finish(blob, NULL, &err), -1);
	assert_non_null(strstr(err.text, ": its content has another digest"));
	blob_free(blob);
	assert_int_equal(size_of(fixture, fixture->part), -1);

	blob = resume(fixture);
	assert_int_equal(blob_write(blob, content, strlen(content), NULL), 0);
	assert_int_equal(blob_write(blob, "x", 1, &err), -1);
	assert_non_null(strstr(err.text, ": it is larger than its manifest says"));
	blob_free(blob);
	assert_int_equal(size_of(fixture, fixture->part), -1);
}

/* A restart makes it worth keeping again. */
static void test_restarted(void **state)
{
	struct fixture *fixture = *state;
	struct blob *blob;

	leave_part(fixture, "wrong", 5);
	blob = resume(fixture);
	assert_int_equal(blob_finish(blob, NULL, NULL), -1);
	assert_int_equal(blob_restart(blob, NULL), 0);
	assert_int_equal(blob_size(blob), 0);
	assert_int_equal(blob_write(blob, content, 7, NULL), 0);
	blob_free(blob);
	assert_int_equal(size_of(fixture, fixture->part), 7);
}

static void test_too_large_a_part(void **state)
{
	struct fixture *fixture = *state;
	int fd = openat(fixture->cache, fixture->part, O_WRONLY | O_CREAT, 0600);
	struct blob *blob;

	assert_int_equal(ftruncate(fd, (off_t)fixture->want.size + 1), 0);
	close(fd);
	blob = resume(fixture);
	assert_int_equal(blob_size(blob), 0);
	blob_free(blob);
}

/* A link in its place is not followed. */
static void test_link(void **state)
{
	struct fixture *fixture = *state;
	struct blob *blob;
	struct error err;

	assert_int_equal(symlinkat("/etc/hostname", fixture->cache, fixture->part), 0);
	assert_int_equal(blob_resume(fixture->cache, &fixture->want, &blob, &err), -1);
	assert_non_null(
		strstr(err.text, "in the cache of blobs: Too many levels of symbolic links"));
}

/* In a process of its own: a lock is between open files, and this proves that it ends with its
 * process too. */
static int resume_elsewhere(struct fixture *fixture)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct blob *blob;

		_exit(blob_resume(fixture->cache, &fixture->want, &blob, NULL) + 10);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status) - 10;
}

static void test_one_at_a_time(void **state)
{
	struct fixture *fixture = *state;
	struct blob *blob = resume(fixture);

	assert_int_equal(blob_write(blob, content, 3, NULL), 0);
	assert_int_equal(resume_elsewhere(fixture), 1);
	blob_free(blob);
	assert_int_equal(resume_elsewhere(fixture), 0);
	/* That process ended without a word. */
	blob = resume(fixture);
	assert_int_equal(blob_size(blob), 3);
	blob_free(blob);
}

/* --- the host went down --------------------------------------------------------------------------
 */

static void write_whole(struct fixture *fixture)
{
	struct blob *blob = resume(fixture);

	assert_int_equal(blob_write(blob, content, strlen(content), NULL), 0);
	assert_int_equal(blob_finish(blob, NULL, NULL), 0);
	blob_free(blob);
	assert_true(blob_cached(fixture->cache, &fixture->want));
}

static void overwrite(const struct fixture *fixture, const char *name, const void *bytes,
		      size_t length)
{
	int fd = openat(fixture->cache, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, length), (ssize_t)length);
	close(fd);
}

/* Nothing is synced, so that a name may have outlived its content, or a part of it: it is found out
 * before it is used, and makes room for what is fetched again. */
static void test_torn(void **state)
{
	struct fixture *fixture = *state;
	char torn[sizeof(content)];
	static const struct {
		size_t kept, length; /* bytes that reached the disk; the file's, zeros after them */
	} cases[] = {
		{ 0, 0 },
		{ 10, 10 },
		{ 0, sizeof(content) - 1 },
		{ 10, sizeof(content) - 1 },
		{ sizeof(content) - 2, sizeof(content) - 1 },
		{ sizeof(content) - 1, sizeof(content) },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		write_whole(fixture);
		memset(torn, 0, sizeof(torn));
		memcpy(torn, content, cases[i].kept);
		overwrite(fixture, fixture->whole, torn, cases[i].length);
		assert_false(blob_cached(fixture->cache, &fixture->want));
		assert_int_equal(size_of(fixture, fixture->whole), -1);
		overwrite(fixture, fixture->whole, torn, cases[i].length);
		assert_int_equal(
			blob_store(fixture->cache, &fixture->want, content, strlen(content), NULL),
			0);
		assert_true(blob_cached(fixture->cache, &fixture->want));
		assert_int_equal(unlinkat(fixture->cache, fixture->whole, 0), 0);
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_goes_on),	     TEST(test_nothing_written),
		TEST(test_worthless),	     TEST(test_restarted),
		TEST(test_too_large_a_part), TEST(test_link),
		TEST(test_one_at_a_time),    TEST(test_torn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
