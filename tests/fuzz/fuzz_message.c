/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a line of a guest's log that is forwarded: the first chooses the stream. Whatever it
 * is, it stays within its message, its length, its place in it, and UTF-8 without control
 * characters.
 */
#include <endian.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/scalar.h"
#include "forward/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void check_text(const struct strbuf *text, size_t max)
{
	check(text->length <= max);
	check(scalar_utf8(text->data, text->length) == text->length);
	for (size_t i = 0; i < text->length; i++) {
		unsigned char c = (unsigned char)text->data[i];

		check((c >= 0x20 || c == '\t') && c != 0x7f);
		check(c != 0xc2 || (unsigned char)text->data[i + 1] >= 0xa0);
	}
}

/* Our element comes first, and is closed where it should be; then, elements or a blank. */
static void check_rfc5424(const char *text, const char *stream)
{
	_cleanup_strbuf_ struct strbuf ours = { 0 };
	const char *at = strstr(text, " - [stoker@32473 ");
	bool quoted = false;

	check(at && strncmp(strchr(text, '>'), ">1 1970-01-01T00:00:00.000Z h a/b ", 34) == 0);
	strbuf_printf(&ours, " - [stoker@32473 tenant=\"a\" vm=\"b\" stream=\"%s\"", stream);
	check(strncmp(at, strbuf_text(&ours), ours.length) == 0);
	for (at += 3; *at && (quoted || *at != ' ' || at[-1] != ']'); at++) {
		if (quoted && *at == '\\' && at[1] && strchr("\\\"]", at[1]))
			at++;
		else if (*at == '"')
			quoted = !quoted;
		else
			check(!quoted || *at != ']');
	}
	check(*at == ' ' && !quoted);
}

static void check_journal(const struct strbuf *entry)
{
	size_t at = 0, messages = 0;

	while (at < entry->length) {
		const char *line = entry->data + at;
		size_t name = strcspn(line, "=\n");
		uint64_t size;

		check(name && strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == name);
		messages += strncmp(line, "MESSAGE\n", 8) == 0;
		if (line[name] == '=') {
			at += strcspn(line, "\n") + 1;
			continue;
		}
		check(entry->length - at > name + 9);
		memcpy(&size, line + name + 1, sizeof(size));
		size = le64toh(size);
		check(size < entry->length - at - name - 9);
		check(line[name + 9 + size] == '\n');
		at += name + 9 + size + 1;
	}
	check(messages == 1 && at == entry->length);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	_cleanup_strbuf_ struct strbuf old = { 0 }, small = { 0 }, large = { 0 }, entry = { 0 };
	struct forward_line line = { .name = "a/b", .text = (const char *)bytes + 1 };
	struct message message;
	size_t streams = 0;

	if (!length)
		return 0;
	while (logline_streams[streams])
		streams++;
	line.stream = logline_streams[bytes[0] % streams];
	line.length = length - 1;
	message_parse(&line, &message);
	message_add_rfc3164(&message, &old);
	message_add_rfc5424(&message, "h", MESSAGE_UDP_MAX, &small);
	message_add_rfc5424(&message, "h", MESSAGE_MAX, &large);
	message_add_journal(&message, &entry);
	check(message.priority < 192 && (message.priority & 7) && message.priority >> 3);
	message_reset(&message);
	check_text(&old, MESSAGE_MAX);
	check_text(&small, MESSAGE_UDP_MAX);
	check_text(&large, MESSAGE_MAX);
	check_rfc5424(strbuf_text(&small), line.stream);
	check_rfc5424(strbuf_text(&large), line.stream);
	check_journal(&entry);
	return 0;
}
