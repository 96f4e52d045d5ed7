/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A message may quote bytes from a file or a peer: whatever could steer a terminal becomes '?'. */
static void make_printable(char *text)
{
	for (unsigned char *c = (unsigned char *)text; *c; c++)
		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
}

/* An ellipsis shows the reader that a message did not fit. */
static void mark_cut(char *text, int wanted)
{
	if (wanted >= ERROR_TEXT_MAX)
		memcpy(text + ERROR_TEXT_MAX - 4, "...", 4);
}

int error_set(struct error *err, const char *format, ...)
{
	va_list args;

	if (!err)
		return -1;
	err->number = 0;
	va_start(args, format);
	mark_cut(err->text, vsnprintf(err->text, sizeof(err->text), format, args));
	va_end(args);
	make_printable(err->text);
	return -1;
}

int error_errno(struct error *err, int number, const char *format, ...)
{
	char context[ERROR_TEXT_MAX];
	va_list args;

	if (!err)
		return -1;
	va_start(args, format);
	vsnprintf(context, sizeof(context), format, args);
	va_end(args);
	error_set(err, "%s: %s", context, strerror(number));
	err->number = number;
	return -1;
}

int error_wrap(struct error *err, const char *format, ...)
{
	char context[ERROR_TEXT_MAX], inner[ERROR_TEXT_MAX];
	va_list args;
	int number;

	if (!err)
		return -1;
	va_start(args, format);
	vsnprintf(context, sizeof(context), format, args);
	va_end(args);
	memcpy(inner, err->text, sizeof(inner));
	number = err->number;
	error_set(err, "%s: %s", context, inner);
	err->number = number;
	return -1;
}
