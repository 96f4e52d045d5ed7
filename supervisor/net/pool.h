/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taps on stock, for net.c: made, guarded and down, so that the wait for the kernel's grace period,
 * which attaching by TCX takes, is over before a VM starts. They have no entry in the guard's map,
 * so that nothing passes, and go with the daemon, for no tap of the stock outlives its descriptor.
 */
#ifndef STOKER_NET_POOL_H
#define STOKER_NET_POOL_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

struct net;

enum { POOL_MAX = 4 };

struct pool_tap {
	char name[16];
	int fd;
	unsigned ifindex;
};

struct pool {
	struct pool_tap taps[POOL_MAX];
	unsigned count;
	unsigned made; /* ever: names are not used again */
};

/* Makes one more, if there is room. */
int pool_fill(struct net *net, struct error *err);

/* Gives one away under this name, persistent and for `owner`; false when there is none. */
bool pool_take(struct net *net, const char *name, uid_t owner, int *ret_fd, unsigned *ret_ifindex);

void pool_drain(struct net *net);

#endif
