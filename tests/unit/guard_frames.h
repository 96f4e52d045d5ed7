/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames as templates with patches, and what the guard makes of each. test_guard.c runs them;
 * tests/bpf/guard_fuzz.c compares them with the model and mutates them. Offsets stand in
 * test_guard_cases.h. The includer has included guard_host.h's own needs (cmocka) before.
 */
#ifndef STOKER_TESTS_GUARD_FRAMES_H
#define STOKER_TESTS_GUARD_FRAMES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <linux/virtio_net.h>

#include "guard_host.h"

#define PING4                                            \
	GW ME "0800"                                     \
	      "4500001c00010000400100000a0000020a000003" \
	      "0800000000010001"
#define ARP                                              \
	ALL ME "0806"                                    \
	       "0001080006040001" ME IP_A "000000000000" \
	       "a9fe0101"
#define HEAD6        \
	GW ME "86dd" \
	      "60000000"
#define UDP6  HEAD6 "00101140" A6 B6 UDP_HEAD "0102030405060708"
#define TCP6  HEAD6 "00140640" A6 B6 TCP_HEAD "000"
#define PING6 HEAD6 "00083a40" A6 B6 "8000000000010001"
#define NS    HEAD6 "00203aff" LL6 GW6 "8700000000000000" GW6 "0101" ME
#define DAD                                                \
	"3333ff000002" ME "86dd60000000"                   \
	"00183aff" ANY6 "ff0200000000000000000001ff000002" \
	"8700000000000000" A6
#define NA                                                \
	"333300000001" ME "86dd60000000"                  \
	"00203aff" LL6 "ff020000000000000000000000000001" \
	"8800000020000000" A6 "0201" ME
#define RS                                                \
	"333300000002" ME "86dd60000000"                  \
	"00103aff" LL6 "ff020000000000000000000000000002" \
	"8500000000000000"                                \
	"0101" ME
#define MLD2                                              \
	"333300000016" ME "86dd60000000"                  \
	"00240001" LL6 "ff020000000000000000000000000016" \
	"3a00050200000100"                                \
	"8f00000000000001"                                \
	"04000000"                                        \
	"ff0200000000000000000001ff000002"
/* Extension headers of 8 bytes, naming what follows. */
#define HOP_UDP	 HEAD6 "00180040" A6 B6 "1100010400000000" UDP_HEAD "0102030405060708"
#define DST_UDP	 HEAD6 "00183c40" A6 B6 "1100010400000000" UDP_HEAD "0102030405060708"
#define FRAG_UDP HEAD6 "00182c40" A6 B6 "1100000100000001" UDP_HEAD "0102030405060708"
#define DST4               \
	"3c00010400000000" \
	"3c00010400000000" \
	"3c00010400000000"
#define DST_RA                                            \
	"333300000001" ME "86dd60000000"                  \
	"00183cff" LL6 "ff020000000000000000000000000001" \
	"3a00010400000000"                                \
	"86000000400000000000000000000000"
#define FRAG_RA                                           \
	"333300000001" ME "86dd60000000"                  \
	"00182cff" LL6 "ff020000000000000000000000000001" \
	"3a00000000000001"                                \
	"86000000400000000000000000000000"

struct patch {
	size_t offset;
	const char *hex;
};

struct frame_case {
	const char *name;
	const char *frame; /* hex */
	struct patch patches[3];
	size_t length; /* 0: the template's; longer is padded with zeros, shorter cut */
	uint32_t gso_size;
	enum guard_reason reason;
};

static const struct frame_case guest_cases[] = {
#include "test_guard_cases.h"
};

static const struct frame_case host_cases[] = {
	{ "from the same tenant", UDP4, { { 26, IP_B IP_A } }, .reason = GUARD_DELIVERED },
	{ "from another tenant", UDP4, { { 26, IP_X IP_A } }, .reason = GUARD_CROSS_TENANT_IN },
	{ "from the world", UDP4, { { 26, "c0000201" IP_A } }, .reason = GUARD_DELIVERED },
	{ "IPv6 from the same tenant", UDP6, { { 22, B6 A6 } }, .reason = GUARD_DELIVERED },
	{ "IPv6 from another tenant", UDP6, { { 22, X6 A6 } }, .reason = GUARD_CROSS_TENANT_IN },
	{ "IPv6 from the world", UDP6, { { 22, "20010db8" } }, .reason = GUARD_DELIVERED },
	{ "ARP", ARP, .reason = GUARD_DELIVERED },
	{ "another protocol", UDP4, { { 12, "88cc" } }, .reason = GUARD_ETHERTYPE },
};

enum { COUNT_OF_GUEST = sizeof(guest_cases) / sizeof(guest_cases[0]) };
enum { COUNT_OF_HOST = sizeof(host_cases) / sizeof(host_cases[0]) };

static size_t build(const struct frame_case *each, uint8_t frame[FRAME_MAX])
{
	size_t length;

	memset(frame, 0, FRAME_MAX);
	length = put_hex(frame, each->frame);
	for (size_t i = 0; i < 3 && each->patches[i].hex; i++)
		put_hex(frame + each->patches[i].offset, each->patches[i].hex);
	return each->length ? each->length : length;
}

/* --- what only a tap can say: virtio headers and VLAN tags ------------------------------------ */

struct tap_case {
	struct frame_case frame;
	struct virtio_net_hdr_v1 header;
};

enum {
	PARTIAL = VIRTIO_NET_HDR_F_NEEDS_CSUM,
	SEGMENTS_OF_UDP = 5, /* VIRTIO_NET_HDR_GSO_UDP_L4 since Linux 6.2 */
};

static const struct tap_case tap_cases[] = {
	{ { "IPv4 cut short", UDP4, .length = 33, .reason = GUARD_TRUNCATED }, { 0 } },
	{ { "IPv6 cut short", UDP6, .length = 53, .reason = GUARD_TRUNCATED }, { 0 } },
	{ { "UDP", UDP4, .reason = GUARD_ACCEPT },
	  { PARTIAL, .csum_start = 34, .csum_offset = 6 } },
	{ { "TCP", TCP4, .reason = GUARD_ACCEPT },
	  { PARTIAL, .csum_start = 34, .csum_offset = 16 } },
	{ { "UDP over IPv6", UDP6, .reason = GUARD_ACCEPT },
	  { PARTIAL, .csum_start = 54, .csum_offset = 6 } },
	{ { "TCP over IPv6", TCP6, .reason = GUARD_ACCEPT },
	  { PARTIAL, .csum_start = 54, .csum_offset = 16 } },
	{ { "no checksum to fill in", UDP4, .reason = GUARD_ACCEPT }, { 0 } },
	{ { "headers outside the linear part", UDP6, .length = 400, .reason = GUARD_ACCEPT },
	  { .hdr_len = 14 } },
	{ { "into the IPv6 source", UDP6, .reason = GUARD_CHECKSUM },
	  { PARTIAL, .csum_start = 34, .csum_offset = 0 } },
	{ { "into the IPv6 source, later", UDP6, .reason = GUARD_CHECKSUM },
	  { PARTIAL, .csum_start = 34, .csum_offset = 2 } },
	{ { "into the UDP port", UDP4, .reason = GUARD_CHECKSUM },
	  { PARTIAL, .csum_start = 34, .csum_offset = 2 } },
	{ { "into the IPv4 source", UDP4, .reason = GUARD_CHECKSUM },
	  { PARTIAL, .csum_start = 20, .csum_offset = 6 } },
	{ { "right field, wrong start", UDP4, .reason = GUARD_CHECKSUM },
	  { PARTIAL, .csum_start = 32, .csum_offset = 8 } },
	{ { "TCP's offset in UDP", UDP4, .length = 60, .reason = GUARD_CHECKSUM },
	  { PARTIAL, .csum_start = 34, .csum_offset = 16 } },
	{ { "ICMP", PING4, .reason = GUARD_CHECKSUM },
	  { PARTIAL, .csum_start = 34, .csum_offset = 2 } },
	{ { "in ARP", ARP, .reason = GUARD_CHECKSUM },
	  { PARTIAL, .csum_start = 28, .csum_offset = 0 } },
	{ { "in a solicitation", NS, .reason = GUARD_CHECKSUM },
	  { PARTIAL, .csum_start = 54, .csum_offset = 2 } },
	{ { "in a fragment", UDP4, { { 20, "2000" } }, .reason = GUARD_CHECKSUM },
	  { PARTIAL, .csum_start = 34, .csum_offset = 6 } },
	{ { "behind an extension header", DST_UDP, .reason = GUARD_ACCEPT },
	  { PARTIAL, .csum_start = 62, .csum_offset = 6 } },
	{ { "before an extension header", DST_UDP, .reason = GUARD_CHECKSUM },
	  { PARTIAL, .csum_start = 54, .csum_offset = 6 } },
	{ { "VLAN 0",
	    GW ME "81000000"
		  "08004500002400010000401100000a0000020a000003" UDP_HEAD "0102030405060708",
	    .reason = GUARD_VLAN },
	  { 0 } },
	{ { "VLAN 100",
	    GW ME "81000064"
		  "08004500002400010000401100000a0000020a000003" UDP_HEAD "0102030405060708",
	    .reason = GUARD_VLAN },
	  { 0 } },
	{ { "service VLAN",
	    GW ME "88a80064"
		  "08004500002400010000401100000a0000020a000003" UDP_HEAD "0102030405060708",
	    .reason = GUARD_VLAN },
	  { 0 } },
	{ { "segments of one byte", TCP4, .length = 1400, .reason = GUARD_GSO },
	  { PARTIAL, VIRTIO_NET_HDR_GSO_TCPV4, .hdr_len = 54, .gso_size = 1, .csum_start = 34,
	    .csum_offset = 16 } },
#define GSO(name, frame, kind, start, offset, verdict)                                      \
	{                                                                                   \
		{ name, frame, .length = 1400, .reason = verdict },                         \
		{                                                                           \
			PARTIAL, kind, .hdr_len = (start) + (offset) + 2, .gso_size = 1000, \
				       .csum_start = start, .csum_offset = offset           \
		}                                                                           \
	}
	GSO("segments of TCP", TCP4, VIRTIO_NET_HDR_GSO_TCPV4, 34, 16, GUARD_ACCEPT),
	GSO("segments of TCP over IPv6", TCP6, VIRTIO_NET_HDR_GSO_TCPV6, 54, 16, GUARD_ACCEPT),
	GSO("segments of UDP", UDP4, SEGMENTS_OF_UDP, 34, 6, GUARD_ACCEPT),
	GSO("segments of UDP over IPv6", UDP6, SEGMENTS_OF_UDP, 54, 6, GUARD_ACCEPT),
	GSO("fragments of UDP", UDP4, VIRTIO_NET_HDR_GSO_UDP, 34, 6, GUARD_ACCEPT),
	GSO("fragments of UDP over IPv6", UDP6, VIRTIO_NET_HDR_GSO_UDP, 54, 6, GUARD_ACCEPT),
	GSO("UDP as segments of TCP", UDP4, VIRTIO_NET_HDR_GSO_TCPV4, 34, 6, GUARD_GSO),
	GSO("UDP over IPv6 as segments of TCP", UDP6, VIRTIO_NET_HDR_GSO_TCPV6, 54, 6, GUARD_GSO),
	GSO("TCP as segments of UDP", TCP4, SEGMENTS_OF_UDP, 34, 16, GUARD_GSO),
	GSO("TCP over IPv6 as fragments of UDP", TCP6, VIRTIO_NET_HDR_GSO_UDP, 54, 16, GUARD_GSO),
	GSO("IPv4 as segments of IPv6", TCP4, VIRTIO_NET_HDR_GSO_TCPV6, 34, 16, GUARD_GSO),
	GSO("IPv6 as segments of IPv4", TCP6, VIRTIO_NET_HDR_GSO_TCPV4, 54, 16, GUARD_GSO),
#undef GSO
	{ { "lawful segments", TCP4, { { 16, "0f00" } }, .length = 3854, .reason = GUARD_ACCEPT },
	  { PARTIAL, VIRTIO_NET_HDR_GSO_TCPV4, .hdr_len = 54, .gso_size = 1448, .csum_start = 34,
	    .csum_offset = 16 } },
};

enum { COUNT_OF_TAP = sizeof(tap_cases) / sizeof(tap_cases[0]) };

#endif
