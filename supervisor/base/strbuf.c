/* SPDX-License-Identifier: Apache-2.0 */
#include "base/strbuf.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

static void reserve(struct strbuf *buf, size_t more)
{
	size_t wanted = buf->length + more + 1;
	size_t capacity = buf->capacity ? buf->capacity : 64;

	if (wanted <= buf->capacity)
		return;
	while (capacity < wanted)
		capacity *= 2;
	buf->data = xreallocarray(buf->data, capacity, 1);
	buf->capacity = capacity;
}

void strbuf_add(struct strbuf *buf, const void *bytes, size_t length)
{
	reserve(buf, length);
	if (length)
		memcpy(buf->data + buf->length, bytes, length);
	buf->length += length;
	buf->data[buf->length] = '\0';
}

void strbuf_puts(struct strbuf *buf, const char *text)
{
	strbuf_add(buf, text, strlen(text));
}

void strbuf_putc(struct strbuf *buf, char c)
{
	strbuf_add(buf, &c, 1);
}

void strbuf_printf(struct strbuf *buf, const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = xvasprintf(format, args);
	va_end(args);
	strbuf_puts(buf, text);
	free(text);
}

const char *strbuf_text(const struct strbuf *buf)
{
	return buf->data ? buf->data : "";
}

void strbuf_consume(struct strbuf *buf, size_t length)
{
	if (length > buf->length)
		length = buf->length;
	if (!buf->data)
		return;
	memmove(buf->data, buf->data + length, buf->length - length + 1);
	buf->length -= length;
}

char *strbuf_take(struct strbuf *buf)
{
	char *text;

	reserve(buf, 0);
	buf->data[buf->length] = '\0';
	text = buf->data;
	*buf = (struct strbuf){ 0 };
	return text;
}

void strbuf_reset(struct strbuf *buf)
{
	free(buf->data);
	*buf = (struct strbuf){ 0 };
}
