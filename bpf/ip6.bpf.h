/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0) */
/*
 * IPv6 (RFC 8200) with neighbour discovery (RFC 4861) and MLD (RFC 3810) as a guest may send them.
 * Called by guard.bpf.c after the MAC checks. Neighbour discovery and MLD end here: the guard
 * answers for the gateway and absorbs lawful announcements, so that the host hears none of them.
 */
#ifndef STOKER_BPF_IP6_H
#define STOKER_BPF_IP6_H

#include "parse.bpf.h"

enum {
	EXTENSIONS_MAX = 4,
	ND_OPTIONS_MAX = 4,
	ND_SOURCE_LINK_LAYER = 1,
	ND_TARGET_LINK_LAYER = 2,
};

/* What stands between the IPv6 header and layer 4. */
struct extensions {
	bool has_hop_by_hop;
	bool has_other;
};

/* Every option well-formed; link-layer addresses are the VM's. An unspecified source must not name
 * one (section 4.3); `kind` is the option that the message carries. */
static __always_inline enum guard_reason check_nd_options(struct cursor *cursor,
							  const struct guard_vm *vm, __u32 bytes,
							  bool is_unspecified)
{
#pragma unroll
	for (int i = 0; i < ND_OPTIONS_MAX; i++) {
		struct nd_option *option = cursor->at;
		__u32 size;

		if (!bytes)
			return GUARD_ACCEPT;
		if (bytes < sizeof(*option) || (void *)(option + 1) > cursor->end)
			return GUARD_ND_FORMAT;
		size = option->length * 8u;
		if (!size || size > bytes || size > PARSE_BYTES)
			return GUARD_ND_FORMAT;
		if (option->type == ND_SOURCE_LINK_LAYER || option->type == ND_TARGET_LINK_LAYER)
			if (is_unspecified || size != sizeof(*option) ||
			    !mac_equal(option->mac, vm->mac))
				return GUARD_ND_LINK_LAYER;
		cursor->at += size;
		bytes -= size;
	}
	return bytes ? GUARD_ND_FORMAT : GUARD_ACCEPT;
}

static __always_inline enum guard_reason check_nd(struct cursor *cursor, const struct ipv6hdr *ip,
						  const struct guard_vm *vm,
						  const struct layers *layers)
{
	struct nd_message *nd = parse(cursor, struct nd_message);
	const __u32 *source = ip->saddr.in6_u.u6_addr32;
	bool is_unspecified = ip6_is_zero(source);
	enum guard_reason reason;
	bool is_own;

	if (!nd || layers->l4_length < sizeof(*nd))
		return GUARD_ND_FORMAT;
	if (ip->hop_limit != 255)
		return GUARD_ND_HOP_LIMIT;
	if (nd->code)
		return GUARD_ND_FORMAT;
	is_own = vm_has_ip6(vm, nd->target);
	if (is_unspecified && (nd->type != 135 || !is_own))
		return GUARD_SOURCE_ADDRESS; /* only for DAD of its own address */
	if (nd->type == 136) {
		if (nd->flags & bpf_htonl(0x80000000))
			return GUARD_ND_ROUTER_FLAG;
		if (!is_own)
			return GUARD_ND_TARGET;
	} else if (!is_own && !ip6_is_gateway(nd->target)) {
		return GUARD_ND_TARGET;
	}
	reason = check_nd_options(cursor, vm, layers->l4_length - sizeof(*nd), is_unspecified);
	if (reason)
		return reason;
	return is_own ? GUARD_ABSORBED : GUARD_ANSWERED;
}

static __always_inline enum guard_reason check_router_solicitation(struct cursor *cursor,
								   const struct ipv6hdr *ip,
								   const struct guard_vm *vm,
								   const struct layers *layers)
{
	enum guard_reason reason;

	if (ip->hop_limit != 255)
		return GUARD_ND_HOP_LIMIT;
	if (layers->l4_length < 8 || cursor->at + 8 > cursor->end)
		return GUARD_ND_FORMAT;
	cursor->at += 8;
	reason = check_nd_options(cursor, vm, layers->l4_length - 8,
				  ip6_is_zero(ip->saddr.in6_u.u6_addr32));
	return reason ? reason : GUARD_ABSORBED;
}

/* What the link's own protocols say: ends here, one way or the other. Anything else of ICMPv6 is
 * GUARD_ACCEPT. */
static __always_inline enum guard_reason check_icmp6(struct cursor *cursor,
						     const struct ipv6hdr *ip,
						     const struct guard_vm *vm,
						     const struct layers *layers,
						     const struct extensions *extensions)
{
	struct icmp_head *icmp = cursor->at;

	if ((void *)(icmp + 1) > cursor->end || layers->l4_length < 8)
		return layers->is_fragment ? GUARD_FRAGMENT : GUARD_TRUNCATED;
	switch (icmp->type) {
	case 1 ... 4:
	case 128:
	case 129:
		return GUARD_ACCEPT;
	case 134:
		return GUARD_ROUTER;
	case 137:
		return GUARD_ICMP_REDIRECT;
	case 133:
	case 135:
	case 136:
		if (layers->is_fragment) /* RFC 6980 */
			return GUARD_FRAGMENT;
		if (extensions->has_hop_by_hop || extensions->has_other)
			return GUARD_EXTENSION;
		if (icmp->type == 133)
			return check_router_solicitation(cursor, ip, vm, layers);
		return check_nd(cursor, ip, vm, layers);
	case 131:
	case 132:
	case 143: /* a guest may report its groups, not ask for others' */
		if (!extensions->has_hop_by_hop || extensions->has_other || layers->is_fragment ||
		    ip->hop_limit != 1)
			return GUARD_MLD;
		return GUARD_ABSORBED;
	case 130:
		return GUARD_MLD;
	default:
		return GUARD_ICMP_TYPE;
	}
}

/* Walks to layer 4. `next` is the IPv6 header's next header, `length` its payload length. */
static __always_inline enum guard_reason walk_extensions(struct cursor *cursor, __u8 next,
							 __u32 length, struct layers *layers,
							 struct extensions *extensions)
{
	__u32 offset = ETH_HLEN + sizeof(struct ipv6hdr);

#pragma unroll
	for (int i = 0; i <= EXTENSIONS_MAX; i++) {
		__u8 *head = cursor->at;
		__u32 size;

		if (next != IPPROTO_HOPOPTS && next != IPPROTO_DSTOPTS && next != IPPROTO_FRAGMENT)
			break;
		if (i == EXTENSIONS_MAX || (next == IPPROTO_HOPOPTS && i))
			return GUARD_EXTENSION;
		if ((void *)(head + 8) > cursor->end)
			return GUARD_EXTENSION;
		size = 8;
		if (next == IPPROTO_FRAGMENT) {
			__u16 field = (__u16)(head[2] << 8 | head[3]);

			if (layers->is_fragment || field >> 3 == 1)
				return GUARD_FRAGMENT;
			layers->is_fragment = true;
			layers->is_later_fragment = field >> 3;
		} else {
			size += head[1] * 8u;
			extensions->has_hop_by_hop |= next == IPPROTO_HOPOPTS;
			extensions->has_other |= next == IPPROTO_DSTOPTS;
		}
		if (size > length || size > PARSE_BYTES)
			return GUARD_EXTENSION;
		next = head[0];
		length -= size;
		offset += size;
		cursor->at += size;
		if (layers->is_later_fragment)
			break; /* data of something else follows */
	}
	layers->protocol = next;
	layers->l4_offset = offset;
	layers->l4_length = length;
	return GUARD_ACCEPT;
}

static __always_inline enum guard_reason check_ip6_destination(const __u32 *ip)
{
	__u32 first = bpf_ntohl(ip[0]);

	if (first >> 24 == 0xff)
		return GUARD_MULTICAST;
	if (first >> 22 == 0xfe80 >> 6)
		return GUARD_LINK_LOCAL;
	/* ::, ::1 and the two forms that embed an IPv4 address */
	if (!ip[0] && !ip[1] && (!ip[2] || ip[2] == bpf_htonl(0xffff)))
		return GUARD_RESERVED;
	return GUARD_ACCEPT;
}

static __always_inline bool is_known_protocol(__u8 protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_ICMPV6:
	case IPPROTO_ESP:
	case IPPROTO_GRE:
	case IPPROTO_SCTP:
	case IPPROTO_UDPLITE:
		return true;
	default:
		return false;
	}
}

/* Source (known to be unspecified or the VM's own) and destination of what leaves the link. */
static __always_inline enum guard_reason check_ip6_addresses(const struct ipv6hdr *ip,
							     const struct layers *layers)
{
	const __u32 *source = ip->saddr.in6_u.u6_addr32;
	enum guard_reason reason;

	if (ip6_is_zero(source) || bpf_ntohl(source[0]) >> 22 == 0xfe80 >> 6)
		return GUARD_SOURCE_ADDRESS;
	reason = check_ip6_destination(ip->daddr.in6_u.u6_addr32);
	if (reason)
		return reason;
	return layers->is_multicast_mac ? GUARD_DESTINATION_MAC : GUARD_ACCEPT;
}

static __always_inline enum guard_reason check_ip6(struct cursor *cursor, __u32 frame_length,
						   const struct guard_vm *vm, struct layers *layers,
						   struct guard_ip6 *ret_destination)
{
	struct ipv6hdr *ip = parse(cursor, struct ipv6hdr);
	struct extensions extensions = { 0 };
	enum guard_reason reason;
	const __u32 *source;
	__u32 length;

	if (!ip)
		return GUARD_TRUNCATED;
	length = bpf_ntohs(ip->payload_len);
	if (ip->version != 6 || !length)
		return GUARD_IP_HEADER;
	if (length + ETH_HLEN + sizeof(*ip) > frame_length)
		return GUARD_TRUNCATED;
	source = ip->saddr.in6_u.u6_addr32;
	if (!ip6_is_zero(source) && !vm_has_ip6(vm, source))
		return GUARD_SOURCE_ADDRESS;
	if (layers->is_multicast_mac && ip->daddr.in6_u.u6_addr8[0] != 0xff)
		return GUARD_DESTINATION_MAC;
	reason = walk_extensions(cursor, ip->nexthdr, length, layers, &extensions);
	if (reason)
		return reason;
	if (!is_known_protocol(layers->protocol))
		return GUARD_PROTOCOL;
	if (layers->protocol == IPPROTO_ICMPV6 && !layers->is_later_fragment) {
		reason = check_icmp6(cursor, ip, vm, layers, &extensions);
		if (reason)
			return reason;
	}
	if (extensions.has_hop_by_hop)
		return GUARD_EXTENSION;
	reason = check_ip6_addresses(ip, layers);
	if (reason)
		return reason;
	__builtin_memcpy(ret_destination, ip->daddr.in6_u.u6_addr32, sizeof(*ret_destination));
	if (layers->is_later_fragment)
		return GUARD_ACCEPT;
	return check_transport(cursor, layers, bpf_htons(547));
}

#endif
