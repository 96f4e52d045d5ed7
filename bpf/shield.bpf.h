/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0) */
/*
 * The flood shield: on a tap whose guest floods, net/keep.c puts it in front of the guard. As XDP
 * it drops a frame before the kernel has made a packet of it, at about half of the price; for
 * frames of many segments it is dearer, so it is there only while a flood lasts. It drops what the
 * guard would drop, for the guard's reason, and knows only the plainest of its rules: what passes
 * here is judged there. Of what it would drop, one in SHIELD_SAMPLE is left to the guard, which
 * tells it.
 */
#ifndef STOKER_BPF_SHIELD_H
#define STOKER_BPF_SHIELD_H

#include "ip4.bpf.h"
#include "parse.bpf.h"

enum { SHIELD_SAMPLE = 1024 };

static __always_inline enum guard_reason shield_ip4(struct cursor *cursor,
						    const struct guard_vm *vm)
{
	struct iphdr *ip = parse(cursor, struct iphdr);

	if (!ip || ip->version != 4)
		return GUARD_ACCEPT;
	if (ip->ihl > 5)
		return GUARD_IP_OPTIONS;
	if (!vm_has_ip4(vm, ip->saddr))
		return GUARD_SOURCE_ADDRESS;
	return check_ip4_destination(ip->daddr);
}

static __always_inline enum guard_reason shield_ip6(struct cursor *cursor,
						    const struct guard_vm *vm)
{
	struct ipv6hdr *ip = parse(cursor, struct ipv6hdr);

	if (!ip || ip->version != 6)
		return GUARD_ACCEPT;
	if (!ip6_is_zero(ip->saddr.in6_u.u6_addr32) && !vm_has_ip6(vm, ip->saddr.in6_u.u6_addr32))
		return GUARD_SOURCE_ADDRESS;
	return GUARD_ACCEPT;
}

static __always_inline enum guard_reason shield(struct cursor *cursor, const struct guard_vm *vm)
{
	struct ethhdr *eth = parse(cursor, struct ethhdr);
	struct layers layers = { 0 };
	enum guard_reason reason;

	if (!eth)
		return GUARD_ACCEPT;
	if (eth->h_proto == bpf_htons(ETH_P_8021Q) || eth->h_proto == bpf_htons(ETH_P_8021AD))
		return GUARD_VLAN;
	if (!mac_equal(eth->h_source, vm->mac))
		return GUARD_SOURCE_MAC;
	reason = check_destination_mac(eth, &layers);
	if (reason)
		return reason;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return shield_ip4(cursor, vm);
	if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		return shield_ip6(cursor, vm);
	return eth->h_proto == bpf_htons(ETH_P_ARP) ? GUARD_ACCEPT : GUARD_ETHERTYPE;
}

#endif
