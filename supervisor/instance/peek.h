/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs, read from the records of a daemon that may or may not be there: for `stokerd -n`,
 * which plans without a socket, a lock or any effect.
 */
#ifndef STOKER_INSTANCE_PEEK_H
#define STOKER_INSTANCE_PEEK_H

#include "base/error.h"
#include "model/settings.h"
#include "model/status.h"

struct peek {
	struct fleet_status status; /* sorted as a fleet is; its specs are the next member's */
	struct spec **specs;	    /* owned */
};

/* No records (never started, or nothing runs): an empty status. */
int peek_read(const struct settings *settings, struct peek *ret, struct error *err);
void peek_reset(struct peek *peek);

#endif
