/* SPDX-License-Identifier: Apache-2.0 */
/* See args.h; the rules are those of Firecracker's own argument parser. */
#include "tests/fakes/args.h"

#include <stdlib.h>
#include <string.h>

static struct arg *find(struct arg *table, const char *name)
{
	for (; table->name; table++)
		if (!strcmp(table->name, name))
			return table;
	return NULL;
}

const struct arg *args_get(const struct arg *table, const char *name)
{
	for (; table->name; table++)
		if (!strcmp(table->name, name))
			return table;
	abort();
}

const char *args_value(const struct arg *table, const char *name)
{
	const struct arg *arg = args_get(table, name);

	return arg->count ? arg->values[0] : arg->fallback;
}

/* Looks at one argument; returns how many words it took, or -1. */
static int take(struct arg *table, char **words, char **end, struct error *err)
{
	const char *name = words[0] + 2;
	struct arg *arg;

	if (strncmp(words[0], "--", 2) != 0)
		name = words[0];
	arg = name == words[0] ? NULL : find(table, name);
	if (!arg)
		return error_set(err,
				 "Found argument '%s' which wasn't expected, or isn't valid in "
				 "this context.",
				 name);
	if (arg->present && !arg->may_repeat)
		return error_set(err, "The argument '%s' was provided more than once.", name);
	arg->present = true;
	if (!arg->takes_value)
		return 1;
	if (words + 1 == end || !strncmp(words[1], "--", 2))
		return error_set(err, "The argument '%s' requires a value, but none was supplied.",
				 name);
	if (arg->count == ARG_VALUES_MAX)
		return error_set(err, "more than %d times '%s'", ARG_VALUES_MAX, name);
	arg->values[arg->count++] = words[1];
	return 2;
}

int args_parse(struct arg *table, int argc, char **argv, char ***ret_extra, struct error *err)
{
	char **end = argv + 1;

	while (end < argv + argc && strcmp(*end, "--") != 0)
		end++;
	*ret_extra = end < argv + argc ? end + 1 : end;
	for (char **word = argv + 1; word < end; word++) {
		const char *name = !strcmp(*word, "-h") ? "--help" : *word;

		if (!strcmp(name, "--help") || !strcmp(name, "--version")) {
			find(table, name + 2)->present = true;
			return 0;
		}
	}
	for (char **word = argv + 1; word < end;) {
		int taken = take(table, word, end, err);

		if (taken < 0)
			return -1;
		word += taken;
	}
	for (; table->name; table++)
		if (table->is_required && !table->present)
			return error_set(err, "Argument '%s' required, but not found.",
					 table->name);
	return 0;
}
