/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of firecracker and jailer, as both read it: "--name value", and "--" before what
 * is handed on. The complaints are theirs. */
#ifndef STOKER_TESTS_FAKES_ARGS_H
#define STOKER_TESTS_FAKES_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum { ARG_VALUES_MAX = 64 };

struct arg {
	const char *name; /* without "--"; the table is sorted by it and ends with NULL */
	bool takes_value, is_required, may_repeat;
	const char *fallback; /* value when it is absent */

	bool present;
	const char *values[ARG_VALUES_MAX]; /* borrowed from argv */
	size_t count;
};

/* Fills the table. *ret_extra is what follows "--" (argv's end when there is none). "--help",
 * "-h" and "--version" silence everything else. */
int args_parse(struct arg *table, int argc, char **argv, char ***ret_extra, struct error *err);

/* Of an argument in the table: its value, else its fallback. */
const char *args_value(const struct arg *table, const char *name);
const struct arg *args_get(const struct arg *table, const char *name);

#endif
