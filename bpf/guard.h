/* SPDX-License-Identifier: (Apache-2.0 OR BSD-2-Clause OR GPL-2.0) */
/*
 * What the guard's program and supervisor/net/guard.c agree on: map values and the reasons of a
 * verdict. A value's size is part of the pinned maps: a change of size makes the next daemon refuse
 * the maps of the one before.
 */
#ifndef STOKER_BPF_GUARD_H
#define STOKER_BPF_GUARD_H

#include <linux/bpf.h>
#include <linux/types.h>

enum {
	GUARD_SLOTS_MAX = 4096,
	GUARD_SLOT_STRAYS = GUARD_SLOTS_MAX, /* counts frames of taps that have no entry */
	GUARD_IP4_MAX = 4,
	GUARD_IP6_MAX = 5, /* the link-local address first */
	GUARD_REASONS_MAX = 59,
	GUARD_GSO_MIN = 512,  /* smaller segments multiply one write into thousands of frames */
	GUARD_HEAD_MAX = 128, /* bytes of a frame that an event carries */
	GUARD_EVENTS_BYTES = 1 << 16,
	GUARD_EVENT_JIFFIES = 64,  /* 64 ms to 640 ms, as the kernel's HZ is */
	GUARD_RATE_SLACK_MS = 100, /* what a VM may send at once after a pause */
};

enum guard_direction { GUARD_FROM_GUEST, GUARD_TO_GUEST, GUARD_DIRECTIONS };

/* The gateway that every guest sees; equal to NET_GATEWAY4 and NET_GATEWAY_MAC. */
#define GUARD_GATEWAY4 0xa9fe0101u /* 169.254.1.1, host order */
#define GUARD_GATEWAY_MAC                          \
	{                                          \
		0x02, 0x53, 0x74, 0x6b, 0x00, 0xfe \
	}

/* name, word, 1 = a drop. Numbers are positions: append only. */
#define GUARD_REASONS(_)                                        \
	_(ACCEPT, "accept", 0)                                  \
	_(ANSWERED, "answered", 0)   /* ARP or ND, by us */     \
	_(ABSORBED, "absorbed", 0)   /* lawful; nobody's */     \
	_(DELIVERED, "delivered", 0) /* host to guest */        \
	_(NO_VM, "no-vm", 1)                                    \
	_(VLAN, "vlan", 1)                                      \
	_(TRUNCATED, "truncated", 1)                            \
	_(JUMBO, "jumbo", 1)                                    \
	_(GSO, "gso", 1)                                        \
	_(SOURCE_MAC, "source-mac", 1)                          \
	_(DESTINATION_MAC, "destination-mac", 1)                \
	_(ETHERTYPE, "ethertype", 1)                            \
	_(ARP_FORMAT, "arp-format", 1)                          \
	_(ARP_OP, "arp-op", 1)                                  \
	_(ARP_SENDER, "arp-sender", 1)                          \
	_(ARP_TARGET, "arp-target", 1)                          \
	_(IP_HEADER, "ip-header", 1)                            \
	_(IP_OPTIONS, "ip-options", 1)                          \
	_(SOURCE_ADDRESS, "source-address", 1)                  \
	_(RESERVED, "destination-reserved", 1)                  \
	_(LINK_LOCAL, "destination-link-local", 1)              \
	_(MULTICAST, "destination-multicast", 1)                \
	_(BROADCAST, "destination-broadcast", 1)                \
	_(FRAGMENT, "fragment", 1)                              \
	_(CHECKSUM, "checksum-offset", 1)                       \
	_(DHCP_SERVER, "dhcp-server", 1)                        \
	_(ICMP_REDIRECT, "icmp-redirect", 1)                    \
	_(ROUTER, "router-advertisement", 1)                    \
	_(ICMP_TYPE, "icmp-type", 1)                            \
	_(EXTENSION, "ip6-extension", 1)                        \
	_(PROTOCOL, "ip6-protocol", 1)                          \
	_(ND_HOP_LIMIT, "nd-hop-limit", 1)                      \
	_(ND_FORMAT, "nd-format", 1)                            \
	_(ND_LINK_LAYER, "nd-link-layer", 1)                    \
	_(ND_TARGET, "nd-target", 1)                            \
	_(ND_ROUTER_FLAG, "nd-router-flag", 1)                  \
	_(MLD, "mld", 1)                                        \
	_(CROSS_TENANT, "cross-tenant", 1)                      \
	_(CROSS_TENANT_IN, "cross-tenant-in", 1) /* to guest */ \
	_(RATE, "rate", 1)                                      \
	_(RATE_IN, "rate-in", 1) /* to guest */

#define GUARD_REASON_ENUM(name, word, drop) GUARD_##name,
enum guard_reason { GUARD_REASONS(GUARD_REASON_ENUM) GUARD_REASON_COUNT };

/* One VM's whole policy, replaced as one value. Addresses in network order; unused ones zero. What
 * every frame is judged by comes first, to be in one line of the cache. */
struct guard_vm {
	__u8 mac[6];
	__u16 mtu; /* of the payload of an Ethernet frame */
	__u32 slot;
	__u32 tenant;
	__u32 rate_packets; /* a second and direction; 0 = no limit */
	__u32 padding;	    /* zero: values are compared as bytes */
	__u64 rate_bits;    /* of frames as on a wire, a second and direction; 0 = no limit */
	__u32 ip4[GUARD_IP4_MAX];
	__u32 ip6[GUARD_IP6_MAX][4];
};

/* When what has passed would have been sent at the VM's rate: ticks of 1/64 ns of CLOCK_MONOTONIC.
 */
struct guard_due {
	__u64 bits;
	__u64 packets;
};

struct guard_bucket {
	struct bpf_spin_lock lock;
	struct guard_due due;
};

/* Whose an address is. */
struct guard_owner {
	__u32 tenant;
	__u32 slot;
};

struct guard_ip6 {
	__u32 word[4];
};

struct guard_counts {
	__u64 bytes;	       /* of accepted frames; beside their number, for the cache */
	__u64 delivered_bytes; /* to the guest; likewise */
	__u64 packets[GUARD_REASONS_MAX];
	__u64 event_jiffies; /* when the last event of this CPU was told */
	__u64 shielded;	     /* met by the flood shield: one in some is left to the guard */
};

/* A sample of what was dropped: of a VM on a CPU the first of each reason, and one each
 * GUARD_EVENT_JIFFIES. */
struct guard_event {
	__u64 time_ns; /* of CLOCK_MONOTONIC */
	__u32 slot;
	__u32 frame_bytes;
	__u8 reason;
	__u8 direction;
	__u8 head_bytes; /* what is there of the frame; beyond, `head` holds nothing */
	__u8 unused[5];
	__u8 head[GUARD_HEAD_MAX];
};

#endif
