/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links, addresses, routes and neighbours by rtnetlink(7). libmnl's home. Each call waits for the
 * kernel's acknowledgement; an error names the object.
 */
#ifndef STOKER_NET_RTNL_H
#define STOKER_NET_RTNL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "model/address.h"

struct rtnl;

struct rtnl *rtnl_open(struct error *err);
struct rtnl *rtnl_close(struct rtnl *rtnl); /* NULL is fine; returns NULL */

struct rtnl_link {
	const char *name; /* for the message */
	unsigned ifindex;
};

struct rtnl_link_values {
	const uint8_t *mac; /* 6 bytes; NULL leaves it */
	uint32_t mtu;	    /* 0 leaves it */
	uint32_t group;	    /* 0 leaves it: for RTM_DELLINK of a whole group */
};

int rtnl_link_set(struct rtnl *rtnl, const struct rtnl_link *link,
		  const struct rtnl_link_values *values, struct error *err);
int rtnl_link_rename(struct rtnl *rtnl, const struct rtnl_link *link, const char *name,
		     struct error *err); /* a link that is down */
int rtnl_link_raise(struct rtnl *rtnl, const struct rtnl_link *link, bool is_up, struct error *err);
/* To another network namespace. It goes down, and loses its guard, addresses and routes. */
int rtnl_link_move(struct rtnl *rtnl, const struct rtnl_link *link, int netns_fd,
		   struct error *err);
int rtnl_link_delete(struct rtnl *rtnl, const struct rtnl_link *link, struct error *err);

/* Every link of the group, in one request. An empty group is fine. */
int rtnl_group_delete(struct rtnl *rtnl, uint32_t group, struct error *err);

/* An address of the host's own on the link, of full length. */
int rtnl_address_add(struct rtnl *rtnl, const struct rtnl_link *link, const struct address *address,
		     struct error *err);

/* A host route to the address over the link; replaces one that is there. */
int rtnl_route_add(struct rtnl *rtnl, const struct rtnl_link *link, const struct address *to,
		   struct error *err);

/* The neighbour's MAC, for good: nobody is ever asked for it. Replaces one that is there. */
int rtnl_neighbour_add(struct rtnl *rtnl, const struct rtnl_link *link,
		       const struct address *address, const uint8_t mac[6], struct error *err);

DEFINE_CLEANUP(struct rtnl, rtnl_close);
#define _cleanup_rtnl_ CLEANUP(rtnl_close_cleanup)

#endif
