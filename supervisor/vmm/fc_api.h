/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firecracker's API socket: requests go out one after the other over one connection, which is made
 * when the first one is due and closed with the last. For firecracker.c.
 */
#ifndef STOKER_VMM_FC_API_H
#define STOKER_VMM_FC_API_H

#include <sys/types.h>

#include "base/error.h"
#include "loop/loop.h"
#include "vmm/fc_requests.h"

enum { FC_FAULT_MAX = 400 }; /* bytes of a refusal that are kept */

/* What an answer says of why, for an operator's terminal: the fault_message of its JSON object,
 * else the answer itself, with blanks for what is not printable ASCII. */
void fc_fault(const char *body, size_t length, char ret[FC_FAULT_MAX + 1]);

struct fc_api;

/* None fires from inside a call to this module. */
struct fc_api_callbacks {
	/* Before a request is sent, and after it succeeded; -1 ends the run with that error. */
	int (*before)(void *data, const struct api_request *request, struct error *err);
	int (*after)(void *data, const struct api_request *request, struct error *err);
	/* Exactly once for each run: err is NULL when every request succeeded, else the first
	 * refusal, with Firecracker's fault message; later requests were not sent. May free the
	 * api. */
	void (*done)(void *data, int tag, const struct error *err);
};

/* `root_fd` is Firecracker's working directory, borrowed; the socket must belong to `uid`, for a
 * hostile VMM could lay any other in its place. */
struct fc_api *fc_api_new(struct loop *loop, int root_fd, uid_t uid,
			  const struct fc_api_callbacks *callbacks, void *data);
struct fc_api *fc_api_free(struct fc_api *api); /* NULL is fine; returns NULL */

/* Takes the requests over and runs them behind those that are under way. A process that has just
 * started is given 30 s to open its socket. The tag is the caller's, for `done`. */
void fc_api_run(struct fc_api *api, int tag, struct api_requests *taken);

#endif
