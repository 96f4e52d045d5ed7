/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What shall go wrong, read from the name of the program, for the jailer leaves neither environment
 * nor arguments of ours. The grammar is told at the head of firecracker.c.
 */
#ifndef STOKER_TESTS_FAKES_FC_FAULT_H
#define STOKER_TESTS_FAKES_FC_FAULT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum { FAULT_CALLS_MAX = 8 };

enum fault_kind {
	FAULT_NONE,
	FAULT_REFUSE,	   /* 400 with a fault_message */
	FAULT_HANG,	   /* the call is never answered */
	FAULT_DIE_BEFORE,  /* SIGKILL when the request was read */
	FAULT_DIE_BETWEEN, /* SIGKILL when it was carried out, but not answered */
	FAULT_DIE_AFTER,   /* SIGKILL when it was answered */
};

struct fault_call {
	enum fault_kind kind;
	char method[8];
	char name[32]; /* first component of the path */
	char id[33];   /* second component; "" for any */
};

struct fc_faults {
	char version[16]; /* "1.16.1" */
	bool slow_api, no_socket, late_socket, garbage_http, garbage_version, full_disk, no_kvm;
	int exit_code; /* -1: none */
	struct fault_call calls[FAULT_CALLS_MAX];
	size_t call_count;
};

/* `file_name` without its directory. A word that is no fault is an error. */
int fc_faults_parse(const char *file_name, struct fc_faults *ret, struct error *err);

enum fault_kind fc_faults_of(const struct fc_faults *faults, const char *method, const char *path);

#endif
