/* SPDX-License-Identifier: Apache-2.0 */
/* What the fake jailer does with --cgroup, --cgroup-version and --parent-cgroup; version 2 only. */
#ifndef STOKER_TESTS_FAKES_JAILER_CGROUP_H
#define STOKER_TESTS_FAKES_JAILER_CGROUP_H

#include <limits.h>

#include "base/error.h"
#include "tests/fakes/args.h"

struct jail_cgroup {
	const struct arg *properties; /* borrowed; "file=value" each */
	char path[PATH_MAX];	      /* "": the process stays where it is */
};

/* Judges the arguments. Version 2 without a property moves this process to a parent that exists, at
 * once, as the original does. */
int jail_cgroup_read(struct jail_cgroup *cgroup, const struct arg *properties, const char *parent,
		     const char *version, const char *id, struct error *err);

/* Makes the group, enables controllers on the way to it, sets its files, and enters it. */
int jail_cgroup_enter(const struct jail_cgroup *cgroup, struct error *err);

#endif
