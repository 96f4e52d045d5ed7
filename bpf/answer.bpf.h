/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0) */
/*
 * The gateway's voice: the frame that asked is turned into its answer and sent back to its tap, so
 * that a guest finds its gateway without the host having an address there. guard.bpf.c calls it for
 * GUARD_ANSWERED only: every field that is reused here was checked.
 */
#ifndef STOKER_BPF_ANSWER_H
#define STOKER_BPF_ANSWER_H

#include "parse.bpf.h"

struct nd_answer {
	struct ipv6hdr ip;
	struct nd_message nd;
	struct nd_option option;
};

static __always_inline int answer_arp(struct __sk_buff *ctx, const struct guard_vm *vm)
{
	struct ethhdr eth = { .h_source = GUARD_GATEWAY_MAC, .h_proto = bpf_htons(ETH_P_ARP) };
	struct arp_packet arp;

	if (bpf_skb_load_bytes(ctx, ETH_HLEN, &arp, sizeof(arp)))
		return TC_ACT_SHOT;
	__builtin_memcpy(eth.h_dest, vm->mac, ETH_ALEN);
	arp.op = bpf_htons(2);
	__builtin_memcpy(arp.target_mac, vm->mac, ETH_ALEN);
	__builtin_memcpy(arp.target_ip, arp.sender_ip, 4);
	__builtin_memcpy(arp.sender_mac, eth.h_source, ETH_ALEN);
	arp.sender_ip[0] = GUARD_GATEWAY4 >> 24;
	arp.sender_ip[1] = (__u8)(GUARD_GATEWAY4 >> 16);
	arp.sender_ip[2] = (__u8)(GUARD_GATEWAY4 >> 8);
	arp.sender_ip[3] = (__u8)GUARD_GATEWAY4;
	if (bpf_skb_store_bytes(ctx, 0, &eth, sizeof(eth), 0) ||
	    bpf_skb_store_bytes(ctx, ETH_HLEN, &arp, sizeof(arp), 0))
		return TC_ACT_SHOT;
	return (int)bpf_redirect(ctx->ifindex, 0);
}

/* RFC 8200 section 8.1: over both addresses, the length, the protocol and the message. */
static __always_inline __u16 nd_checksum(struct nd_answer *answer)
{
	struct {
		struct in6_addr source, destination;
		__be32 length, protocol;
	} pseudo = {
		.source = answer->ip.saddr,
		.destination = answer->ip.daddr,
		.length = bpf_htonl(sizeof(answer->nd) + sizeof(answer->option)),
		.protocol = bpf_htonl(IPPROTO_ICMPV6),
	};
	__s64 sum = bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), 0);

	sum = bpf_csum_diff(NULL, 0, (__be32 *)&answer->nd,
			    sizeof(answer->nd) + sizeof(answer->option), (__wsum)sum);
	sum = (sum & 0xffff) + ((__u64)sum >> 16 & 0xffff);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

static __always_inline int answer_nd(struct __sk_buff *ctx, const struct guard_vm *vm)
{
	struct ethhdr eth = { .h_source = GUARD_GATEWAY_MAC, .h_proto = bpf_htons(ETH_P_IPV6) };
	struct nd_answer answer = {
		.ip = { .version = 6,
			.payload_len = bpf_htons(sizeof(answer.nd) + sizeof(answer.option)),
			.nexthdr = IPPROTO_ICMPV6,
			.hop_limit = 255 },
		/* router, solicited, override */
		.nd = { .type = 136, .flags = bpf_htonl(0xe0000000) },
		.option = { .type = 2, .length = 1, .mac = GUARD_GATEWAY_MAC },
	};

	if (bpf_skb_load_bytes(ctx, ETH_HLEN + 8, &answer.ip.daddr, 16))
		return TC_ACT_SHOT;
	answer.ip.saddr.in6_u.u6_addr32[0] = bpf_htonl(0xfe800000);
	answer.ip.saddr.in6_u.u6_addr32[3] = bpf_htonl(1);
	__builtin_memcpy(answer.nd.target, &answer.ip.saddr, 16);
	answer.nd.checksum = nd_checksum(&answer);
	__builtin_memcpy(eth.h_dest, vm->mac, ETH_ALEN);
	if (bpf_skb_change_tail(ctx, ETH_HLEN + sizeof(answer), 0) ||
	    bpf_skb_store_bytes(ctx, 0, &eth, sizeof(eth), 0) ||
	    bpf_skb_store_bytes(ctx, ETH_HLEN, &answer, sizeof(answer), 0))
		return TC_ACT_SHOT;
	return (int)bpf_redirect(ctx->ifindex, 0);
}

#endif
