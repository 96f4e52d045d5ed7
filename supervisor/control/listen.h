/* SPDX-License-Identifier: Apache-2.0 */
/* The sockets that control/ listens on; private to it. */
#ifndef STOKER_CONTROL_LISTEN_H
#define STOKER_CONTROL_LISTEN_H

#include <sys/stat.h>

#include "base/error.h"
#include "model/address.h"

struct listener {
	int fd;		  /* owned; non-blocking; -1: none */
	char *path;	  /* owned; NULL: TCP */
	struct stat made; /* what bind made at path: that alone is ours to remove */
};

/* On RUN_DIR/NAME, a unix socket of that mode, or on TCP. Creates RUN_DIR when it is missing.
 * Release with listen_close also after an error. */
int listen_unix(const char *run_dir, const char *name, mode_t mode, struct listener *ret,
		struct error *err);
int listen_tcp(const struct endpoint *endpoint, struct listener *ret, struct error *err);
void listen_close(struct listener *listener);

#endif
