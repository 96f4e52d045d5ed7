/* SPDX-License-Identifier: Apache-2.0 */
/* See os_error.h. */
#include "tests/fakes/os_error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *os_error(int number)
{
	static char text[128];

	snprintf(text, sizeof(text), "%s (os error %d)", strerror(number), number);
	return text;
}

int os_fault(struct error *err, int number, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return error_set(err, "%s: %s", text, os_error(number));
}
