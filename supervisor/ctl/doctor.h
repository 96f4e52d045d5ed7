/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stokerctl doctor knows of a good host: doctor.c asks doctor_examine (doctor_rules.c), whose
 * table runs the checks of doctor_host.c (kernel and hardware), doctor_net.c (guard and NAT) and
 * doctor_trust.c (programs, directories, user ids) and prints what they found. The checks read
 * files below host->root only, so that tests bring a host of their own.
 */
#ifndef STOKER_CTL_DOCTOR_H
#define STOKER_CTL_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/strbuf.h"
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

typedef void doctor_check_fn(const struct host *host, struct findings *found);

void doctor_examine(const struct host *host, struct findings *ret);
void findings_reset(struct findings *found);

/* --- for the checks ---------------------------------------------------------------------------
 */

void find_ok(struct findings *found, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The remedy is a command, a setting or a place, as it is typed. */
void find(struct findings *found, enum verdict verdict, const char *remedy, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* A file of 8 MiB at most, without its last newline. -1: it cannot be read. */
int host_read(const struct host *host, const char *path, struct strbuf *ret);

/* Is `word` one of the words of `text`, between blanks or newlines? */
bool has_word(const char *text, const char *word);

/* "6.1.0-56-amd64" is at least 5.10? False for what is no version. */
bool is_version_at_least(const char *version, unsigned major, unsigned minor);

doctor_check_fn check_kvm, check_smt, check_ksm, check_swap, check_vulnerabilities, check_kernel,
	check_cgroup, check_entropy, check_clocksource, check_clock, check_hugepages;
doctor_check_fn check_btf, check_bpffs, check_unprivileged_bpf, check_nftables, check_conntrack,
	check_forwarding;
doctor_check_fn check_guest_kernel, check_qemu, check_libexec, check_directories, check_uids;

/* Is what lies at `path` out of everybody's reach but the trusted user's? Judges it and each
 * directory on the way, also through symbolic links. What is wrong becomes a finding, and -1. When
 * nothing is there: the same with `missing_remedy`, or fine when that is NULL. */
int find_distrust(const struct host *host, const char *path, const char *missing_remedy,
		  struct findings *found);

#endif
