/* SPDX-License-Identifier: Apache-2.0 */
/* Used by image/flatten.c. Entries lie in large pieces of memory, one behind the other, and go all
 * at once. */
#include "image/record.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

enum { PIECE = 256 << 10, ALIGNMENT = 8 };

struct piece {
	struct piece *next;
	size_t used, size;
	char bytes[] __attribute__((aligned(ALIGNMENT)));
};

struct kept {
	struct merge_entry entry;
	struct kept *next;
};

struct record {
	struct piece *pieces; /* owned, the newest first */
	struct kept *first, **last;
	uint64_t *bytes; /* borrowed */
};

struct record *record_new(uint64_t *bytes)
{
	struct record *record = xcalloc(1, sizeof(*record));

	record->bytes = bytes;
	record->last = &record->first;
	return record;
}

struct record *record_free(struct record *record)
{
	if (!record)
		return NULL;
	while (record->pieces) {
		struct piece *piece = record->pieces;

		record->pieces = piece->next;
		*record->bytes -= piece->size;
		free(piece);
	}
	free(record);
	return NULL;
}

/* Room for so many bytes, aligned; NULL when all records hold too much. */
static void *take_room(struct record *record, size_t size, struct error *err)
{
	struct piece *piece = record->pieces;
	void *room;

	size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	if (!piece || piece->size - piece->used < size) {
		size_t whole = size > PIECE ? size : PIECE;

		if (*record->bytes + whole > RECORD_BYTES_MAX) {
			error_set(err, "the layers' names and attributes need more than %llu MiB",
				  RECORD_BYTES_MAX >> 20);
			return NULL;
		}
		piece = xcalloc(1, sizeof(*piece) + whole);
		piece->size = whole;
		piece->next = record->pieces;
		record->pieces = piece;
		*record->bytes += whole;
	}
	room = piece->bytes + piece->used;
	piece->used += size;
	return room;
}

static void *copy_bytes(struct record *record, const void *from, size_t length, struct error *err)
{
	void *room = take_room(record, length, err);

	return room ? memcpy(room, from, length) : NULL;
}

static int copy_text(struct record *record, const char **text, struct error *err)
{
	if (!*text)
		return 0;
	*text = copy_bytes(record, *text, strlen(*text) + 1, err);
	return *text ? 0 : -1;
}

static int copy_xattrs(struct record *record, struct merge_entry *entry, struct error *err)
{
	size_t size = entry->xattr_count * sizeof(*entry->xattrs);
	struct merge_xattr *copies;

	if (entry->xattr_count == 0)
		return 0;
	copies = take_room(record, size, err);
	if (!copies)
		return -1;
	memcpy(copies, entry->xattrs, size);
	entry->xattrs = copies;
	for (size_t i = 0; i < entry->xattr_count; i++) {
		if (copy_text(record, &copies[i].name, err) < 0)
			return -1;
		if (copies[i].length == 0)
			continue;
		copies[i].value = copy_bytes(record, copies[i].value, copies[i].length, err);
		if (!copies[i].value)
			return -1;
	}
	return 0;
}

int record_add(struct record *record, const struct merge_entry *entry, struct error *err)
{
	struct kept *kept = take_room(record, sizeof(*kept), err);

	if (!kept)
		return -1;
	kept->entry = *entry;
	kept->next = NULL;
	if (copy_text(record, &kept->entry.path, err) < 0 ||
	    copy_text(record, &kept->entry.target, err) < 0 ||
	    copy_xattrs(record, &kept->entry, err) < 0)
		return -1;
	*record->last = kept;
	record->last = &kept->next;
	return 0;
}

int record_each(const struct record *record, record_fn *fn, void *data, struct error *err)
{
	int result = 0;

	for (const struct kept *kept = record->first; kept && result == 0; kept = kept->next)
		result = fn(data, &kept->entry, err);
	return result;
}
