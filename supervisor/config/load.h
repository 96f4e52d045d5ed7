/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files -> a resolved, validated fleet. Loading has no effects: what is wrong anywhere in the set
 * makes it all fail, with every problem listed, and the caller keeps the fleet it has.
 */
#ifndef STOKER_CONFIG_LOAD_H
#define STOKER_CONFIG_LOAD_H

#include <stddef.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "base/strv.h"
#include "model/fleet.h"
#include "model/settings.h"

/* All that is wrong with a set of files, in the order of file, line and column. */
struct problems {
	struct strbuf text; /* "file:line:column: fact (remedy)" + source line + caret, each */
	size_t count;
};

void problems_reset(struct problems *problems);

/* Reads stoker.ini; a missing file at the default path means defaults. */
int settings_load(const char *path, struct settings *ret, struct problems *problems);

/* Addresses that were given to instances without any of their own: kept by name, so that they are
 * stable. One line each in STATE_DIR/leases: "tenant/vm.2 10.20.0.12 fd00:20::c". */
struct leases;

int leases_read(const char *path, struct leases **ret, struct error *err); /* missing: empty */
int leases_write(const char *path, const struct fleet *fleet, struct error *err);
struct leases *leases_free(struct leases *leases);

/* Loads every *.yaml and *.yml of the directory, in byte order of their names. Relative `env_file`
 * paths are relative to the manifest. -1: see problems; *ret is untouched. */
int fleet_load(const char *dir, const struct settings *settings, const struct leases *leases,
	       struct fleet **ret, struct problems *problems);

/* The same for files named one by one (`stokerctl check FILE...`). */
int fleet_load_files(const struct strv *paths, const struct settings *settings,
		     const struct leases *leases, struct fleet **ret, struct problems *problems);

#endif
