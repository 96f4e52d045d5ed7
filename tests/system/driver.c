/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/system/driver.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int test_count, failure_count;

void ok(bool is_true, const char *format, ...)
{
	char name[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(name, sizeof(name), format, arguments);
	va_end(arguments);
	printf("%sok %d - %s\n", is_true ? "" : "not ", ++test_count, name);
	fflush(stdout);
	failure_count += !is_true;
}

void bail_out(const char *what, const char *why)
{
	printf("Bail out! %s: %s\n", what, why);
	exit(1);
}

void command(const char *line)
{
	if (system(line) != 0)
		bail_out(line, "failed");
}
