/* SPDX-License-Identifier: Apache-2.0 */
/* The tap device itself: made down, so that nothing passes before net.c has put the guard on. */
#ifndef STOKER_NET_TAP_H
#define STOKER_NET_TAP_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/* Creates a tap (an existing name is an error) that goes with its descriptor. *ret_fd is its queue:
 * IFF_TAP | IFF_NO_PI | IFF_VNET_HDR with the 12-byte header of virtio 1, close-on-exec. The link
 * is down, and its address that of the gateway. */
int tap_open(const char *name, int *ret_fd, unsigned *ret_ifindex, struct error *err);

/* Makes it persistent, and one that `owner` may open by name. */
int tap_keep(const char *name, int fd, uid_t owner, struct error *err);

/* Both. */
int tap_create(const char *name, uid_t owner, int *ret_fd, unsigned *ret_ifindex,
	       struct error *err);

/* Makes it a router's interface towards one guest: no addresses, announcements, redirects or ARP
 * of its own. Forwarding of IPv6 is switched on only when `has_ip6`. */
int tap_configure(const char *name, bool has_ip6, struct error *err);

#endif
