/* SPDX-License-Identifier: Apache-2.0 */
/*
 * desired x observed -> ordered actions. Pure: no I/O, no clock, no logging. `stokerd -n`,
 * `stokerctl plan` and the golden tests print the same plan that the roster carries out.
 */
#ifndef STOKER_PLAN_PLAN_H
#define STOKER_PLAN_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/strbuf.h"
#include "base/strv.h"
#include "model/fleet.h"
#include "model/status.h"

/* In the order in which a plan lists them: what frees addresses and memory comes first. */
enum action_kind { ACTION_REMOVE, ACTION_REPLACE, ACTION_UPDATE, ACTION_CREATE, ACTION_KEEP };

struct action {
	enum action_kind kind;
	char *name;		    /* owned */
	const struct spec *desired; /* borrowed from the fleet; NULL for REMOVE */
	struct strv fields;	    /* REPLACE: the fields that force it; UPDATE: the live ones */
};

struct plan {
	struct action *actions; /* owned */
	size_t count;
	size_t counts[ACTION_KEEP + 1]; /* how many of each kind */
};

/* `fleet` must outlive the plan. */
void plan_make(const struct fleet *fleet, const struct fleet_status *observed, struct plan *ret);
void plan_reset(struct plan *plan);

/* True when there is nothing to do. */
bool plan_is_empty(const struct plan *plan);

/* One line per action that changes something, then a summary line; KEEPs are only counted. */
void plan_print(const struct plan *plan, const struct fleet_status *observed, struct strbuf *out);

const char *action_name(enum action_kind kind); /* "create" ... */

#define _cleanup_plan_ __attribute__((cleanup(plan_reset)))

#endif
