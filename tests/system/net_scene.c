/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/system/net_scene.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct vm vms[VM_COUNT] = {
	{ .tap = { "stka", 1, 100, { 2, 0, 0, 0, 0, 0xa } }, "10.20.0.10", "fd00:20::10", -1 },
	{ .tap = { "stkb", 2, 100, { 2, 0, 0, 0, 0, 0xb } }, "10.20.0.11", "fd00:20::11", -1 },
	{ .tap = { "stkx", 3, 200, { 2, 0, 0, 0, 0, 0xc } }, "10.30.0.10", "fd00:30::10", -1 },
	{ .tap = { "stkc", 4, 100, { 2, 0, 0, 0, 0, 0xd } }, "10.20.0.12", "fd00:20::12", -1 },
};

struct vm *const vm_a = &vms[0], *const vm_b = &vms[1], *const vm_x = &vms[2],
		 *const vm_c = &vms[3];

char bpf_root[] = "/tmp/stoker-net.XXXXXX";
char bpf_dir[64];
struct settings settings = { .bpf_dir = bpf_dir, .flood_shield = true };
static int fence = -1; /* a UDP socket of the host's */

void set_up(void)
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
	fence = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	must_errno(fence);
}

size_t put_hex(uint8_t *to, const char *hex)
{
	size_t length = strlen(hex) / 2;

	for (size_t i = 0; i < length; i++) {
		unsigned value = 0;

		sscanf(hex + 2 * i, "%2x", &value);
		to[i] = (uint8_t)value;
	}
	return length;
}

uint16_t sum16(const uint8_t *bytes, size_t length, uint32_t sum)
{
	for (size_t i = 0; i + 1 < length; i += 2)
		sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

void put16(uint8_t *to, unsigned value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
}

struct packet udp(const struct vm *from, const char *to, int family, uint64_t marker)
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

const char *address_of(const struct vm *vm, int family)
{
	return family == 4 ? vm->ip4 : vm->ip6;
}

bool send_packet(int fd, const struct packet *packet)
{
	uint8_t bytes[sizeof(packet->header) + FRAME_MAX];
	size_t length = sizeof(packet->header) + packet->length;

	memcpy(bytes, &packet->header, sizeof(packet->header));
	memcpy(bytes + sizeof(packet->header), packet->frame, packet->length);
	return write(fd, bytes, length) == (ssize_t)length;
}

uint64_t next_marker(void)
{
	static uint64_t marker = 0x6d61726b00000000;

	return ++marker;
}

bool has_received(const struct vm *vm, const void *wanted, size_t wanted_length)
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

bool arrives(const struct vm *from, const struct vm *to, int family)
{
	uint64_t marker = next_marker();
	struct packet packet = udp(from, address_of(to, family), family, marker);

	return send_packet(from->fd, &packet) && has_received(to, &marker, sizeof(marker));
}

uint64_t counter(struct net *net, const struct vm *vm, const char *name)
{
	struct net_counters counters;

	must(net_counters_read(net, vm->tap.slot, &counters, &err));
	for (size_t i = 0; i < counters.count; i++)
		if (strcmp(counters.items[i].name, name) == 0)
			return counters.items[i].packets;
	bail_out(name, "no such counter");
	return 0;
}

uint64_t drops(struct net *net, const struct vm *vm)
{
	struct net_counters counters;
	uint64_t sum = 0;

	must(net_counters_read(net, vm->tap.slot, &counters, &err));
	for (size_t i = 0; i < counters.count; i++)
		sum += counters.items[i].is_drop ? counters.items[i].packets : 0;
	return sum;
}

struct packet spoofed_by(const struct vm *from, const struct vm *to)
{
	struct packet packet = udp(from, to->ip4, 4, next_marker());

	packet.frame[11] ^= 0x40; /* another source MAC */
	return packet;
}

bool is_spoofed_seen(const struct vm *from, const struct vm *victim)
{
	uint64_t marker = next_marker();
	struct packet packet = udp(from, victim->ip4, 4, marker);

	packet.frame[11] ^= 0x40; /* another source MAC */
	send_packet(from->fd, &packet);
	return has_received(victim, &marker, sizeof(marker));
}

void take_guard_away(const char *tap)
{
	char line[256];

	snprintf(line, sizeof(line),
		 "rm -f %s/%s-in %s/%s-out; tc qdisc del dev %s clsact 2>/dev/null; true", bpf_dir,
		 tap, bpf_dir, tap, tap);
	command(line);
}

unsigned count_stock(void)
{
	unsigned count = 0;
	char name[IFNAMSIZ];

	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "stkp%d", i);
		count += if_nametoindex(name) != 0;
	}
	return count;
}

int open_queue(const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK), header_bytes = 12;

	must_errno(fd);
	strcpy(request.ifr_name, name);
	must_errno(ioctl(fd, TUNSETIFF, &request));
	must_errno(ioctl(fd, TUNSETVNETHDRSZ, &header_bytes));
	return fd;
}

uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}
