/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0) */
/*
 * The cursor that every parser of the guard walks with, and what it compares with. The guard pulls
 * the first PARSE_BYTES of a frame into linear memory; what lies behind is never read.
 */
#ifndef STOKER_BPF_PARSE_H
#define STOKER_BPF_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "guard.h"

enum { PARSE_BYTES = 128 };

struct cursor {
	void *at;
	void *end;
};

/* The next object of this type, NULL beyond the end. The cursor moves behind it. */
#define parse(cursor, type)                     \
	({                                      \
		type *parsed_ = (cursor)->at;   \
		void *behind_ = parsed_ + 1;    \
		if (behind_ > (cursor)->end)    \
			parsed_ = NULL;         \
		else                            \
			(cursor)->at = behind_; \
		parsed_;                        \
	})

/* What the parsers found, for the checks behind them. */
struct layers {
	__u32 l4_offset; /* from the frame's start */
	__u32 l4_length; /* as the IP header says */
	__u8 protocol;
	bool is_multicast_mac;
	bool is_fragment;	/* any but an unfragmented packet */
	bool is_later_fragment; /* carries no layer 4 header */
};

struct arp_packet {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_length;
	__u8 protocol_length;
	__be16 op;
	__u8 sender_mac[6];
	__u8 sender_ip[4];
	__u8 target_mac[6];
	__u8 target_ip[4];
} __attribute__((packed));

struct icmp_head {
	__u8 type;
	__u8 code;
	__be16 checksum;
};

/* RFC 4861 sections 4.3 and 4.4: neighbour solicitation and advertisement. */
struct nd_message {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__u32 flags;
	__u32 target[4];
};

struct nd_option {
	__u8 type;
	__u8 length; /* in units of 8 bytes */
	__u8 mac[6];
};

/* Both even. */
static __always_inline bool mac_equal(const void *a, const void *b)
{
	const __u16 *x = a, *y = b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]));
}

static __always_inline bool ip6_equal(const __u32 *a, const __u32 *b)
{
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
}

static __always_inline bool ip6_is_zero(const __u32 *a)
{
	return !(a[0] | a[1] | a[2] | a[3]);
}

static __always_inline bool ip6_is_gateway(const __u32 *a)
{
	return a[0] == bpf_htonl(0xfe800000) && !a[1] && !a[2] && a[3] == bpf_htonl(1);
}

static __always_inline bool vm_has_ip4(const struct guard_vm *vm, __u32 ip)
{
	return ip && (ip == vm->ip4[0] || ip == vm->ip4[1] || ip == vm->ip4[2] || ip == vm->ip4[3]);
}

static __always_inline bool vm_has_ip6(const struct guard_vm *vm, const __u32 *ip)
{
	if (ip6_is_zero(ip))
		return false;
#pragma unroll
	for (int i = 0; i < GUARD_IP6_MAX; i++)
		if (ip6_equal(ip, vm->ip6[i]))
			return true;
	return false;
}

/* To the gateway; ARP may be broadcast, IPv6 multicast. */
static __always_inline enum guard_reason check_destination_mac(const struct ethhdr *eth,
							       struct layers *layers)
{
	const __u8 gateway[] __attribute__((aligned(8))) = GUARD_GATEWAY_MAC;
	const __u8 *mac = eth->h_dest;

	if (mac_equal(mac, gateway))
		return GUARD_ACCEPT;
	layers->is_multicast_mac = true;
	if (eth->h_proto == bpf_htons(ETH_P_ARP) &&
	    (mac[0] & mac[1] & mac[2] & mac[3] & mac[4] & mac[5]) == 0xff)
		return GUARD_ACCEPT;
	if (eth->h_proto == bpf_htons(ETH_P_IPV6) && mac[0] == 0x33 && mac[1] == 0x33)
		return GUARD_ACCEPT;
	return GUARD_DESTINATION_MAC;
}

/* The header of layer 4, where there is one: long enough, and nothing that only a server or a
 * router of the link may say. `cursor` stands at its start. */
static __always_inline enum guard_reason check_transport(struct cursor *cursor,
							 const struct layers *layers,
							 __be16 dhcp_server_port)
{
	enum guard_reason is_short = layers->is_fragment ? GUARD_FRAGMENT : GUARD_TRUNCATED;
	__be16 *source_port;

	switch (layers->protocol) {
	case IPPROTO_TCP:
		if (layers->l4_length < 20)
			return is_short;
		return cursor->at + 20 > cursor->end ? is_short : GUARD_ACCEPT;
	case IPPROTO_UDP:
		if (layers->l4_length < 8 || cursor->at + 8 > cursor->end)
			return is_short;
		source_port = cursor->at;
		return *source_port == dhcp_server_port ? GUARD_DHCP_SERVER : GUARD_ACCEPT;
	default:
		return layers->l4_length < 8 && layers->is_fragment ? GUARD_FRAGMENT : GUARD_ACCEPT;
	}
}

#endif
