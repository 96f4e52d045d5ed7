/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network of one host: a routed tap per VM, the guard on it, and the host's own rules. This is
 * all that instance/ and control/ see of net/; rtnl, tap, guard and nat are behind it.
 *
 * Order is the promise: a tap gets its map entry, then its guard, then goes up. A tap whose guard
 * cannot be proved attached is never up.
 */
#ifndef STOKER_NET_NET_H
#define STOKER_NET_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/strv.h"
#include "loop/loop.h"
#include "model/address.h"
#include "model/settings.h"
#include "model/spec.h"

struct net;

struct net_tap {
	const char *name; /* at most 15 bytes; all of stoker's begin with NET_TAP_PREFIX */
	uint32_t slot;	  /* index of its counters; unique on the host */
	uint32_t tenant_id;
	uint8_t mac[6]; /* the guest's */
	struct address_list addresses;
	uint64_t rate_bits;    /* a second, each way; 0 = no limit */
	uint32_t rate_packets; /* likewise */
	/* Those of spec.h, borrowed; NULL: none. */
	const struct strv *egress, *ingress, *ports;
};

#define NET_TAP_PREFIX "stk"

enum { NET_SLOTS_MAX = 4096 }; /* slots are below this: so many VMs the guard counts for */

/* What every VM sees as its gateway. */
#define NET_GATEWAY4	"169.254.1.1"
#define NET_GATEWAY6	"fe80::1"
#define NET_GATEWAY_MAC "\x02\x53\x74\x6b\x00\xfe"

/* Loads the guard's program and maps, or re-opens what an earlier daemon pinned in
 * settings->bpf_dir. The host's rules are left as they are until net_sweep. */
int net_open(const struct settings *settings, struct net **ret, struct error *err);

/* Forgets; everything in the kernel stays and goes on guarding. NULL is fine; returns NULL. */
struct net *net_close(struct net *net);

/* Takes the pins, maps and rules out of the kernel. Only when no tap is left. */
int net_remove(struct net *net, struct error *err);

/* Creates, guards and raises the tap, with its routes and neighbours. *ret_fd: IFF_TAP | IFF_NO_PI
 * | IFF_VNET_HDR, close-on-exec. An error leaves nothing. */
int net_tap_create(struct net *net, const struct net_tap *tap, int *ret_fd, struct error *err);

/* For a VMM that opens its tap by name, in the network namespace `netns_fd` of its own: makes the
 * tap there, down, for `owner` to open. When the VMM has it open, net_tap_take brings it to the
 * host, where it is guarded and raised as one of net_tap_create. A namespace that ends takes a lent
 * tap with it. After an error of net_tap_take, net_tap_destroy clears up. */
int net_tap_lend(struct net *net, const struct net_tap *tap, int netns_fd, uid_t owner,
		 struct error *err);
int net_tap_take(struct net *net, const struct net_tap *tap, int netns_fd, struct error *err);

/* The VM of an adopted instance holds the tap: checks guard, map entry, routes and link, and mends
 * what is missing (link down first, so that nothing passes unguarded). */
int net_tap_adopt(struct net *net, const struct net_tap *tap, struct error *err);

/* New rates at once, new policy and ports with the next net_commit. A frame meets the old ones or
 * the new. Missing is fine: they come with the tap. */
int net_tap_update(struct net *net, const struct net_tap *tap, struct error *err);

/* Brings policies and published ports into force, those of all taps in one step. After an error
 * the former hold, and the next net_commit tries again. */
int net_commit(struct net *net, struct error *err);

/* Missing is fine. */
int net_tap_destroy(struct net *net, const char *name, uint32_t slot, struct error *err);

/* Destroys taps of ours whose name is not in `keep`, which have been adopted; then the host's rules
 * are those of the taps that are left. */
int net_sweep(struct net *net, const struct strv *keep, struct error *err);

/* --- seeing it ------------------------------------------------------------------------------- */

enum net_event_kind {
	NET_EVENT_DROP,		 /* a sample of what the guard drops */
	NET_EVENT_REPAIRED,	 /* the guard was found incomplete and is whole again: message */
	NET_EVENT_LOST,		 /* it cannot be: the VM must not run on: message */
	NET_EVENT_SHIELD_RAISED, /* against a flood: message */
	NET_EVENT_SHIELD_LOWERED,
	NET_EVENT_SHIELD_REFUSED, /* by the kernel; the guard goes on alone: message */
	NET_EVENT_KINDS,
};

enum { NET_HEAD_MAX = 128 };

struct net_event {
	enum net_event_kind kind;
	uint32_t slot;
	uint64_t time_ms;    /* of CLOCK_REALTIME */
	bool is_news;	     /* worth a line of the log: drops are once a minute and VM */
	const char *message; /* "" with a drop; borrowed */
	/* With a drop: */
	const char *reason; /* static */
	bool is_to_guest;
	uint32_t frame_bytes;
	uint32_t head_bytes; /* of them in `head` */
	uint8_t head[NET_HEAD_MAX];
};

/* "drop", "repaired", "lost", "shield raised", ... */
const char *net_event_name(enum net_event_kind kind);

typedef void net_event_fn(void *data, const struct net_event *event);

/* From now on listens to the guard and looks after the taps, each second. `told` may destroy taps.
 * Of drops it hears at most one a second and VM, and 20 in all. */
int net_watch(struct net *net, struct loop *loop, net_event_fn *told, void *data,
	      struct error *err);

/* What net_watch does each second; `now_ms` is of loop_now_ms. */
void net_tick(struct net *net, uint64_t now_ms);

struct net_counter {
	const char *name; /* "accept", "source-mac", ... static */
	uint64_t packets;
	bool is_drop;
	uint64_t per_second; /* lately, while the tap is looked after */
};

enum { NET_COUNTERS_MAX = 64 };

struct net_counters {
	struct net_counter items[NET_COUNTERS_MAX];
	size_t count;
	uint64_t accepted_bytes;  /* from the guest */
	uint64_t delivered_bytes; /* to it */
	uint64_t shielded;	  /* that met the flood shield; in the drops above */
	const char *attachment;	  /* "tcx" or "clsact" */
};

int net_counters_read(struct net *net, uint32_t slot, struct net_counters *ret, struct error *err);

enum { NET_EVENTS_KEPT = 8 };

/* All that is known of a tap's guard. */
struct net_view {
	struct net_counters counters;
	/* As the guard's program reads it: */
	uint8_t mac[6];
	uint32_t tenant_id;
	uint32_t mtu;
	struct address_list addresses; /* without the link-local one */
	uint64_t rate_bits;
	uint32_t rate_packets;
	bool has_shield; /* now */
	/* The last drops, oldest first; borrowed until control returns to the loop. */
	const struct net_event *events[NET_EVENTS_KEPT];
	size_t event_count;
};

/* A slot without a tap is an error. */
int net_view_read(struct net *net, uint32_t slot, struct net_view *ret, struct error *err);

/* The VM's policy as the kernel has it: the rules of nft(8), with what they dropped. */
struct net_policy {
	struct strv egress, ingress; /* empty: nothing is forbidden */
	struct strv ports;	     /* published: model/policy.h */
};

int net_policy_read(struct net *net, uint32_t slot, struct net_policy *ret, struct error *err);
void net_policy_reset(struct net_policy *policy);

#endif
