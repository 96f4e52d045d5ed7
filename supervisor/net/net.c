/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order in which a VM's network comes and goes: instance/ calls this, and rtnl, tap, guard and
 * nat do the parts. Coming: device (down), switches, map entry, guard, up, routes. Going: device,
 * map entry, pins. A crash in between leaves a device that is down, or one that is guarded.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "net/nat.h"
#include "net/net_internal.h"
#include "net/netns.h"
#include "net/sysctl.h"
#include "net/tap.h"

enum {
	TAP_MTU = 1500,
	TAP_GROUP = 0x73746b, /* "stk": so that all go in one request */
};

_Static_assert((int)NET_SLOTS_MAX == (int)GUARD_SLOTS_MAX, "one number of slots");

DEFINE_CLEANUP(struct net, net_close);

int net_open(const struct settings *settings, struct net **ret, struct error *err)
{
	CLEANUP(net_close_cleanup) struct net *net = xcalloc(1, sizeof(*net));
	struct guard_options options = { .bpf_dir = settings->bpf_dir };

	net->has_shields = settings->flood_shield;
	net->rtnl = rtnl_open(err);
	if (!net->rtnl || guard_open(&options, &net->guard, err) < 0)
		return error_wrap(err, "network");
	net->nat = nat_new();
	*ret = take_ptr(net);
	return 0;
}

struct net *net_close(struct net *net)
{
	if (!net)
		return NULL;
	keep_close(net);
	if (net->guard)
		pool_drain(net);
	nat_free(net->nat);
	guard_close(net->guard);
	rtnl_close(net->rtnl);
	free(net);
	return NULL;
}

int net_remove(struct net *net, struct error *err)
{
	pool_drain(net);
	if (guard_remove(net->guard, err) < 0 || nat_remove(err) < 0)
		return error_wrap(err, "network: remove");
	return 0;
}

static bool is_our_name(const char *name)
{
	size_t length = strlen(name);

	return length > strlen(NET_TAP_PREFIX) && length < IF_NAMESIZE &&
	       strncmp(name, NET_TAP_PREFIX, strlen(NET_TAP_PREFIX)) == 0 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789") == length;
}

static bool has_ip6(const struct net_tap *tap)
{
	for (uint32_t i = 0; i < tap->addresses.count; i++)
		if (tap->addresses.items[i].family == 6)
			return true;
	return false;
}

/* RFC 4291 appendix A: the address that the guest's kernel derives from its MAC. */
static void link_local(const uint8_t mac[6], uint32_t ret[4])
{
	uint8_t bytes[16] = { 0xfe, 0x80, [8] = mac[0] ^ 2, mac[1], mac[2],
			      0xff, 0xfe, mac[3],	    mac[4], mac[5] };

	memcpy(ret, bytes, sizeof(bytes));
}

/* What no VM may own: reserved for the link itself. Manifests cannot say it; a record might. */
static bool is_ownable(const struct address *address)
{
	const uint8_t *bytes = address->bytes;

	if (address->family == 4)
		return bytes[0] != 0 && bytes[0] != 127 && bytes[0] < 224 &&
		       !(bytes[0] == 169 && bytes[1] == 254);
	return address->family == 6 && bytes[0] != 0 && bytes[0] != 0xff &&
	       !(bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80);
}

/* The guard's value for the VM. Zeroed first: values are compared as bytes. */
int net_make_vm(const struct net_tap *tap, struct guard_vm *ret, struct error *err)
{
	size_t count4 = 0, count6 = 1;
	char text[ADDRESS_TEXT_MAX];

	memset(ret, 0, sizeof(*ret));
	if (!is_our_name(tap->name))
		return error_set(err, "tap '%s': not a name of ours (%s and at most %d of a-z0-9)",
				 tap->name, NET_TAP_PREFIX,
				 IF_NAMESIZE - 1 - (int)strlen(NET_TAP_PREFIX));
	if (tap->mac[0] & 1)
		return error_set(err, "tap '%s': the VM's MAC is a group address", tap->name);
	memcpy(ret->mac, tap->mac, sizeof(ret->mac));
	ret->mtu = TAP_MTU;
	ret->slot = tap->slot;
	ret->tenant = tap->tenant_id;
	ret->rate_bits = tap->rate_bits;
	ret->rate_packets = tap->rate_packets;
	if (has_ip6(tap))
		link_local(tap->mac, ret->ip6[0]);
	for (uint32_t i = 0; i < tap->addresses.count; i++) {
		const struct address *address = &tap->addresses.items[i];

		if (!is_ownable(address))
			return error_set(err, "tap '%s': %s cannot be a VM's address", tap->name,
					 address_format(address, text));
		if (address->family == 4 && count4 < GUARD_IP4_MAX)
			memcpy(&ret->ip4[count4++], address->bytes, 4);
		else if (address->family == 6 && count6 < GUARD_IP6_MAX)
			memcpy(ret->ip6[count6++], address->bytes, 16);
		else
			return error_set(err, "tap '%s': more addresses than the guard holds",
					 tap->name);
	}
	return 0;
}

/* Everything between "the device exists and is down" and "it may go up". */
static int guard_device(struct net *net, const struct net_tap *tap, const struct rtnl_link *link,
			const struct guard_vm *vm, struct error *err)
{
	const struct rtnl_link_values values = {
		.mac = (const uint8_t *)NET_GATEWAY_MAC,
		.mtu = TAP_MTU,
		.group = TAP_GROUP,
	};

	if (rtnl_link_set(net->rtnl, link, &values, err) < 0 ||
	    tap_configure(tap->name, has_ip6(tap), err) < 0 ||
	    guard_set_vm(net->guard, link->ifindex, vm, err) < 0 ||
	    guard_attach(net->guard, tap->name, link->ifindex, err) < 0)
		return -1;
	return 0;
}

static int connect_device(struct net *net, const struct net_tap *tap, const struct rtnl_link *link,
			  struct error *err)
{
	if (rtnl_link_raise(net->rtnl, link, true, err) < 0)
		return -1;
	for (uint32_t i = 0; i < tap->addresses.count; i++) {
		const struct address *address = &tap->addresses.items[i];

		if (rtnl_route_add(net->rtnl, link, address, err) < 0 ||
		    rtnl_neighbour_add(net->rtnl, link, address, tap->mac, err) < 0)
			return -1;
	}
	return 0;
}

/* A connection to a published port from the host's own loopback has a source of 127.0.0.0/8, which
 * only leaves by a device that may route it; a guest's own such frames end in the guard and in the
 * host's rules. */
static int open_loopback(const struct net *net, const struct net_tap *tap, struct error *err)
{
	return sysctl_set("ipv4", tap->name, "route_localnet",
			  nat_has_ports(net->nat, tap->slot) ? "1" : "0", err);
}

/* A device of the host's that is down, and new to it. */
static int admit_device(struct net *net, const struct net_tap *tap, const struct rtnl_link *link,
			const struct guard_vm *vm, struct error *err)
{
	if (guard_device(net, tap, link, vm, err) < 0 ||
	    guard_counts_clear(net->guard, tap->slot, err) < 0 || nat_set(net->nat, tap, err) < 0 ||
	    nat_commit(net->nat, err) < 0 || open_loopback(net, tap, err) < 0 ||
	    connect_device(net, tap, link, err) < 0) {
		net_tap_destroy(net, tap->name, tap->slot, NULL);
		return error_wrap(err, "tap '%s'", tap->name);
	}
	keep_add(net, tap);
	return 0;
}

static int refuse_existing(const char *name, struct error *err)
{
	if (if_nametoindex(name))
		return error_set(err, "tap '%s': exists already (ip link delete %s)", name, name);
	return 0;
}

int net_tap_create(struct net *net, const struct net_tap *tap, int *ret_fd, struct error *err)
{
	struct rtnl_link link = { .name = tap->name };
	_cleanup_close_ int fd = -1;
	struct guard_vm vm;

	if (net_make_vm(tap, &vm, err) < 0 || refuse_existing(tap->name, err) < 0)
		return -1;
	if (!pool_take(net, tap->name, 0, &fd, &link.ifindex) &&
	    tap_create(tap->name, 0, &fd, &link.ifindex, err) < 0)
		return -1;
	if (admit_device(net, tap, &link, &vm, err) < 0)
		return -1;
	*ret_fd = take_fd(&fd);
	return 0;
}

/* One of the stock, if there is one: it goes down, with its guard, and comes back with it. */
static int lend_stock(struct net *net, const struct net_tap *tap, int netns_fd, uid_t owner,
		      bool *ret_is_lent, struct error *err)
{
	struct rtnl_link link = { .name = tap->name };
	_cleanup_close_ int fd = -1;

	*ret_is_lent = pool_take(net, tap->name, owner, &fd, &link.ifindex);
	if (!*ret_is_lent || rtnl_link_move(net->rtnl, &link, netns_fd, err) == 0)
		return 0;
	net_tap_destroy(net, tap->name, tap->slot, NULL);
	return -1;
}

int net_tap_lend(struct net *net, const struct net_tap *tap, int netns_fd, uid_t owner,
		 struct error *err)
{
	_cleanup_close_ int fd = -1;
	struct guard_vm vm;
	unsigned ifindex;
	int home, result;
	bool is_lent;

	if (net_make_vm(tap, &vm, err) < 0 || refuse_existing(tap->name, err) < 0 ||
	    lend_stock(net, tap, netns_fd, owner, &is_lent, err) < 0)
		return -1;
	if (is_lent)
		return 0;
	if (netns_enter(netns_fd, &home, err) < 0)
		return error_wrap(err, "tap '%s'", tap->name);
	result = tap_create(tap->name, owner, &fd, &ifindex, err);
	netns_return(home);
	return result;
}

static int bring_home(const char *name, int netns_fd, struct error *err)
{
	struct rtnl_link link = { .name = name };
	_cleanup_rtnl_ struct rtnl *rtnl = NULL;
	int home, result = -1;

	if (netns_enter(netns_fd, &home, err) < 0)
		return -1;
	/* A socket of rtnetlink(7) stays with the namespace that it was opened in. */
	rtnl = rtnl_open(err);
	link.ifindex = if_nametoindex(name);
	if (rtnl && !link.ifindex)
		error_set(err, "not in the VM's network namespace");
	else if (rtnl)
		result = rtnl_link_move(rtnl, &link, home, err);
	netns_return(home);
	return result;
}

int net_tap_take(struct net *net, const struct net_tap *tap, int netns_fd, struct error *err)
{
	struct rtnl_link link = { .name = tap->name };
	struct guard_vm vm;

	if (net_make_vm(tap, &vm, err) < 0)
		return -1;
	if (bring_home(tap->name, netns_fd, err) < 0)
		return error_wrap(err, "tap '%s'", tap->name);
	link.ifindex = if_nametoindex(tap->name);
	if (!link.ifindex)
		return error_set(err, "tap '%s': gone as soon as moved", tap->name);
	return admit_device(net, tap, &link, &vm, err);
}

int net_mend_tap(struct net *net, const struct net_tap *tap, struct error *err)
{
	struct rtnl_link link = { .name = tap->name };
	struct guard_vm vm;

	if (net_make_vm(tap, &vm, err) < 0)
		return -1;
	link.ifindex = if_nametoindex(tap->name);
	if (!link.ifindex)
		return error_set(err, "tap '%s': gone (restart the VM)", tap->name);
	/* Guarded all along: then the code is swapped in place and traffic goes on. */
	if (!guard_has_vm(net->guard, link.ifindex, &vm) ||
	    !guard_reattach(net->guard, tap->name, link.ifindex)) {
		if (rtnl_link_raise(net->rtnl, &link, false, err) < 0 ||
		    guard_device(net, tap, &link, &vm, err) < 0)
			return error_wrap(err, "tap '%s': adopt", tap->name);
	}
	if (open_loopback(net, tap, err) < 0 || connect_device(net, tap, &link, err) < 0)
		return error_wrap(err, "tap '%s': adopt", tap->name);
	keep_add(net, tap);
	return 0;
}

int net_tap_adopt(struct net *net, const struct net_tap *tap, struct error *err)
{
	if (nat_set(net->nat, tap, err) < 0)
		return -1;
	return net_mend_tap(net, tap, err);
}

int net_tap_update(struct net *net, const struct net_tap *tap, struct error *err)
{
	unsigned ifindex = if_nametoindex(tap->name);
	struct guard_vm vm;

	if (net_make_vm(tap, &vm, err) < 0)
		return -1;
	if (!ifindex)
		return 0;
	if (!guard_has_vm(net->guard, ifindex, &vm) &&
	    guard_set_vm(net->guard, ifindex, &vm, err) < 0)
		return -1;
	keep_add(net, tap);
	if (nat_set(net->nat, tap, err) < 0)
		return -1;
	return open_loopback(net, tap, err);
}

int net_commit(struct net *net, struct error *err)
{
	nat_verify(net->nat);
	return nat_commit(net->nat, err);
}

int net_tap_destroy(struct net *net, const char *name, uint32_t slot, struct error *err)
{
	struct rtnl_link link = { .name = name, .ifindex = if_nametoindex(name) };

	if (!is_our_name(name))
		return error_set(err, "tap '%s': not a name of ours", name);
	/* Down first, so that it is never up without its policy; and its ports are given back while
	 * its routes are there, for their frames would leave by the host's default route. */
	if (nat_forget(net->nat, slot) &&
	    ((link.ifindex && rtnl_link_raise(net->rtnl, &link, false, err) < 0) ||
	     nat_commit(net->nat, err) < 0))
		return -1;
	if (link.ifindex && rtnl_link_delete(net->rtnl, &link, err) < 0)
		return -1;
	keep_drop(net, slot);
	guard_forget(net->guard, name);
	return guard_clear_vm(net->guard, link.ifindex, slot, err);
}

static void cleanup_names(struct if_nameindex **names)
{
	if (*names)
		if_freenameindex(*names);
}

int net_sweep(struct net *net, const struct strv *keep, struct error *err)
{
	CLEANUP(cleanup_names) struct if_nameindex *names = NULL;

	pool_drain(net);
	if (!keep->count && rtnl_group_delete(net->rtnl, TAP_GROUP, err) < 0)
		return -1;
	names = if_nameindex();
	if (!names)
		return error_errno(err, errno, "network: list the links");
	for (const struct if_nameindex *each = names; each->if_index; each++) {
		struct rtnl_link link = { .name = each->if_name, .ifindex = each->if_index };

		if (is_our_name(each->if_name) && !strv_contains(keep, each->if_name) &&
		    rtnl_link_delete(net->rtnl, &link, err) < 0)
			return -1;
	}
	if (guard_sweep(net->guard, err) < 0)
		return -1;
	return nat_commit(net->nat, err);
}

int net_policy_read(struct net *net, uint32_t slot, struct net_policy *ret, struct error *err)
{
	struct net_policy policy = { 0 };

	if (nat_list(net->nat, slot, RULES_EGRESS, &policy.egress, err) < 0 ||
	    nat_list(net->nat, slot, RULES_INGRESS, &policy.ingress, err) < 0) {
		net_policy_reset(&policy);
		return -1;
	}
	nat_list_ports(net->nat, slot, &policy.ports);
	*ret = policy;
	return 0;
}

void net_policy_reset(struct net_policy *policy)
{
	strv_reset(&policy->egress);
	strv_reset(&policy->ingress);
	strv_reset(&policy->ports);
}
