/* SPDX-License-Identifier: Apache-2.0 */
/* A parser of newc archives that insists: buffer-format.rst of Linux, and same input, same bytes.
 * For test_initramfs.c and test_initramfs_config.c. */
#ifndef STOKER_TESTS_CPIO_H
#define STOKER_TESTS_CPIO_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/strbuf.h"

struct member {
	char name[64];
	unsigned mode, major, minor;
	size_t at, size;
};

struct archive {
	struct member members[32];
	size_t count;
	size_t end; /* behind the trailer */
};

static inline uint32_t hex_field(const char *header, unsigned number)
{
	char text[9] = { 0 };

	memcpy(text, header + 6 + number * 8, 8);
	assert_int_equal(strspn(text, "0123456789abcdef"), 8);
	return (uint32_t)strtoul(text, NULL, 16);
}

static inline size_t expect_padding(const struct strbuf *bytes, size_t at)
{
	for (; at % 4; at++) {
		assert_true(at < bytes->length);
		assert_int_equal(bytes->data[at], 0);
	}
	return at;
}

/* One segment from `at` to its trailer. Every field that Linux reads is checked or returned. */
static inline void parse(const struct strbuf *bytes, size_t at, struct archive *ret)
{
	enum { INO, MODE, UID, GID, NLINK, MTIME, SIZE, DEV_MAJOR, DEV_MINOR, MAJOR, MINOR, NAME };
	static const unsigned zero[] = { INO, UID, GID, MTIME, DEV_MAJOR, DEV_MINOR, NAME + 1 };

	*ret = (struct archive){ 0 };
	for (;;) {
		const char *header = bytes->data + at;
		struct member member = { 0 };
		size_t name_size;

		assert_int_equal(at % 4, 0);
		assert_true(at + 110 <= bytes->length);
		assert_memory_equal(header, "070701", 6);
		for (size_t i = 0; i < sizeof(zero) / sizeof(*zero); i++)
			assert_int_equal(hex_field(header, zero[i]), 0);
		assert_int_equal(hex_field(header, NLINK), 1);
		name_size = hex_field(header, NAME);
		assert_in_range(name_size, 2, sizeof(member.name));
		assert_true(at + 110 + name_size <= bytes->length);
		memcpy(member.name, header + 110, name_size);
		assert_int_equal(strlen(member.name), name_size - 1);
		member.mode = hex_field(header, MODE);
		member.major = hex_field(header, MAJOR);
		member.minor = hex_field(header, MINOR);
		member.size = hex_field(header, SIZE);
		member.at = expect_padding(bytes, at + 110 + name_size);
		assert_true(member.at + member.size <= bytes->length);
		at = expect_padding(bytes, member.at + member.size);
		if (!strcmp(member.name, "TRAILER!!!")) {
			assert_int_equal(member.size, 0);
			ret->end = at;
			return;
		}
		assert_true(ret->count < sizeof(ret->members) / sizeof(*ret->members));
		ret->members[ret->count++] = member;
	}
}

static inline void expect_member(const struct archive *archive, size_t number, const char *name,
				 unsigned mode)
{
	assert_true(number < archive->count);
	assert_string_equal(archive->members[number].name, name);
	assert_int_equal(archive->members[number].mode, mode);
}

static inline void expect_content(const struct strbuf *bytes, const struct member *member,
				  const void *content, size_t length)
{
	assert_int_equal(member->size, length);
	assert_memory_equal(bytes->data + member->at, content, length);
}

#endif
