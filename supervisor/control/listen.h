/* SPDX-License-Identifier: Apache-2.0 */
/* The listening end of the control socket; private to control/. */
#ifndef STOKER_CONTROL_LISTEN_H
#define STOKER_CONTROL_LISTEN_H

#include <sys/stat.h>

#include "base/error.h"

struct listener {
	int fd;		  /* owned; non-blocking; -1: none */
	char *path;	  /* owned */
	struct stat made; /* what bind made at path: that alone is ours to remove */
};

/* Creates RUN_DIR when it is missing. Release with listen_close also after an error. */
int listen_open(const char *run_dir, struct listener *ret, struct error *err);
void listen_close(struct listener *listener);

#endif
