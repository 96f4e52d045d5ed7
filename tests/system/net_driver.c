/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network of a host in namespaces of its own, as tests/system/net.t runs it: real taps with
 * virtio headers, hostile and lawful frames between two tenants, a daemon killed with -9, adoption,
 * and an end that leaves nothing. Speaks TAP. Needs root.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "loop/loop.h"
#include "net/net.h"
#include "net/pool.h"
#include "tests/system/driver.h"

unsigned if_nametoindex(const char *name);

enum { FRAME_MAX = 4096, FENCE_PORT = 7000, WAIT_MS = 20000, SECOND_NS = 1000000000 };

/* --- the host -----------------------------------------------------------------------------------
 */

struct vm {
	struct net_tap tap;
	const char *ip4, *ip6;
	int fd;
};

static struct vm vms[] = {
	{ .tap = { "stka", 1, 100, { 2, 0, 0, 0, 0, 0xa } }, "10.20.0.10", "fd00:20::10", -1 },
	{ .tap = { "stkb", 2, 100, { 2, 0, 0, 0, 0, 0xb } }, "10.20.0.11", "fd00:20::11", -1 },
	{ .tap = { "stkx", 3, 200, { 2, 0, 0, 0, 0, 0xc } }, "10.30.0.10", "fd00:30::10", -1 },
	{ .tap = { "stkc", 4, 100, { 2, 0, 0, 0, 0, 0xd } }, "10.20.0.12", "fd00:20::12", -1 },
};

static struct vm *const vm_a = &vms[0], *const vm_b = &vms[1], *const vm_x = &vms[2],
			*const vm_c = &vms[3];

static char bpf_root[] = "/tmp/stoker-net.XXXXXX";
static char bpf_dir[64];
static struct settings settings = { .bpf_dir = bpf_dir, .flood_shield = true };
static int fence = -1; /* a UDP socket of the host's */

static void set_up(void)
{
	must_errno(unshare(CLONE_NEWNS | CLONE_NEWNET));
	must_errno(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	if (!mkdtemp(bpf_root))
		bail_out("mkdtemp", strerror(errno));
	must_errno(mount("bpf", bpf_root, "bpf", 0, NULL));
	snprintf(bpf_dir, sizeof(bpf_dir), "%s/stoker", bpf_root);
	command("ip link set lo up && ip address add 10.99.0.1/32 dev lo &&"
		" ip -6 address add fd00:99::1/128 dev lo nodad");
	for (size_t i = 0; i < sizeof(vms) / sizeof(vms[0]); i++) {
		vms[i].tap.addresses.count = 2;
		address_parse(vms[i].ip4, &vms[i].tap.addresses.items[0]);
		address_parse(vms[i].ip6, &vms[i].tap.addresses.items[1]);
	}
}

/* --- frames -------------------------------------------------------------------------------------
 */

struct packet {
	struct virtio_net_hdr_v1 header;
	uint8_t frame[FRAME_MAX];
	size_t length;
};

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

static size_t put_hex(uint8_t *to, const char *hex)
{
	size_t length = strlen(hex) / 2;

	for (size_t i = 0; i < length; i++) {
		unsigned value = 0;

		sscanf(hex + 2 * i, "%2x", &value);
		to[i] = (uint8_t)value;
	}
	return length;
}

static uint16_t sum16(const uint8_t *bytes, size_t length, uint32_t sum)
{
	for (size_t i = 0; i + 1 < length; i += 2)
		sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void put16(uint8_t *to, unsigned value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
}

/* A UDP packet of 16 bytes of payload, which starts with `marker`. */
static struct packet udp(const struct vm *from, const char *to, int family, uint64_t marker)
{
	struct packet packet = { .length = family == 4 ? 58 : 78 };
	uint8_t *frame = packet.frame, *ip = frame + 14, *l4 = ip + (family == 4 ? 20 : 40);

	memcpy(frame, NET_GATEWAY_MAC, 6);
	memcpy(frame + 6, from->tap.mac, 6);
	put16(frame + 12, family == 4 ? 0x0800 : 0x86dd);
	if (family == 4) {
		put_hex(ip, "4500002c0001000040110000");
		inet_pton(AF_INET, from->ip4, ip + 12);
		inet_pton(AF_INET, to, ip + 16);
		put16(ip + 10, sum16(ip, 20, 0));
	} else {
		put_hex(ip, "6000000000181140");
		inet_pton(AF_INET6, from->ip6, ip + 8);
		inet_pton(AF_INET6, to, ip + 24);
	}
	put_hex(l4, "1770177100180000"); /* ports 6000 and 6001 */
	memcpy(l4 + 8, &marker, sizeof(marker));
	if (family == 6)
		put16(l4 + 6, sum16(ip + 8, 56, 0x18 + 17));
	return packet;
}

static const char *address_of(const struct vm *vm, int family)
{
	return family == 4 ? vm->ip4 : vm->ip6;
}

static bool send_packet(int fd, const struct packet *packet)
{
	uint8_t bytes[sizeof(packet->header) + FRAME_MAX];
	size_t length = sizeof(packet->header) + packet->length;

	memcpy(bytes, &packet->header, sizeof(packet->header));
	memcpy(bytes + sizeof(packet->header), packet->frame, packet->length);
	return write(fd, bytes, length) == (ssize_t)length;
}

static uint64_t next_marker(void)
{
	static uint64_t marker = 0x6d61726b00000000;

	return ++marker;
}

/* Reads what the VM has received until the host's own datagram to it arrives. Was `wanted` there?
 * Everything sent before is processed by then: a tap's write runs to the end of the path. */
static bool has_received(const struct vm *vm, const void *wanted, size_t wanted_length)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(6001) };
	uint64_t end = next_marker();
	bool is_found = false;
	uint8_t bytes[65536 + 64];

	inet_pton(AF_INET, vm->ip4, &to.sin_addr);
	must_errno(sendto(fence, &end, sizeof(end), 0, (struct sockaddr *)&to, sizeof(to)));
	for (;;) {
		struct pollfd poll_fd = { .fd = vm->fd, .events = POLLIN };
		ssize_t length;

		if (poll(&poll_fd, 1, WAIT_MS) != 1)
			bail_out(vm->tap.name, "the host's own datagram did not arrive");
		length = read(vm->fd, bytes, sizeof(bytes));
		if (length < 0)
			bail_out(vm->tap.name, strerror(errno));
		if (memmem(bytes, (size_t)length, wanted, wanted_length))
			is_found = true;
		if (memmem(bytes, (size_t)length, &end, sizeof(end)))
			return is_found;
	}
}

static bool arrives(const struct vm *from, const struct vm *to, int family)
{
	uint64_t marker = next_marker();
	struct packet packet = udp(from, address_of(to, family), family, marker);

	return send_packet(from->fd, &packet) && has_received(to, &marker, sizeof(marker));
}

static uint64_t counter(struct net *net, const struct vm *vm, const char *name)
{
	struct net_counters counters;

	must(net_counters_read(net, vm->tap.slot, &counters, &err));
	for (size_t i = 0; i < counters.count; i++)
		if (strcmp(counters.items[i].name, name) == 0)
			return counters.items[i].packets;
	bail_out(name, "no such counter");
	return 0;
}

static uint64_t drops(struct net *net, const struct vm *vm)
{
	struct net_counters counters;
	uint64_t sum = 0;

	must(net_counters_read(net, vm->tap.slot, &counters, &err));
	for (size_t i = 0; i < counters.count; i++)
		sum += counters.items[i].is_drop ? counters.items[i].packets : 0;
	return sum;
}

/* --- hostile frames -----------------------------------------------------------------------------
 */

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

static void test_hostile(struct net *net, const struct vm *victim)
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

/* How many of the hostile frames the host would have passed on by itself; not those that would
 * fill the victim's queue. */
static unsigned count_arrivals(const struct vm *victim)
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

/* --- lawful frames ------------------------------------------------------------------------------
 */

static void test_lawful(struct net *net)
{
	uint64_t marker = next_marker();
	struct packet packet;

	ok(arrives(vm_a, vm_b, 4), "same tenant, IPv4");
	ok(arrives(vm_b, vm_a, 4), "same tenant, IPv4, back");
	ok(arrives(vm_a, vm_b, 6), "same tenant, IPv6");
	ok(arrives(vm_b, vm_a, 6), "same tenant, IPv6, back");
	packet = udp(vm_a, vm_b->ip4, 4, marker);
	packet.header = (struct virtio_net_hdr_v1){ PARTIAL, .csum_start = 34, .csum_offset = 6 };
	ok(send_packet(vm_a->fd, &packet) && has_received(vm_b, &marker, sizeof(marker)),
	   "with the checksum left to the host");
	marker = next_marker();
	packet = udp(vm_a, vm_b->ip6, 6, marker);
	packet.header = (struct virtio_net_hdr_v1){ PARTIAL, .csum_start = 54, .csum_offset = 6 };
	ok(send_packet(vm_a->fd, &packet) && has_received(vm_b, &marker, sizeof(marker)),
	   "with the checksum left to the host, IPv6");
	marker = next_marker();
	packet = udp(vm_a, vm_b->ip4, 4, marker);
	packet.header = (struct virtio_net_hdr_v1){ PARTIAL,	      TSO4,
						    .hdr_len = 54,    .gso_size = 1448,
						    .csum_start = 34, .csum_offset = 16 };
	packet.frame[23] = 6;
	put_hex(packet.frame + 46, "5010");
	memcpy(packet.frame + 54, &marker, sizeof(marker));
	packet.length = 14 + 3000;
	put16(packet.frame + 16, 3000);
	put16(packet.frame + 24, 0);
	put16(packet.frame + 24, sum16(packet.frame + 14, 20, 0));
	ok(send_packet(vm_a->fd, &packet) && has_received(vm_b, &marker, sizeof(marker)),
	   "a TCP segment of 3000 bytes");
	ok(counter(net, vm_a, "accept") >= 5 && counter(net, vm_b, "delivered") >= 5,
	   "both are counted");
}

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

enum { RATE = 100, WINDOWS = 20, SLACK_NS = SECOND_NS / 10 };

struct window {
	uint64_t offered, passed;
	uint64_t most;	/* that the rate allows in the time that it took */
	uint64_t least; /* the same without what pauses may have cost */
};

/* Offers frames for a second of the kernel's clock, as fast as it can. The guard makes up for
 * pauses of SLACK_NS; when in a step the guard saw its frame is not known, so two steps count as
 * one. */
static struct window offer(struct net *net, const struct packet *packet)
{
	uint64_t before = counter(net, vm_a, "accept"), start = clock_ns(), now = start;
	uint64_t last_step = 0, lost = 0;
	struct window window = { 0 };

	while (now - start < SECOND_NS) {
		uint64_t then = now, step;

		send_packet(vm_a->fd, packet);
		window.offered++;
		now = clock_ns();
		step = now - then;
		if (step + last_step > SLACK_NS)
			lost += step + last_step - SLACK_NS;
		last_step = step;
	}
	window.passed = counter(net, vm_a, "accept") - before;
	window.most = (now - start) * RATE / SECOND_NS;
	window.least = lost < now - start ? (now - start - lost) * RATE / SECOND_NS : 0;
	printf("# rate: %llu offered, %llu passed, %llu to %llu are allowed\n",
	       (unsigned long long)window.offered, (unsigned long long)window.passed,
	       (unsigned long long)window.least, (unsigned long long)window.most);
	return window;
}

static void test_rate(struct net *net)
{
	struct packet packet = udp(vm_a, vm_b->ip4, 4, next_marker());
	bool is_more = false, is_less = false;
	struct net_tap tap = vm_a->tap;
	struct window window = { 0 };

	tap.rate_packets = RATE;
	must(net_tap_update(net, &tap, &err));
	while (!counter(net, vm_a, "rate"))
		send_packet(vm_a->fd, &packet);
	for (int i = 0; i < WINDOWS && window.offered <= 20 * window.most; i++) {
		window = offer(net, &packet);
		is_more |= window.passed * 20 > window.most * 21;
		is_less |= window.passed * 20 < window.least * 19;
	}
	ok(window.offered > 20 * window.passed, "twenty times of what a rate allows is offered");
	ok(!is_more && !is_less, "and what passes is that, within 5 %%");
	must(net_tap_update(net, &vm_a->tap, &err));
	ok(arrives(vm_a, vm_b, 4) && arrives(vm_a, vm_b, 6), "and is taken off again");
}

static void test_tenants(struct net *net)
{
	uint64_t before = counter(net, vm_a, "cross-tenant");

	ok(!arrives(vm_a, vm_x, 4) && !arrives(vm_a, vm_x, 6), "another tenant is out of reach");
	ok(counter(net, vm_a, "cross-tenant") == before + 2, "and that is counted");
	ok(!arrives(vm_x, vm_b, 4) && !arrives(vm_x, vm_b, 6), "the other way round too");
}

/* As udev may do to a new device. By another address the kernel forgets the neighbours. */
static void give_address(const struct vm *vm, const char *mac)
{
	char line[512];

	snprintf(
		line, sizeof(line),
		"ip link set %s address %s; for each in %s %s; do"
		" ip neighbour replace $each lladdr 02:00:00:00:00:%02x dev %s nud permanent; done",
		vm->tap.name, mac, vm->ip4, vm->ip6, vm->tap.mac[5], vm->tap.name);
	command(line);
}

static void test_other_address(void)
{
	give_address(vm_a, "06:00:00:00:00:01");
	ok(arrives(vm_a, vm_b, 4) && arrives(vm_a, vm_b, 6),
	   "frames pass whatever address others gave the tap");
	ok(arrives(vm_b, vm_a, 4) && arrives(vm_b, vm_a, 6), "in both directions");
	give_address(vm_a, "02:53:74:6b:00:fe");
}

static void test_gateway(void)
{
	struct packet packet = { .length = 42 };
	uint8_t answer[42];

	memset(packet.frame, 0xff, 6);
	memcpy(packet.frame + 6, vm_a->tap.mac, 6);
	put_hex(packet.frame + 12, "08060001080006040001"
				   "02000000000a"
				   "0a14000a"
				   "000000000000"
				   "a9fe0101");
	memcpy(answer, vm_a->tap.mac, 6);
	put_hex(answer + 6, "0253746b00fe"
			    "08060001080006040002"
			    "0253746b00fe"
			    "a9fe0101"
			    "02000000000a"
			    "0a14000a");
	ok(send_packet(vm_a->fd, &packet) && has_received(vm_a, answer, sizeof(answer)),
	   "ARP for the gateway is answered");
	put_hex(packet.frame, "0253746b00fe"
			      "02000000000a"
			      "86dd"
			      "60000000"
			      "00203aff"
			      "fe80000000000000000000fffe00000a"
			      "fe800000000000000000000000000001"
			      "8700000000000000"
			      "fe800000000000000000000000000001"
			      "010102000000000a");
	packet.length = 86;
	put_hex(answer, "e0000000"
			"fe800000000000000000000000000001"
			"02010253746b00fe");
	ok(send_packet(vm_a->fd, &packet) && has_received(vm_a, answer, 28),
	   "a neighbour solicitation for the gateway is answered");
}

/* The host's services are out of reach; the host may ask its VMs. policy.t has the world. */
static void test_host(void)
{
	int service = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_in own = { .sin_family = AF_INET, .sin_port = htons(6001) };
	struct sockaddr_in vm_address = { .sin_family = AF_INET, .sin_port = htons(6000) };
	uint64_t marker = next_marker(), received;
	struct packet packet = udp(vm_a, "10.99.0.1", 4, marker);
	uint8_t frame[2048];

	inet_pton(AF_INET, "10.99.0.1", &own.sin_addr);
	inet_pton(AF_INET, vm_a->ip4, &vm_address.sin_addr);
	must_errno(service);
	must_errno(bind(service, (struct sockaddr *)&own, sizeof(own)));
	send_packet(vm_a->fd, &packet);
	has_received(vm_a, &marker, sizeof(marker));
	ok(recv(service, &received, sizeof(received), 0) < 0, "a VM gets no service of the host");
	must_errno(sendto(service, &marker, sizeof(marker), 0, (struct sockaddr *)&vm_address,
			  sizeof(vm_address)));
	send_packet(vm_a->fd, &packet);
	ok(recv(service, frame, sizeof(frame), 0) > 0 && !memcmp(frame, &marker, sizeof(marker)),
	   "but may answer the host");
	close(service);
}

/* --- the daemon dies ----------------------------------------------------------------------------
 */

/* What the VMM of a dead daemon's VM holds. */
static int open_queue(const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK), header_bytes = 12;

	must_errno(fd);
	strcpy(request.ifr_name, name);
	must_errno(ioctl(fd, TUNSETIFF, &request));
	must_errno(ioctl(fd, TUNSETVNETHDRSZ, &header_bytes));
	return fd;
}

static unsigned count_stock(void)
{
	unsigned count = 0;
	char name[IFNAMSIZ];

	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "stkp%d", i);
		count += if_nametoindex(name) != 0;
	}
	return count;
}

/* A process that makes the tap, and one for its stock, and is killed with -9 when it has. */
static void create_and_die(const struct vm *vm)
{
	int ends[2], status;
	char byte;
	pid_t pid;

	must_errno(pipe(ends));
	pid = fork();
	must_errno(pid);
	if (pid == 0) {
		struct net *net;
		int fd;

		must(net_open(&settings, &net, &err));
		must(net_tap_create(net, &vm->tap, &fd, &err));
		must(pool_fill(net, &err));
		must_errno(write(ends[1], "", 1));
		for (;;)
			pause();
	}
	close(ends[1]);
	if (read(ends[0], &byte, 1) != 1)
		bail_out(vm->tap.name, "the daemon to be killed did not make it");
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	close(ends[0]);
}

static bool is_spoofed_seen(const struct vm *from, const struct vm *victim)
{
	uint64_t marker = next_marker();
	struct packet packet = udp(from, victim->ip4, 4, marker);

	packet.frame[11] ^= 0x40; /* another source MAC */
	send_packet(from->fd, &packet);
	return has_received(victim, &marker, sizeof(marker));
}

static void take_guard_away(const char *tap)
{
	char line[256];

	snprintf(line, sizeof(line),
		 "rm -f %s/%s-in %s/%s-out; tc qdisc del dev %s clsact 2>/dev/null; true", bpf_dir,
		 tap, bpf_dir, tap, tap);
	command(line);
}

static void test_adoption(void)
{
	struct error refusal = { 0 };
	struct net *net;

	create_and_die(vm_c);
	vm_c->fd = open_queue("stkc");
	ok(arrives(vm_c, vm_b, 4), "the maker killed with -9: lawful frames pass");
	ok(count_stock() == 0, "what it had on stock is gone");
	ok(!is_spoofed_seen(vm_c, vm_b), "and the guard still drops");
	must(net_open(&settings, &net, &err));
	for (size_t i = 0; i < sizeof(vms) / sizeof(vms[0]); i++)
		must(net_tap_adopt(net, &vms[i].tap, &err));
	ok(counter(net, vm_c, "source-mac") == 1, "its counters are still there");
	ok(arrives(vm_c, vm_b, 6) && !is_spoofed_seen(vm_c, vm_b), "adopted, it goes on guarding");

	take_guard_away("stkc");
	ok(is_spoofed_seen(vm_c, vm_b), "the guard taken away: a spoofed frame arrives");
	must(net_tap_adopt(net, &vm_c->tap, &err));
	ok(!is_spoofed_seen(vm_c, vm_b) && arrives(vm_c, vm_b, 4), "adopting mends it");

	command("ip route del 10.20.0.12/32; ip neigh flush dev stkc nud permanent;"
		" ip link set stkc down");
	must(net_tap_adopt(net, &vm_c->tap, &err));
	ok(arrives(vm_b, vm_c, 4) && arrives(vm_b, vm_c, 6), "routes, neighbours and link as well");
	vm_c->tap.tenant_id = 200;
	must(net_tap_adopt(net, &vm_c->tap, &err));
	ok(arrives(vm_c, vm_x, 4) && !arrives(vm_c, vm_b, 4), "a changed tenant takes effect");

	ok(net_remove(net, &refusal) < 0 && strstr(refusal.text, "still guarded"),
	   "nothing is removed under a VM: %s", refusal.text);
	close(vm_c->fd);
	must(net_tap_destroy(net, "stkc", vm_c->tap.slot, &err));
	must(net_tap_destroy(net, "stkc", vm_c->tap.slot, &err));
	ok(net_tap_adopt(net, &vm_c->tap, &refusal) < 0 && strstr(refusal.text, "tap 'stkc': gone"),
	   "a destroyed tap is gone: %s", refusal.text);
	net_close(net);
}

/* --- looking after taps -------------------------------------------------------------------------
 */

struct hearer {
	struct loop *loop;
	struct net_event last;
	char message[512];
	unsigned count; /* of events that are wanted */
	enum net_event_kind wanted;
};

static void on_told(void *data, const struct net_event *event)
{
	struct hearer *hearer = data;

	if (event->kind != hearer->wanted)
		return;
	hearer->last = *event;
	snprintf(hearer->message, sizeof(hearer->message), "%s", event->message);
	hearer->count++;
	loop_stop(hearer->loop);
}

static void on_silence(struct watch *watch, unsigned events, void *data)
{
	struct hearer *hearer = data;

	(void)watch, (void)events;
	loop_stop(hearer->loop);
}

/* Listens until one of the kind is heard, or so long. */
static bool hears(struct hearer *hearer, enum net_event_kind kind, uint64_t for_ms)
{
	struct watch *silence = loop_timer(hearer->loop, for_ms, on_silence, hearer);

	hearer->wanted = kind;
	hearer->count = 0;
	loop_run(hearer->loop);
	watch_free(silence);
	return hearer->count > 0;
}

static struct packet spoofed_by(const struct vm *from, const struct vm *to)
{
	struct packet packet = udp(from, to->ip4, 4, next_marker());

	packet.frame[11] ^= 0x40; /* another source MAC */
	return packet;
}

static void test_told_drops(struct net *net, struct hearer *hearer)
{
	struct packet packet = spoofed_by(vm_a, vm_b);
	struct net_event *last = &hearer->last;
	struct net_view view;
	uint64_t start;

	/* Those of the tests before come first, at most one a second. */
	start = clock_ns();
	do
		send_packet(vm_a->fd, &packet);
	while ((!hears(hearer, NET_EVENT_DROP, 100) ||
		memcmp(last->head, packet.frame, packet.length) != 0) &&
	       clock_ns() - start < WAIT_MS * UINT64_C(1000000));
	ok(last->slot == vm_a->tap.slot && !strcmp(last->reason, "source-mac") &&
		   !last->is_to_guest,
	   "a drop is told: %s", last->reason);
	ok(last->frame_bytes == packet.length && last->head_bytes == packet.length,
	   "with its frame");
	start = clock_ns();
	for (int i = 0; i < 20000; i++)
		send_packet(vm_a->fd, &packet);
	for (hearer->count = 0; clock_ns() - start < SECOND_NS;) {
		unsigned before = hearer->count;

		hears(hearer, NET_EVENT_DROP, 100);
		hearer->count += before;
	}
	ok(hearer->count <= (clock_ns() - start) / SECOND_NS + 1, "of a flood one a second: %u",
	   hearer->count);
	must(net_view_read(net, vm_a->tap.slot, &view, &err));
	ok(view.event_count > 0 &&
		   !strcmp(view.events[view.event_count - 1]->reason, "source-mac") &&
		   view.event_count <= NET_EVENTS_KEPT,
	   "the last are kept: %zu", view.event_count);
	ok(!memcmp(view.mac, vm_a->tap.mac, 6) && view.addresses.count == 2 &&
		   view.tenant_id == 100 && view.mtu == 1500,
	   "and the policy is seen as the guard has it");
}

static uint64_t per_second(struct net *net, const struct vm *vm, const char *name)
{
	struct net_counters counters;

	must(net_counters_read(net, vm->tap.slot, &counters, &err));
	for (size_t i = 0; i < counters.count; i++)
		if (strcmp(counters.items[i].name, name) == 0)
			return counters.items[i].per_second;
	return UINT64_MAX;
}

/* By a clock of the test's own, ahead of the loop's. */
static void test_rates_of_counters(struct net *net, uint64_t now_ms)
{
	struct packet packet = spoofed_by(vm_a, vm_b);

	net_tick(net, now_ms);
	for (int i = 0; i < 500; i++)
		send_packet(vm_a->fd, &packet);
	net_tick(net, now_ms + 2000);
	ok(per_second(net, vm_a, "source-mac") == 250, "500 drops in two seconds are 250 a second");
	net_tick(net, now_ms + 3000);
	ok(per_second(net, vm_a, "source-mac") == 0, "and then none");
}

static void test_repair(struct net *net, struct hearer *hearer)
{
	take_guard_away("stka");
	ok(is_spoofed_seen(vm_a, vm_b), "the guard taken away under a daemon");
	ok(hears(hearer, NET_EVENT_REPAIRED, WAIT_MS) && hearer->last.slot == vm_a->tap.slot,
	   "is noticed and told: %s", hearer->message);
	ok(!is_spoofed_seen(vm_a, vm_b) && arrives(vm_a, vm_b, 4) && arrives(vm_a, vm_b, 6),
	   "and is on again");
	ok(!hears(hearer, NET_EVENT_REPAIRED, 1500) && counter(net, vm_a, "source-mac") > 0,
	   "once; what was counted is still there");
}

static void test_lost_tap(struct net *net, struct hearer *hearer)
{
	must(net_tap_create(net, &vm_c->tap, &vm_c->fd, &err));
	command("ip link delete stkc");
	ok(hears(hearer, NET_EVENT_LOST, WAIT_MS) && hearer->last.slot == vm_c->tap.slot &&
		   strstr(hearer->message, "the tap is gone"),
	   "a tap that vanished is told: %s", hearer->message);
	ok(!hears(hearer, NET_EVENT_LOST, 1500), "once");
	close(vm_c->fd);
	must(net_tap_destroy(net, "stkc", vm_c->tap.slot, &err));
}

/* A guard that cannot be put back, for something lies where its pin was: the tap stays down. Clsact
 * has no pins. */
static void test_lost_guard(struct net *net, struct hearer *hearer)
{
	struct net_counters counters;
	struct packet packet;
	char line[128];

	must(net_counters_read(net, vm_a->tap.slot, &counters, &err));
	if (strcmp(counters.attachment, "tcx") != 0)
		return;
	must(net_tap_create(net, &vm_c->tap, &vm_c->fd, &err));
	take_guard_away("stkc");
	snprintf(line, sizeof(line), "mkdir %s/stkc-in", bpf_dir);
	command(line);
	ok(hears(hearer, NET_EVENT_LOST, WAIT_MS) && hearer->last.slot == vm_c->tap.slot,
	   "a guard that cannot be put back is told: %s", hearer->message);
	packet = udp(vm_c, vm_b->ip4, 4, next_marker());
	ok(!send_packet(vm_c->fd, &packet) && errno == EIO, "and its tap is down");
	snprintf(line, sizeof(line), "rmdir %s/stkc-in", bpf_dir);
	command(line);
	close(vm_c->fd);
	must(net_tap_destroy(net, "stkc", vm_c->tap.slot, &err));
}

/* So many hostile frames in each of the ticks of 10 ms, by a clock of the test's own. */
static void tick(struct net *net, uint64_t *now_ms, unsigned ticks, unsigned frames)
{
	struct packet packet = spoofed_by(vm_a, vm_b);

	for (unsigned i = 0; i < ticks; i++) {
		for (unsigned j = 0; j < frames; j++)
			send_packet(vm_a->fd, &packet);
		net_tick(net, *now_ms += 10);
	}
}

static uint64_t time_of_flood(unsigned frames)
{
	struct packet packet = spoofed_by(vm_a, vm_b);
	uint64_t start = clock_ns();

	for (unsigned i = 0; i < frames; i++)
		send_packet(vm_a->fd, &packet);
	return (clock_ns() - start) / frames;
}

static void test_shield(struct net *net, struct hearer *hearer)
{
	enum { FLOOD = 400, TRICKLE = 10, TIMED = 50000 }; /* 40000 and 1000 a second */
	uint64_t now_ms = loop_now_ms() + 10000, alone, before;
	struct net_counters counters;
	struct net_view view;

	alone = time_of_flood(TIMED);
	hearer->wanted = NET_EVENT_SHIELD_RAISED;
	hearer->count = 0;
	net_tick(net, now_ms);
	tick(net, &now_ms, 2, FLOOD);
	ok(hearer->count == 0, "two ticks are no flood");
	tick(net, &now_ms, 1, FLOOD);
	must(net_view_read(net, vm_a->tap.slot, &view, &err));
	ok(hearer->count == 1 && hearer->last.slot == vm_a->tap.slot && view.has_shield,
	   "three are: the shield is raised: %s", hearer->message);
	before = counter(net, vm_a, "source-mac");
	printf("# a hostile frame: %llu ns by the guard, ", (unsigned long long)alone);
	printf("%llu ns by the shield\n", (unsigned long long)time_of_flood(TIMED));
	must(net_counters_read(net, vm_a->tap.slot, &counters, &err));
	ok(counter(net, vm_a, "source-mac") == before + TIMED && counters.shielded >= TIMED,
	   "it drops, and each frame is counted once");
	ok(arrives(vm_a, vm_b, 4) && arrives(vm_a, vm_b, 6) && !is_spoofed_seen(vm_a, vm_b) &&
		   !arrives(vm_a, vm_x, 4),
	   "what is lawful arrives, and nothing else");
	hearer->wanted = NET_EVENT_SHIELD_LOWERED;
	hearer->count = 0;
	tick(net, &now_ms, 20, FLOOD / 10);
	ok(hearer->count == 0, "it stays while the flood goes on, if less");
	tick(net, &now_ms, 11, TRICKLE);
	must(net_view_read(net, vm_a->tap.slot, &view, &err));
	ok(hearer->count == 1 && !view.has_shield, "and is lowered when it is over");
	ok(arrives(vm_a, vm_b, 4) && !is_spoofed_seen(vm_a, vm_b), "the guard goes on alone");
}

/* Runs the loop until there are so many on stock. */
static bool has_stock(struct hearer *hearer, unsigned wanted)
{
	uint64_t start = clock_ns();

	while (count_stock() != wanted && clock_ns() - start < WAIT_MS * UINT64_C(1000000))
		hears(hearer, NET_EVENT_LOST, 100);
	return count_stock() == wanted;
}

static bool is_file(const char *tap)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s-in", bpf_dir, tap);
	return access(path, F_OK) == 0;
}

/* A tap in another network namespace, as the VMM of a jail has it. */
static void test_lending(struct net *net)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), theirs;

	must_errno(home);
	must_errno(unshare(CLONE_NEWNET));
	theirs = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	must_errno(theirs);
	must_errno(setns(home, CLONE_NEWNET));
	must(net_tap_lend(net, &vm_c->tap, theirs, 0, &err));
	ok(!if_nametoindex("stkc"), "one that is lent is not the host's");
	must_errno(setns(theirs, CLONE_NEWNET));
	vm_c->fd = open_queue("stkc");
	must_errno(setns(home, CLONE_NEWNET));
	must(net_tap_take(net, &vm_c->tap, theirs, &err));
	ok(arrives(vm_c, vm_b, 4) && arrives(vm_b, vm_c, 6) && !is_spoofed_seen(vm_c, vm_b),
	   "and guarded when it is back");
	close(vm_c->fd);
	must(net_tap_destroy(net, "stkc", vm_c->tap.slot, &err));
	close(home);
	close(theirs);
}

static void test_stock(struct net *net, struct hearer *hearer)
{
	uint64_t start, cold, warm;

	must(net_sweep(net,
		       &(struct strv){ .items = (char *[]){ "stka", "stkb", "stkx" }, .count = 3 },
		       &err));
	ok(count_stock() == 0, "a sweep empties the stock");
	start = clock_ns();
	must(net_tap_create(net, &vm_c->tap, &vm_c->fd, &err));
	cold = clock_ns() - start;
	close(vm_c->fd);
	must(net_tap_destroy(net, "stkc", vm_c->tap.slot, &err));
	ok(has_stock(hearer, 4), "four taps on stock while there are VMs");
	ok(system("ip -br link | grep '^stkp' | grep -q '<.*UP'") != 0, "that are down");
	start = clock_ns();
	must(net_tap_create(net, &vm_c->tap, &vm_c->fd, &err));
	warm = clock_ns() - start;
	printf("# a tap in %llu us, from the stock in %llu us\n", (unsigned long long)cold / 1000,
	       (unsigned long long)warm / 1000);
	ok(count_stock() == 3 && arrives(vm_c, vm_b, 4) && !is_spoofed_seen(vm_c, vm_b),
	   "one of them is a VM's, and guarded");
	close(vm_c->fd);
	must(net_tap_destroy(net, "stkc", vm_c->tap.slot, &err));
	ok(!is_file("stkc") && !if_nametoindex("stkc"), "and gone with it");
	test_lending(net);
	ok(count_stock() == 2, "of the stock as well");
}

static void test_keeping(struct net *net)
{
	struct hearer hearer = { 0 };
	struct error failure = { 0 };

	hearer.loop = loop_new(&failure);
	if (!hearer.loop)
		bail_out("loop_new", failure.text);
	must(net_watch(net, hearer.loop, on_told, &hearer, &err));
	test_told_drops(net, &hearer);
	test_repair(net, &hearer);
	test_lost_tap(net, &hearer);
	test_lost_guard(net, &hearer);
	test_stock(net, &hearer);
	test_shield(net, &hearer);
	test_rates_of_counters(net, loop_now_ms() + 100000);
	net_close(net);
	ok(count_stock() == 0 && !is_file("stkp0") && !is_file("stkp1"),
	   "the stock goes with the daemon");
	loop_free(hearer.loop);
}

/* --- bad input ----------------------------------------------------------------------------------
 */

static void test_refusals(struct net *net)
{
	struct net_tap tap = vm_c->tap;
	struct error err = { 0 };
	int fd = -1;

	tap.name = "eth0";
	ok(net_tap_create(net, &tap, &fd, &err) < 0 && strstr(err.text, "not a name of ours"),
	   "a foreign name: %s", err.text);
	tap.name = "stka";
	ok(net_tap_create(net, &tap, &fd, &err) < 0 && strstr(err.text, "exists already"),
	   "a name in use: %s", err.text);
	tap.name = "stkc";
	tap.addresses = vm_b->tap.addresses;
	ok(net_tap_create(net, &tap, &fd, &err) < 0 && strstr(err.text, "belongs to another VM"),
	   "an address in use: %s", err.text);
	ok(fd == -1 && !if_nametoindex("stkc") && arrives(vm_a, vm_b, 4),
	   "leaves no tap, and its owner in peace");
	address_parse("169.254.1.1", &tap.addresses.items[0]);
	ok(net_tap_create(net, &tap, &fd, &err) < 0 && strstr(err.text, "cannot be a VM's address"),
	   "the gateway's address: %s", err.text);
	ok(net_tap_destroy(net, "lo", 4, &err) < 0, "a foreign link is not destroyed: %s",
	   err.text);
}

/* Two daemons in two network namespaces do not meet. */
static void test_second_host(struct net *net)
{
	int status;
	pid_t pid = fork();

	must_errno(pid);
	if (pid == 0) {
		struct net *second;
		int fd;

		strcat(bpf_dir, "2");
		must_errno(unshare(CLONE_NEWNET));
		must(net_open(&settings, &second, &err));
		must(net_tap_create(second, &vm_a->tap, &fd, &err));
		close(fd);
		must(net_sweep(second, &(struct strv){ 0 }, &err));
		must(net_remove(second, &err));
		_exit(0);
	}
	waitpid(pid, &status, 0);
	ok(status == 0 && arrives(vm_a, vm_b, 4) && counter(net, vm_a, "accept") > 0,
	   "a second host of the same names comes and goes");
}

/* --- the end ------------------------------------------------------------------------------------
 */

static void test_end(void)
{
	struct strv keep = { 0 };
	struct net *net;
	char path[128];

	must(net_open(&settings, &net, &err));
	strv_add(&keep, "stka");
	strv_add(&keep, "stkx");
	must(net_sweep(net, &keep, &err));
	ok(if_nametoindex("stka") && if_nametoindex("stkx") && !if_nametoindex("stkb"),
	   "a sweep takes what is not to be kept");
	snprintf(path, sizeof(path), "%s/stkb-in", bpf_dir);
	ok(access(path, F_OK) < 0, "with its pins");
	take_guard_away("stka");
	take_guard_away("stkx");
	ok(count_arrivals(vm_x) >= 10, "without the guard many of the hostile frames arrive");
	strv_reset(&keep);
	must(net_sweep(net, &keep, &err));
	must(net_remove(net, &err));
	net_close(net);
	ok(!if_nametoindex("stka") && !if_nametoindex("stkx"), "no tap is left");
	ok(access(bpf_dir, F_OK) < 0, "no pin is left");
	ok(system("nft list tables | grep -q stoker") != 0, "no table is left");
	ok(system("ip route | grep -q stk; test $? = 1") == 0, "no route is left");
}

int main(void)
{
	struct net *net;

	if (geteuid() != 0) {
		printf("1..0 # SKIP network namespaces and BPF need root\n");
		return 0;
	}
	set_up();
	must(net_open(&settings, &net, &err));
	for (size_t i = 0; i < 3; i++)
		must(net_tap_create(net, &vms[i].tap, &vms[i].fd, &err));
	fence = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	must_errno(fence);
	test_lawful(net);
	test_rate(net);
	test_tenants(net);
	test_other_address();
	test_hostile(net, vm_b);
	test_hostile(net, vm_x);
	test_gateway();
	test_host();
	test_refusals(net);
	test_second_host(net);
	test_keeping(net);
	test_adoption();
	test_end();
	umount2(bpf_root, MNT_DETACH);
	rmdir(bpf_root);
	printf("1..%d\n", test_count);
	return failure_count != 0;
}
