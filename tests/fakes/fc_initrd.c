/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments of cpio archives ("newc", Documentation/driver-api/early-userspace/buffer-format.rst of
 * Linux) one after another, with zeros in between. A later file of a name replaces an earlier one,
 * as it does in a guest.
 */
#include "tests/fakes/fc_initrd.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { HEADER_SIZE = 110, FIELD_FILE_SIZE = 6, FIELD_NAME_SIZE = 11 };

struct archive {
	const char *bytes;
	size_t length, at;
};

struct member {
	const char *name, *data;
	size_t length;
};

static size_t header_field(const char *header, int number)
{
	char digits[9] = { 0 };

	memcpy(digits, header + 6 + number * 8, 8);
	return strtoul(digits, NULL, 16);
}

static size_t aligned(size_t at)
{
	return (at + 3) & ~(size_t)3;
}

/* 1: *ret is the next member; 0: there is none; -1: no archive. */
static int next_member(struct archive *archive, struct member *ret)
{
	const char *header;
	size_t name_size, data_at;

	while (archive->at < archive->length && archive->bytes[archive->at] == '\0')
		archive->at++;
	if (archive->at == archive->length)
		return 0;
	header = archive->bytes + archive->at;
	if (archive->length - archive->at < HEADER_SIZE || memcmp(header, "070701", 6) != 0)
		return -1;
	name_size = header_field(header, FIELD_NAME_SIZE);
	ret->length = header_field(header, FIELD_FILE_SIZE);
	data_at = aligned(archive->at + HEADER_SIZE + name_size);
	if (!name_size || data_at > archive->length || ret->length > archive->length - data_at ||
	    header[HEADER_SIZE + name_size - 1] != '\0')
		return -1;
	ret->name = header + HEADER_SIZE;
	ret->data = archive->bytes + data_at;
	archive->at = data_at + ret->length;
	return 1;
}

static int read_archive(struct archive *archive, struct member *manifest, struct member *image,
			struct error *err)
{
	struct member member;
	int found;

	while ((found = next_member(archive, &member)) > 0) {
		if (!strcmp(member.name, "stoker/config"))
			*manifest = member;
		if (!strcmp(member.name, "stoker/image"))
			*image = member;
	}
	if (found < 0)
		return error_set(err, "the initrd is no cpio archive at byte %zu", archive->at);
	return 0;
}

static int parse(const struct member *member, enum config_file file, struct config *config,
		 struct error *err)
{
	struct failure why;

	if (member->name && config_parse(member->data, member->length, file, config, &why) < 0)
		return error_set(err, "%s", why.text);
	return 0;
}

int initrd_read(int fd, struct initrd *ret, struct error *err)
{
	static char *serve[] = { "serve", NULL };
	struct archive archive = { 0 };
	struct member manifest = { 0 }, image = { 0 };
	struct config image_config = { 0 };
	struct stat st;

	*ret = (struct initrd){ .words = serve, .word_count = 1 };
	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0)
		return error_set(err, "the initrd cannot be looked at");
	archive.length = (size_t)st.st_size;
	archive.bytes = mmap(NULL, archive.length, PROT_READ, MAP_PRIVATE, fd, 0);
	if (archive.bytes == MAP_FAILED)
		return error_set(err, "the initrd cannot be mapped");
	if (read_archive(&archive, &manifest, &image, err) < 0 ||
	    parse(&manifest, CONFIG_FROM_MANIFEST, &ret->config, err) < 0 ||
	    parse(&image, CONFIG_FROM_IMAGE, &image_config, err) < 0)
		return -1;
	if (ret->config.command.count) {
		ret->words = ret->config.command.items;
		ret->word_count = ret->config.command.count;
	}
	if (!ret->config.stop_signal)
		ret->config.stop_signal = image_config.stop_signal;
	return 0;
}
