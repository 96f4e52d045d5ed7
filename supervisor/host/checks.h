/* SPDX-License-Identifier: Apache-2.0 */
/* The checks, and what they share: for the files of this folder only. */
#ifndef STOKER_HOST_CHECKS_H
#define STOKER_HOST_CHECKS_H

#include <stdbool.h>

#include "base/strbuf.h"
#include "host/host.h"

/* Adds one finding or more. */
typedef void check_fn(const struct host *host, struct findings *found);

void find_ok(struct findings *found, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The remedy is a command, a setting or a place, as it is typed. */
void find(struct findings *found, enum grade grade, const char *remedy, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* A file of 8 MiB at most, without its last newline. -1: it cannot be read. */
int host_read(const struct host *host, const char *path, struct strbuf *ret);

/* Is `word` one of the words of `text`, between blanks or newlines? */
bool has_word(const char *text, const char *word);

/* "6.1.0-56-amd64" is at least 5.10? False for what is no version. */
bool is_version_at_least(const char *version, unsigned major, unsigned minor);

check_fn check_kvm, check_smt, check_ksm, check_swap, check_vulnerabilities, check_kernel,
	check_cgroup, check_entropy, check_clocksource, check_clock, check_hugepages;
check_fn check_btf, check_bpffs, check_unprivileged_bpf, check_tun, check_nftables, check_conntrack,
	check_forwarding;
check_fn check_qemu, check_firecracker, check_jailer, check_jail, check_libexec;
check_fn check_guest_kernel, check_directories, check_uids;

/* Something is there, and we may read it. */
bool host_has(const struct host *host, const char *path);

/* Is what lies at `path` out of everybody's reach but the trusted user's? Judges it and each
 * directory on the way, also through symbolic links. What is wrong becomes a finding, and -1. When
 * nothing is there: the same with `missing_remedy`, or fine when that is NULL. */
int find_distrust(const struct host *host, const char *path, const char *missing_remedy,
		  struct findings *found);

#endif
