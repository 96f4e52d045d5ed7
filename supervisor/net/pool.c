/* SPDX-License-Identifier: Apache-2.0 */
#include "net/pool.h"

#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "net/net_internal.h"
#include "net/tap.h"

/* The device ends with its descriptor; a guard by TCX goes on until its pins are gone. */
static void discard(struct net *net, struct pool_tap *tap)
{
	close(tap->fd);
	guard_forget(net->guard, tap->name);
}

int pool_fill(struct net *net, struct error *err)
{
	struct pool *pool = &net->pool;
	struct pool_tap *tap = &pool->taps[pool->count];

	if (pool->count == POOL_MAX)
		return 0;
	snprintf(tap->name, sizeof(tap->name), NET_TAP_PREFIX "p%u", pool->made++);
	if (tap_open(tap->name, &tap->fd, &tap->ifindex, err) < 0)
		return -1;
	if (guard_attach(net->guard, tap->name, tap->ifindex, err) < 0) {
		discard(net, tap);
		return -1;
	}
	pool->count++;
	return 0;
}

bool pool_take(struct net *net, const char *name, uid_t owner, int *ret_fd, unsigned *ret_ifindex)
{
	struct pool *pool = &net->pool;
	struct pool_tap *tap;
	struct rtnl_link link;

	if (!pool->count)
		return false;
	tap = &pool->taps[--pool->count];
	link = (struct rtnl_link){ .name = tap->name, .ifindex = tap->ifindex };
	if (rtnl_link_rename(net->rtnl, &link, name, NULL) < 0 ||
	    guard_rename(net->guard, tap->name, name, NULL) < 0 ||
	    tap_keep(name, tap->fd, owner, NULL) < 0) {
		discard(net, tap);
		guard_forget(net->guard, name);
		return false;
	}
	*ret_fd = tap->fd;
	*ret_ifindex = tap->ifindex;
	return true;
}

void pool_drain(struct net *net)
{
	while (net->pool.count)
		discard(net, &net->pool.taps[--net->pool.count]);
}
