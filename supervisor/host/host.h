/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a good host is: for stokerctl doctor, and for a daemon whose [host] require says that less
 * will not do. host.c's table names the checks, which lie in machine.c (processor, kernel, memory),
 * network.c (guard, taps, NAT), programs.c (what the daemon executes) and trust.c (who may change
 * what it reads). They look below host->root only, so that tests bring a host of their own.
 */
#ifndef STOKER_HOST_HOST_H
#define STOKER_HOST_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "host/probe.h"
#include "model/check.h"
#include "model/settings.h"

enum grade { GRADE_OK, GRADE_WARN, GRADE_BAD };

struct finding {
	enum check check;
	enum grade grade;
	char *fact;   /* owned */
	char *remedy; /* owned; NULL: nothing to do */
};

struct findings {
	struct finding *items; /* owned */
	size_t count;
	enum check check; /* the one that runs */
};

struct host {
	const char *root; /* "" outside of tests: put before every path */
	const struct settings *settings;
	uid_t trusted_uid;	    /* who may own programs and directories: 0 outside of tests */
	bool is_clock_synchronised; /* as adjtimex(2) says */
	enum kvm_state (*probe_kvm)(
		const struct settings *settings); /* kvm_probe outside of tests */
};

/* This host. The settings must outlive it. */
struct host host_here(const struct settings *settings);

/* Carries out the checks of the set `wanted` (model/check.h); each adds one finding or more. They
 * read small files, and some run a trusted program with --version or, once per boot of the host, a
 * guest of a few bytes: tens of milliseconds, and ten seconds for a program that says nothing. */
void host_examine(const struct host *host, uint64_t wanted, struct findings *ret);

void findings_reset(struct findings *found);

#endif
