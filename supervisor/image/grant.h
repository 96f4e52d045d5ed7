/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One credential on its way from the operator's file, or from a credential helper, to one fetcher:
 * through a pipe, so that no command line, environment or other fetcher's memory ever holds it. The
 * daemon's side; hosts.c reads at the other end.
 */
#ifndef STOKER_IMAGE_GRANT_H
#define STOKER_IMAGE_GRANT_H

#include "base/error.h"
#include "loop/loop.h"
#include "model/settings.h"

struct grant;

/* Looks the repository up in settings->credentials_path. *ret is NULL when there is nothing to hand
 * over; else *ret_fd is the pipe's end for the fetcher, and the caller's to close. A helper runs
 * as long as the grant lives; its answer is not read here. */
int grant_make(struct loop *loop, const struct settings *settings, const char *registry,
	       const char *repository, struct grant **ret, int *ret_fd, struct error *err);

struct grant *grant_free(struct grant *grant); /* ends the helper; NULL is fine, returns NULL */

#endif
