/* SPDX-License-Identifier: Apache-2.0 */
/* One conversation with stokerd, in the words of control/protocol.h. */
#ifndef STOKER_CTL_CLIENT_H
#define STOKER_CTL_CLIENT_H

#include "base/error.h"
#include "base/json.h"
#include "control/protocol.h"
#include "ctl/ctl.h"

/* One line of the answer: {key: value}. */
typedef void answer_fn(void *data, const char *key, const json_t *value);

/* Asks, and calls fn (may be NULL) for each line until the answer ends. *ret_done (may be NULL) is
 * its last line, the caller's. The daemon's refusal is an error as any other. */
int client_ask(const struct ctl *ctl, const struct request *request, answer_fn *fn, void *data,
	       json_t **ret_done, struct error *err);

/* The same for a command without answers but the last. Returns an exit code. */
int client_tell(const struct ctl *ctl, const struct request *request);

/* Asks for a session: *ret_fd is the caller's, and speaks its frames, the first bytes of which may
 * be in `ret_in` already. */
int client_open_session(const struct ctl *ctl, const struct request *request, int *ret_fd,
			struct strbuf *ret_in, struct error *err);

/* A request of `command` about the first argument, if there is one. -1: it is too long. */
int request_init(struct request *ret, enum protocol_command command, const struct ctl *ctl,
		 struct error *err);

/* Likewise about the image that the first argument names. */
int request_about_image(struct request *ret, enum protocol_command command, const struct ctl *ctl,
			struct error *err);

#endif
