/* SPDX-License-Identifier: Apache-2.0 */
/* KEY=value pairs: `environment`, `env_file` and `labels`. */
#ifndef STOKER_CONFIG_ENVIRONMENT_H
#define STOKER_CONFIG_ENVIRONMENT_H

#include "base/strv.h"
#include "config/problems.h"
#include "config/yaml.h"

enum {
	PAIR_BYTES_MAX = 128 * 1024 - 1, /* MAX_ARG_STRLEN: the longest that execve(2) takes */
	PAIRS_BYTES_MAX = 1 << 20,	 /* all of one VM's */
};

enum pairs_kind {
	PAIRS_ENVIRONMENT, /* a key without a value is an error */
	PAIRS_LABELS,	   /* a key without a value has an empty one */
};

/* A mapping or a list of "key=value" -> "key=value", sorted by key. */
void pairs_parse(struct report *report, const char *key, const struct node *node,
		 enum pairs_kind kind, struct strv *ret);

/* The variables of a VM: those of the files in their order, then `environment`; the later wins.
 * Either node may be NULL. */
void environment_parse(struct report *report, const struct node *environment,
		       const struct node *env_file, struct strv *ret);

#endif
