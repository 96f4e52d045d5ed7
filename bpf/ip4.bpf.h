/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0) */
/*
 * ARP (RFC 826, probes and announcements RFC 5227) and IPv4 (RFC 791) as a guest may send them.
 * Called by guard.bpf.c after the MAC checks. A routed tap has one neighbour, the gateway, so a
 * guest may ask for that one only and has nobody to answer.
 */
#ifndef STOKER_BPF_IP4_H
#define STOKER_BPF_IP4_H

#include "parse.bpf.h"

static __always_inline enum guard_reason check_arp(struct cursor *cursor, const struct guard_vm *vm)
{
	struct arp_packet *arp = parse(cursor, struct arp_packet);
	__u32 sender, target;

	if (!arp)
		return GUARD_TRUNCATED;
	if (arp->hardware != bpf_htons(1) || arp->protocol != bpf_htons(ETH_P_IP) ||
	    arp->hardware_length != 6 || arp->protocol_length != 4)
		return GUARD_ARP_FORMAT;
	if (arp->op != bpf_htons(1))
		return GUARD_ARP_OP;
	__builtin_memcpy(&sender, arp->sender_ip, 4);
	__builtin_memcpy(&target, arp->target_ip, 4);
	if (!mac_equal(arp->sender_mac, vm->mac) || (sender && !vm_has_ip4(vm, sender)))
		return GUARD_ARP_SENDER;
	if (vm_has_ip4(vm, target))
		return GUARD_ABSORBED; /* probe or announcement of its own address */
	if (!sender || target != bpf_htonl(GUARD_GATEWAY4))
		return GUARD_ARP_TARGET;
	return GUARD_ANSWERED;
}

static __always_inline enum guard_reason check_ip4_destination(__u32 ip)
{
	ip = bpf_ntohl(ip);
	if (ip == 0xffffffff)
		return GUARD_BROADCAST;
	if (ip >> 28 == 0xe)
		return GUARD_MULTICAST;
	if (ip >> 24 == 0 || ip >> 24 == 127 || ip >> 28 == 0xf)
		return GUARD_RESERVED;
	if (ip >> 16 == 0xa9fe)
		return GUARD_LINK_LOCAL;
	return GUARD_ACCEPT;
}

static __always_inline enum guard_reason check_icmp4(struct cursor *cursor)
{
	struct icmp_head *icmp = cursor->at;

	if ((void *)(icmp + 1) > cursor->end)
		return GUARD_TRUNCATED;
	if (icmp->type == 5)
		return GUARD_ICMP_REDIRECT;
	return icmp->type == 9 ? GUARD_ROUTER : GUARD_ACCEPT; /* RFC 1256 */
}

static __always_inline enum guard_reason check_ip4(struct cursor *cursor, __u32 frame_length,
						   const struct guard_vm *vm, struct layers *layers,
						   __u32 *ret_destination)
{
	struct iphdr *ip = parse(cursor, struct iphdr);
	enum guard_reason reason;
	__u16 fragment, length;

	if (!ip)
		return GUARD_TRUNCATED;
	if (ip->version != 4 || ip->ihl < 5)
		return GUARD_IP_HEADER;
	if (ip->ihl != 5)
		return GUARD_IP_OPTIONS;
	length = bpf_ntohs(ip->tot_len);
	if (length < sizeof(*ip))
		return GUARD_IP_HEADER;
	if (length + ETH_HLEN > frame_length)
		return GUARD_TRUNCATED;
	if (!vm_has_ip4(vm, ip->saddr))
		return GUARD_SOURCE_ADDRESS;
	reason = check_ip4_destination(ip->daddr);
	if (reason)
		return reason;
	*ret_destination = ip->daddr;

	fragment = bpf_ntohs(ip->frag_off);
	layers->is_fragment = fragment & 0x3fff; /* more fragments, or an offset */
	layers->is_later_fragment = fragment & 0x1fff;
	layers->protocol = ip->protocol;
	layers->l4_offset = ETH_HLEN + sizeof(*ip);
	layers->l4_length = length - sizeof(*ip);
	if ((fragment & 0x1fff) == 1) /* would overwrite half a header: RFC 1858 */
		return GUARD_FRAGMENT;
	if (layers->is_later_fragment)
		return GUARD_ACCEPT;
	if (layers->protocol == IPPROTO_ICMP) {
		reason = check_icmp4(cursor);
		if (reason)
			return reason;
	}
	return check_transport(cursor, layers, bpf_htons(67));
}

#endif
