/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a good host is. host.c's table runs the checks of machine.c (processor, kernel, memory),
 * network.c (guard and NAT) and trust.c (programs, directories, user ids), for stokerctl doctor,
 * which prints what they found. The checks read files below host->root only, so that tests bring a
 * host of their own.
 */
#ifndef STOKER_HOST_HOST_H
#define STOKER_HOST_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "model/settings.h"

enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_BAD };

struct finding {
	enum verdict verdict;
	const char *name; /* of the check */
	char *fact;	  /* owned */
	char *remedy;	  /* owned; NULL: nothing to do */
};

struct findings {
	struct finding *items;
	size_t count;
	const char *check; /* the check that runs */
};

struct host {
	const char *root; /* "" outside of tests: put before every path */
	const struct settings *settings;
	uid_t trusted_uid;	    /* who may own programs and directories: 0 outside of tests */
	bool is_clock_synchronised; /* as adjtimex(2) says */
};

void host_examine(const struct host *host, struct findings *ret);
void findings_reset(struct findings *found);

#endif
