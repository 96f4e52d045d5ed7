/* SPDX-License-Identifier: Apache-2.0 */
/* Format of the document: the OCI image specification's config.md. */
#include "image/notes.h"

#include <ctype.h>
#include <endian.h>
#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "guest-init/protocol.h"

/* --- writing ---------------------------------------------------------------------------------- */

struct writer {
	struct strbuf *out; /* borrowed */
	bool is_full;	    /* and says so: nothing follows */
};

static void add_entry(struct writer *writer, enum note tag, const char *text, size_t length)
{
	struct config_entry head = { .tag = htole32(tag), .length = htole32((uint32_t)length) };

	strbuf_add(writer->out, &head, sizeof(head));
	strbuf_add(writer->out, text, length);
}

static void add(struct writer *writer, enum note tag, const char *text)
{
	size_t length = strlen(text), kept = length > NOTE_MAX ? NOTE_MAX : length;

	if (writer->is_full)
		return;
	/* There is always room for the entry that says that there was none. */
	if (writer->out->length + kept + 2 * sizeof(struct config_entry) > NOTES_MAX) {
		writer->is_full = true;
		add_entry(writer, NOTE_CUT, "", 0);
		return;
	}
	add_entry(writer, tag, text, kept);
	if (kept < length)
		memcpy(writer->out->data + writer->out->length - 3, "...", 3);
}

static bool fits(const char *text, const char *pattern)
{
	for (; *pattern; text++, pattern++)
		if (*pattern == '0' ? !isdigit((unsigned char)*text) : *text != *pattern)
			return false;
	return true;
}

/* RFC 3339, 5.6. */
static bool is_date(const char *text)
{
	static const char seconds[] = "0000-00-00T00:00:00";

	if (!fits(text, seconds))
		return false;
	text += strlen(seconds);
	if (*text == '.') {
		size_t digits = strspn(text + 1, "0123456789");

		if (digits == 0 || digits > 9)
			return false;
		text += 1 + digits;
	}
	if (strcmp(text, "Z") == 0)
		return true;
	return (fits(text, "+00:00") || fits(text, "-00:00")) && text[6] == '\0';
}

/* A set is an object whose values mean nothing. */
static void add_members(struct writer *writer, enum note tag, json_t *object)
{
	const char *key;
	json_t *value;

	json_object_foreach (object, key, value) {
		const char *text = json_string_value(value);
		_cleanup_free_ char *pair = text ? xasprintf("%s=%s", key, text) : NULL;

		if (tag != NOTE_LABEL)
			add(writer, tag, key);
		else if (pair)
			add(writer, tag, pair);
	}
}

static void add_history(struct writer *writer, const json_t *list)
{
	const json_t *item;
	size_t i;

	json_array_foreach (list, i, item) {
		const char *text = json_string_or(item, "created_by", "");

		if (*text)
			add(writer, NOTE_HISTORY, text);
	}
}

void notes_make(const json_t *document, struct strbuf *ret)
{
	const json_t *config = json_object_get(document, "config");
	const char *created = json_string_or(document, "created", "");
	const char *author = json_string_or(document, "author", "");
	const char *variant = json_string_or(document, "variant", "");
	struct writer writer = { .out = ret };
	_cleanup_free_ char *platform = xasprintf("%s/%s%s%s", json_string_or(document, "os", "?"),
						  json_string_or(document, "architecture", "?"),
						  *variant ? "/" : "", variant);

	if (is_date(created))
		add(&writer, NOTE_CREATED, created);
	add(&writer, NOTE_PLATFORM, platform);
	if (*author)
		add(&writer, NOTE_AUTHOR, author);
	add_members(&writer, NOTE_PORT, json_object_get(config, "ExposedPorts"));
	add_members(&writer, NOTE_VOLUME, json_object_get(config, "Volumes"));
	add_members(&writer, NOTE_LABEL, json_object_get(config, "Labels"));
	add_history(&writer, json_object_get(document, "history"));
}

/* --- reading ---------------------------------------------------------------------------------- */

int notes_read(const char *path, notes_fn *fn, void *data, struct error *err)
{
	_cleanup_strbuf_ struct strbuf bytes = { 0 };
	struct config_entry head;

	if (fs_read(path, CONFIG_FILE_MAX, &bytes, err) < 0)
		return -1;
	for (size_t at = 0; at < bytes.length;) {
		size_t left = bytes.length - at, length;

		if (left < sizeof(head))
			return error_set(err, "%s: %zu bytes after the last entry", path, left);
		memcpy(&head, bytes.data + at, sizeof(head));
		length = le32toh(head.length);
		if (length > left - sizeof(head))
			return error_set(err, "%s: an entry of %zu bytes, where %zu are left", path,
					 length, left - sizeof(head));
		fn(data, le32toh(head.tag), bytes.data + at + sizeof(head), length);
		at += sizeof(head) + length;
	}
	return 0;
}

json_t *notes_text(const char *text, size_t length)
{
	_cleanup_strbuf_ struct strbuf out = { 0 };

	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '\\')
			strbuf_puts(&out, "\\\\");
		else if (c >= 0x20 && c < 0x7f)
			strbuf_putc(&out, (char)c);
		else
			strbuf_printf(&out, "\\x%02x", c);
	}
	return json_string(strbuf_text(&out));
}
