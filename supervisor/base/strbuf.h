/* SPDX-License-Identifier: Apache-2.0 */
/* A growable byte string, always NUL-terminated. Zero-initialise it: `struct strbuf out = { 0 };`.
 */
#ifndef STOKER_BASE_STRBUF_H
#define STOKER_BASE_STRBUF_H

#include <stdarg.h>
#include <stddef.h>

struct strbuf {
	char *data; /* owned; NULL until something was added */
	size_t length;
	size_t capacity;
};

void strbuf_add(struct strbuf *buf, const void *bytes, size_t length);
void strbuf_puts(struct strbuf *buf, const char *text);
void strbuf_putc(struct strbuf *buf, char c);
void strbuf_printf(struct strbuf *buf, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The text so far; "" when empty. Valid until the next change. */
const char *strbuf_text(const struct strbuf *buf);

/* Drops the first `length` bytes; the rest moves to the front. */
void strbuf_consume(struct strbuf *buf, size_t length);

/* Gives the text away (the caller frees it) and leaves the buffer empty. Never NULL. */
char *strbuf_take(struct strbuf *buf);

void strbuf_reset(struct strbuf *buf); /* frees what it holds */

#define _cleanup_strbuf_ __attribute__((cleanup(strbuf_reset)))

#endif
