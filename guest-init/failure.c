/* SPDX-License-Identifier: Apache-2.0 */
/* Called by every module of stoker-init that can fail; main.c turns the text into the report. */
#include "guest-init/failure.h"

#include <stdarg.h>
#include <stdio.h>

int failure_set(struct failure *why, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why->text, sizeof(why->text), format, args);
	va_end(args);
	return -1;
}
