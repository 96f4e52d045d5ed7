/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *check(void *memory)
{
	if (!memory) {
		static const char message[] = "out of memory\n";

		fputs(message, stderr);
		abort();
	}
	return memory;
}

void *xcalloc(size_t count, size_t size)
{
	/* calloc(0) may return NULL; a pointer that can be freed is simpler for everyone. */
	return check(calloc(count ? count : 1, size ? size : 1));
}

void *xreallocarray(void *old, size_t count, size_t size)
{
	return check(reallocarray(old, count ? count : 1, size ? size : 1));
}

char *xstrdup(const char *text)
{
	return text ? check(strdup(text)) : NULL;
}

char *xstrndup(const char *text, size_t length)
{
	return check(strndup(text, length));
}

void *xmemdup(const void *bytes, size_t length)
{
	void *copy = xcalloc(1, length);

	if (length)
		memcpy(copy, bytes, length);
	return copy;
}

char *xvasprintf(const char *format, va_list args)
{
	char *text = NULL;

	return check(vasprintf(&text, format, args) < 0 ? NULL : text);
}

char *xasprintf(const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = xvasprintf(format, args);
	va_end(args);
	return text;
}
