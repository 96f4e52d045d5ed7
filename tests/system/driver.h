/* SPDX-License-Identifier: Apache-2.0 */
/* TAP for the drivers of system tests; each is one file. */
#ifndef STOKER_TESTS_DRIVER_H
#define STOKER_TESTS_DRIVER_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

static int test_count, failure_count;

__attribute__((format(printf, 2, 3))) static void ok(bool is_true, const char *format, ...)
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

static void bail_out(const char *what, const char *why)
{
	printf("Bail out! %s: %s\n", what, why);
	exit(1);
}

/* For the set-up: nothing that follows would mean anything. */
#define must(call)                                 \
	do {                                       \
		struct error err = { 0 };          \
		if ((call) < 0)                    \
			bail_out(#call, err.text); \
	} while (0)

#define must_errno(call)                                  \
	do {                                              \
		if ((call) < 0)                           \
			bail_out(#call, strerror(errno)); \
	} while (0)

static void command(const char *line)
{
	if (system(line) != 0)
		bail_out(line, "failed");
}

#endif
