/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that no guest may send, to a neighbour of its tenant and to one of another. */
#include <stdio.h>
#include <string.h>

#include "tests/system/net_scene.h"

/* Patched after the frame is built; `fd` VICTIM stands for the victim's address. */
struct patch {
	size_t offset;
	const char *hex;
};

struct hostile {
	const char *name;
	int family;
	struct patch patches[3];
	struct virtio_net_hdr_v1 header;
	bool victim_mac; /* to the victim's MAC instead of the gateway's */
	size_t length;
};

enum { PARTIAL = VIRTIO_NET_HDR_F_NEEDS_CSUM, TSO4 = VIRTIO_NET_HDR_GSO_TCPV4 };

#define B_MAC "02000000000b"

/* Each is a lawful UDP packet to the victim but for its patches. */
static const struct hostile hostile[] = {
	{ "another's MAC", 4, { { 6, B_MAC } } },
	{ "another's MAC, IPv6", 6, { { 6, B_MAC } } },
	{ "a neighbour's address", 4, { { 26, "0a14000b" } } },
	{ "another tenant's address", 4, { { 26, "0a1e000a" } } },
	{ "the host's address", 4, { { 26, "0a630001" } } },
	{ "the world's address", 4, { { 26, "08080808" } } },
	{ "a neighbour's IPv6 address", 6, { { 22, "fd000020000000000000000000000011" } } },
	{ "another tenant's IPv6 address", 6, { { 22, "fd000030000000000000000000000010" } } },
	{ "the world's IPv6 address", 6, { { 22, "20010db8000000000000000000000001" } } },
	{ "its IPv6 source rewritten by checksum",
	  6,
	  { { 0, NULL } },
	  { PARTIAL, .csum_start = 34, .csum_offset = 0 } },
	{ "its IPv6 source rewritten by checksum, later",
	  6,
	  { { 0, NULL } },
	  { PARTIAL, .csum_start = 34, .csum_offset = 2 } },
	{ "its UDP port rewritten by checksum",
	  4,
	  { { 0, NULL } },
	  { PARTIAL, .csum_start = 34, .csum_offset = 2 } },
	{ "its UDP port rewritten by checksum, IPv6",
	  6,
	  { { 0, NULL } },
	  { PARTIAL, .csum_start = 54, .csum_offset = 0 } },
	{ "its IPv4 source rewritten by checksum",
	  4,
	  { { 0, NULL } },
	  { PARTIAL, .csum_start = 20, .csum_offset = 6 } },
	{ "TCP's checksum offset in UDP",
	  4,
	  { { 0, NULL } },
	  { PARTIAL, .csum_start = 34, .csum_offset = 16 } },
	{ "segments of one byte",
	  4,
	  { { 23, "06" }, { 16, "05dc" }, { 46, "5010" } },
	  { PARTIAL, TSO4, .hdr_len = 54, .gso_size = 1, .csum_start = 34, .csum_offset = 16 },
	  .length = 1514 },
	{ "segments of 511 bytes",
	  4,
	  { { 23, "06" }, { 16, "05dc" }, { 46, "5010" } },
	  { PARTIAL, TSO4, .hdr_len = 54, .gso_size = 511, .csum_start = 34, .csum_offset = 16 },
	  .length = 1514 },
	{ "larger than the MTU", 4, { { 16, "0800" } }, .length = 2062 },
	{ "the victim's MAC", 4, .victim_mac = true },
	{ "the victim's MAC, IPv6", 6, .victim_mac = true },
	{ "by broadcast", 4, { { 0, "ffffffffffff" } } },
	{ "by multicast", 4, { { 0, "01005e000001" } } },
	{ "by multicast, IPv6", 6, { { 0, "333300000001" } } },
	{ "a first fragment without its header", 4, { { 16, "0018" }, { 20, "2000" } } },
	{ "a fragment at offset 1", 4, { { 20, "0001" } } },
	{ "DHCP server", 4, { { 34, "0043" } } },
	{ "DHCPv6 server", 6, { { 54, "0223" } } },
	{ "ICMP redirect", 4, { { 23, "01" }, { 34, "0501" } } },
	{ "ICMPv6 redirect", 6, { { 20, "3aff" }, { 54, "8900" } } },
	{ "router advertisement", 6, { { 20, "3aff" }, { 54, "8600" } } },
	{ "neighbour advertisement", 6, { { 20, "3aff" }, { 54, "8800" } } },
	{ "routing header 0", 6, { { 20, "2b" }, { 54, "1100000000000000" } } },
	{ "hop-by-hop options", 6, { { 20, "00" }, { 54, "1100010400000000" } } },
};

enum { HOSTILE_COUNT = sizeof(hostile) / sizeof(hostile[0]) };

static struct packet build_hostile(const struct hostile *each, const struct vm *from,
				   const struct vm *victim, uint64_t marker)
{
	struct packet packet = udp(from, address_of(victim, each->family), each->family, marker);

	packet.header = each->header;
	if (each->victim_mac)
		memcpy(packet.frame, victim->tap.mac, 6);
	for (size_t i = 0; i < 3 && each->patches[i].hex; i++)
		put_hex(packet.frame + each->patches[i].offset, each->patches[i].hex);
	if (each->family == 4) {
		put16(packet.frame + 24, 0);
		put16(packet.frame + 24, sum16(packet.frame + 14, 20, 0));
	}
	if (each->length)
		packet.length = each->length;
	return packet;
}

/* Inserts an 802.1Q tag; the kernel takes it off again before the guard runs. */
static struct packet tagged(const struct packet *plain, unsigned tag)
{
	struct packet packet = *plain;

	memmove(packet.frame + 16, packet.frame + 12, packet.length - 12);
	put16(packet.frame + 12, 0x8100);
	put16(packet.frame + 14, tag);
	packet.length += 4;
	return packet;
}

void test_hostile(struct net *net, const struct vm *victim)
{
	for (size_t i = 0; i < HOSTILE_COUNT; i++) {
		uint64_t marker = next_marker(), before = drops(net, vm_a);
		struct packet packet = build_hostile(&hostile[i], vm_a, victim, marker);
		bool is_sent = send_packet(vm_a->fd, &packet);

		ok(is_sent && !has_received(victim, &marker, sizeof(marker)) &&
			   drops(net, vm_a) == before + 1,
		   "to %s: %s", victim->tap.name, hostile[i].name);
	}
	for (unsigned tag = 0; tag <= 100; tag += 100) {
		uint64_t marker = next_marker(), before = counter(net, vm_a, "vlan");
		struct packet packet = udp(vm_a, victim->ip4, 4, marker);

		packet = tagged(&packet, tag);
		send_packet(vm_a->fd, &packet);
		ok(!has_received(victim, &marker, sizeof(marker)) &&
			   counter(net, vm_a, "vlan") == before + 1,
		   "to %s: VLAN %u", victim->tap.name, tag);
	}
}

unsigned count_arrivals(const struct vm *victim)
{
	unsigned count = 0;

	for (size_t i = 0; i < HOSTILE_COUNT; i++) {
		uint64_t marker = next_marker();
		struct packet packet = build_hostile(&hostile[i], vm_a, victim, marker);

		if (hostile[i].header.gso_size)
			continue;
		send_packet(vm_a->fd, &packet);
		if (has_received(victim, &marker, sizeof(marker))) {
			printf("# without the guard: %s\n", hostile[i].name);
			count++;
		}
	}
	return count;
}
