/* SPDX-License-Identifier: Apache-2.0 */
/* The shape of the tables of fc_schema.h, for the two files that make it up. */
#ifndef STOKER_TESTS_FAKES_FC_TABLE_H
#define STOKER_TESTS_FAKES_FC_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/fakes/fc_schema.h"

enum fc_type {
	FC_STRING,
	FC_PATH,
	FC_BOOL,
	FC_U8,
	FC_U16,
	FC_U32,
	FC_U64,
	FC_USIZE,
	FC_ENUM,
	FC_LEVEL,
	FC_MAC,
	FC_OBJECT
};

enum fc_presence {
	FC_OPTIONAL, /* may be absent or null */
	FC_DEFAULT,  /* may be absent, not null */
	FC_REQUIRED,
};

struct fc_field {
	const char *name; /* NULL ends a list */
	enum fc_type type;
	enum fc_presence presence;
	unsigned since;		 /* release; 0: of old */
	unsigned required_until; /* FC_OPTIONAL now, required before that release */
	const char *const *values;
	const struct fc_object *object;
};

struct fc_object {
	const char *name; /* of the Rust structure, for messages */
	const struct fc_field *fields;
	bool ignores_unknown;
};

enum fc_when { FC_BEFORE_START = 1, FC_AFTER_START = 2, FC_ALWAYS = 3 };

struct fc_endpoint {
	enum fc_call call;
	const char *method, *name; /* first component of the path */
	const struct fc_object *body;
	const char *id;	    /* member that repeats the id of the path; NULL: the path has none */
	const char *action; /* of "actions": one row per action_type */
	enum fc_when when;
	unsigned since;
	const char *once;	/* what a second call is answered */
	unsigned hotplug_since; /* release from which it is refused after the start as hotplug */
};

extern const struct fc_endpoint fc_endpoints[];
extern const size_t fc_endpoint_count;

#endif
