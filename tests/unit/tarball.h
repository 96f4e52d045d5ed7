/* SPDX-License-Identifier: Apache-2.0 */
/* Tar streams made by hand, right or wrong, for the tests of image/. Layout of a header: ustar,
 * POSIX.1-2017 pax(1). */
#ifndef STOKER_TESTS_TARBALL_H
#define STOKER_TESTS_TARBALL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "image/layers.h"

struct tar_item {
	char type; /* '0' file, '1' hard link, '2' symbolic link, '5' directory, ...; 0 ends a list
		    */
	const char *name;
	const char *link;
	const char *data;      /* contents, of 'x' records: "KEY=VALUE|KEY=VALUE", '#' for NUL */
	const char *size;      /* the field's text instead of the data's length */
	const char *uid;       /* octal */
	const char *mtime;     /* octal */
	const char *device[2]; /* octal, major and minor */
	uint64_t large;	       /* a size in base 256, without contents */
	bool broken;	       /* a wrong checksum */
};

static inline void tar_pad(struct strbuf *tar)
{
	static const char zeros[512];

	strbuf_add(tar, zeros, (512 - tar->length % 512) % 512);
}

static inline void tar_end(struct strbuf *tar)
{
	static const char zeros[1024];

	strbuf_add(tar, zeros, sizeof(zeros));
}

/* "KEY=VALUE|..." -> records with their lengths. */
static inline void tar_records(struct strbuf *out, const char *text)
{
	while (*text) {
		size_t length = strcspn(text, "|");
		size_t total = length + 3;
		char digits[16];
		size_t start;

		while (total != length + 2 + (size_t)snprintf(digits, sizeof(digits), "%zu", total))
			total++;
		strbuf_printf(out, "%zu ", total);
		start = out->length;
		strbuf_add(out, text, length);
		for (size_t i = start; i < out->length; i++)
			if (out->data[i] == '#')
				out->data[i] = '\0';
		strbuf_putc(out, '\n');
		text += length + (text[length] == '|');
	}
}

static inline void tar_field(uint8_t *header, size_t at, size_t size, const char *text)
{
	size_t length = text ? strlen(text) : 0;

	memcpy(header + at, text ? text : "", length < size ? length : size);
}

static inline void tar_add(struct strbuf *tar, const struct tar_item *item)
{
	_cleanup_strbuf_ struct strbuf data = { 0 };
	uint8_t header[512] = { 0 };
	char number[16];
	unsigned sum = 0;

	if (item->type == 'x' && item->data)
		tar_records(&data, item->data);
	else if (item->data)
		strbuf_puts(&data, item->data);
	snprintf(number, sizeof(number), "%011zo", data.length);
	tar_field(header, 0, 100, item->name);
	tar_field(header, 100, 8, "0000640");
	tar_field(header, 108, 8, item->uid ? item->uid : "0000000");
	tar_field(header, 116, 8, "0000000");
	tar_field(header, 124, 12, item->size ? item->size : number);
	tar_field(header, 136, 12, item->mtime ? item->mtime : "00000000144");
	memset(header + 148, ' ', 8);
	header[156] = (uint8_t)item->type;
	tar_field(header, 157, 100, item->link);
	memcpy(header + 257, "ustar\00000", 8);
	tar_field(header, 329, 8, item->device[0]);
	tar_field(header, 337, 8, item->device[1]);
	if (item->large) {
		memset(header + 124, 0, 12);
		header[124] = 0x80;
		for (int i = 0; i < 8; i++)
			header[128 + i] = (uint8_t)(item->large >> (8 * (7 - i)));
	}
	for (size_t i = 0; i < sizeof(header); i++)
		sum += header[i];
	snprintf(number, sizeof(number), "%06o", sum + item->broken);
	memcpy(header + 148, number, 7);
	strbuf_add(tar, header, sizeof(header));
	strbuf_add(tar, data.data, data.length);
	tar_pad(tar);
}

/* A blob behind a descriptor, its digests right. */
static inline struct layer_blob tar_blob(const void *bytes, size_t length, enum layer_type type)
{
	struct layer_blob blob = { .fd = memfd_create("layer", MFD_CLOEXEC), .type = type };

	if (blob.fd < 0 || fs_write_all(blob.fd, bytes, length, NULL) < 0 ||
	    layer_stream_digest(bytes, length, blob.digest, NULL) < 0)
		abort();
	return blob;
}

static inline int tar_merge_entry(void *data, struct merge_entry *entry, bool *ret_wanted,
				  struct error *err)
{
	(void)ret_wanted;
	return merge_apply(data, entry, err);
}

/* Reads a layer and merges its entries into a tree; no contents. */
static inline int tar_merge(struct tree *tree, const struct layer_blob *blob, uint32_t layer,
			    struct layers_budget *budget, struct error *err)
{
	const struct layers_visitor visitor = { .entry = tar_merge_entry, .data = tree };
	struct layer_stream *stream = NULL;
	int result = layer_stream_open(blob, LAYERS_BYTES_MAX, &stream, err);

	if (result == 0)
		result = layers_read(stream, layer, budget, &visitor, NULL, err);
	layer_stream_close(stream);
	return result;
}

#endif
