/* SPDX-License-Identifier: Apache-2.0 */
/* The body of a host's network, shared by net.c, which makes taps, and keep.c, which looks after
 * them. */
#ifndef STOKER_NET_NET_INTERNAL_H
#define STOKER_NET_NET_INTERNAL_H

#include <net/if.h>

#include "net/guard.h"
#include "net/nat.h"
#include "net/net.h"
#include "net/pool.h"
#include "net/rtnl.h"
#include "net/shield.h"

/* What is remembered of a tap that is guarded. */
struct kept {
	char name[IF_NAMESIZE];
	struct net_tap tap; /* its name is the above */
	bool is_lost;	    /* said once */
	bool is_counted;    /* `counts` are of the last tick */
	struct guard_counts counts;
	uint64_t per_second[GUARD_REASON_COUNT];
	struct net_event events[NET_EVENTS_KEPT]; /* a ring of the last drops */
	uint64_t event_count;
	struct shield shield;
	int shield_link;	   /* owned; -1: the shield is not up */
	uint64_t told_ms, news_ms; /* when the last was told, and was news; 0 = never */
};

struct net {
	struct rtnl *rtnl;		  /* owned */
	struct guard *guard;		  /* owned */
	struct nat *nat;		  /* owned */
	struct kept *kept[NET_SLOTS_MAX]; /* owned; by slot; NULL: none */
	struct watch *ticker, *listener;  /* owned; NULL: nobody watches */
	net_event_fn *told;
	void *told_data;
	uint64_t ticked_ms; /* loop_now_ms of the last tick; 0 = none */
	unsigned told_since_tick;
	unsigned kept_count;
	bool has_shields; /* a flood raises them */
	struct pool pool;
};

/* --- keep.c --- */

void keep_add(struct net *net, const struct net_tap *tap);
void keep_drop(struct net *net, uint32_t slot);
void keep_close(struct net *net);

/* --- net.c --- */

/* The guard's value for the tap. */
int net_make_vm(const struct net_tap *tap, struct guard_vm *ret, struct error *err);

/* What net_tap_adopt does, but that policy and ports stay what they are. */
int net_mend_tap(struct net *net, const struct net_tap *tap, struct error *err);

#endif
