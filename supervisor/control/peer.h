/* SPDX-License-Identifier: Apache-2.0 */
/* Who is connected to the control socket: its user and groups, as the kernel knows them. */
#ifndef STOKER_CONTROL_PEER_H
#define STOKER_CONTROL_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

struct peer {
	pid_t pid;
	uid_t uid;
	gid_t *groups; /* owned; the first is its own */
	size_t group_count;
};

int peer_read(int fd, struct peer *ret, struct error *err);
void peer_reset(struct peer *peer);

/* Whether it is in the host's group of that name; there need not be one. */
bool peer_is_in(const struct peer *peer, const char *group);

#endif
