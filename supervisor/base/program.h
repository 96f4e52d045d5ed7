/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Short runs of trusted programs that are waited for: nft, and --version. The caller stands still
 * meanwhile; what lives longer belongs to loop/child.
 */
#ifndef STOKER_BASE_PROGRAM_H
#define STOKER_BASE_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/strbuf.h"

struct program {
	char *const *argv; /* argv[0] is the path; there is no search */
	int input_fd;	   /* its standard input; -1: /dev/null */
	bool with_errors;  /* standard error is read too; else it is dropped */
	bool is_one_line;  /* it is killed when its first line is there */
	size_t output_max; /* bytes that are kept; the rest is read and dropped */
	int timeout_ms;	   /* then it is killed */
};

/* Runs it with LC_ALL=C and a short PATH, all signals at their defaults. *ret_status is that of
 * waitpid(2), of a killed one too; `output` is appended to. -1: it does not start, or did not end
 * in time. */
int program_run(const struct program *program, struct strbuf *output, int *ret_status,
		struct error *err);

#endif
