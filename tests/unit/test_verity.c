/* SPDX-License-Identifier: Apache-2.0 */
/* Hash trees: their shape at the borders of a level, and that no byte changes unseen. Whether
 * others read them, tests/system/verity.t asks. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "image/verity.h"

/* Blocks that differ. */
static int make_file(uint64_t blocks)
{
	int fd = memfd_create("image", MFD_CLOEXEC);
	char block[VERITY_BLOCK];

	assert_true(fd >= 0);
	for (uint64_t i = 0; i < blocks; i++) {
		memset(block, 'a' + (int)(i % 26), sizeof(block));
		snprintf(block, sizeof(block), "block %llu", (unsigned long long)i);
		assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
	}
	return fd;
}

static uint64_t blocks_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size % VERITY_BLOCK, 0);
	return (uint64_t)st.st_size / VERITY_BLOCK;
}

static void flip(int fd, uint64_t block, off_t offset)
{
	char byte;

	offset += (off_t)block * VERITY_BLOCK;
	assert_int_equal(pread(fd, &byte, 1, offset), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
}

static void expect_damage(int fd, const char *text, uint64_t block, const char *message)
{
	struct error err = { 0 };

	flip(fd, block, 100);
	assert_int_equal(verity_check(fd, text, &err), -1);
	assert_string_equal(err.text, message);
	flip(fd, block, 100);
	assert_int_equal(verity_check(fd, text, &err), 0);
}

static void test_shapes(void **state)
{
	/* data, then superblock and tree */
	static const struct {
		uint64_t data, more;
	} cases[] = {
		{ 1, 1 },
		{ 2, 2 },
		{ 128, 2 },
		{ 129, 1 + 2 + 1 },
		{ 16384, 1 + 128 + 1 },
		{ 16385, 1 + 129 + 2 + 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int fd = make_file(cases[i].data);
		char text[VERITY_TEXT_SIZE], wanted[64];
		struct error err = { 0 };

		assert_int_equal(verity_append(fd, text, &err), 0);
		assert_int_equal(blocks_of(fd), cases[i].data + cases[i].more);
		snprintf(wanted, sizeof(wanted), "%llu %llu sha256 ",
			 (unsigned long long)cases[i].data, (unsigned long long)cases[i].data + 1);
		assert_int_equal(strncmp(text, wanted, strlen(wanted)), 0);
		assert_int_equal(verity_check(fd, text, &err), 0);
		close(fd);
	}
}

static void test_damage(void **state)
{
	int fd = make_file(300);
	char text[VERITY_TEXT_SIZE], other[VERITY_TEXT_SIZE];
	struct error err = { 0 };

	(void)state;
	assert_int_equal(verity_append(fd, text, &err), 0);
	expect_damage(fd, text, 0, "block 0 is not what its hash says");
	expect_damage(fd, text, 299, "block 299 is not what its hash says");
	/* of the tree: the root's block, then those with the data's hashes, 32 bytes each */
	expect_damage(fd, text, 301, "block 305 is not what its hash says");
	expect_damage(fd, text, 302, "block 3 is not what its hash says");
	memcpy(other, text, sizeof(other));
	other[strlen(other) - 1] ^= 1;
	assert_int_equal(verity_check(fd, other, &err), -1);
	assert_string_equal(err.text, "its hash tree is not the one that was made for it");
	assert_int_equal(verity_check(fd, "", &err), -1);
	assert_string_equal(err.text, "its record holds no hash tree's root");
	assert_int_equal(verity_check(fd, "299 300 sha256 x y", &err), -1);
	assert_string_equal(err.text, "1249280 bytes instead of 1245184");
	assert_int_equal(ftruncate(fd, 5), 0);
	assert_int_equal(verity_append(fd, other, &err), -1);
	assert_string_equal(err.text, "hash tree: the squashfs has 5 bytes, not whole blocks");
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
