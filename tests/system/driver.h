/* SPDX-License-Identifier: Apache-2.0 */
/* TAP for the drivers of system tests. */
#ifndef STOKER_TESTS_DRIVER_H
#define STOKER_TESTS_DRIVER_H

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/error.h"

extern int test_count, failure_count;

__attribute__((format(printf, 2, 3))) void ok(bool is_true, const char *format, ...);
__attribute__((noreturn)) void bail_out(const char *what, const char *why);
/* By a shell; what fails ends the program. */
void command(const char *line);

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

#endif
