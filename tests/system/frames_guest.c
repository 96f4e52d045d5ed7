/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that misbehaves, and one that watches for it; run inside VMs by tests/system/isolation.t.
 *
 *   frames listen                      prints each frame on eth0 that carries the marker
 *   frames send OWN-IP VICTIM-IP ROUNDS  sends every kind of frame below, then the legitimate one
 *
 * Frames are built by hand on a packet socket: what a hostile kernel could send, this sends.
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define MARKER "stoker-frame:"

struct frame {
	uint8_t bytes[512];
	size_t length;
};

struct sender {
	int fd;
	struct sockaddr_ll address;
	uint8_t own_mac[6];
	uint32_t own, victim; /* network byte order */
};

static const uint8_t gateway_mac[6] = { 0x02, 0x53, 0x74, 0x6b, 0x00, 0xfe };
static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void open_interface(struct sender *s)
{
	struct ifreq request = { 0 };

	s->fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
	if (s->fd < 0)
		die("packet socket");
	strcpy(request.ifr_name, "eth0");
	if (ioctl(s->fd, SIOCGIFINDEX, &request) < 0)
		die("eth0");
	s->address = (struct sockaddr_ll){ .sll_family = AF_PACKET,
					   .sll_protocol = htons(ETH_P_ALL),
					   .sll_ifindex = request.ifr_ifindex };
	if (bind(s->fd, (struct sockaddr *)&s->address, sizeof(s->address)) < 0)
		die("bind");
	if (ioctl(s->fd, SIOCGIFHWADDR, &request) < 0)
		die("address of eth0");
	memcpy(s->own_mac, request.ifr_hwaddr.sa_data, 6);
}

static void add(struct frame *f, const void *bytes, size_t length)
{
	memcpy(f->bytes + f->length, bytes, length);
	f->length += length;
}

static void add_ethernet(struct frame *f, const uint8_t *to, const uint8_t *from, uint16_t type)
{
	uint16_t wire = htons(type);

	f->length = 0;
	add(f, to, 6);
	add(f, from, 6);
	add(f, &wire, 2);
}

static uint16_t checksum(const void *bytes, size_t length)
{
	const uint8_t *at = bytes;
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < length; i += 2)
		sum += (uint32_t)(at[i] << 8 | at[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* UDP over IPv4 with the marker and a name as payload. */
static void add_udp(struct frame *f, uint32_t from, uint32_t to, const char *name)
{
	char payload[64];
	size_t size = (size_t)snprintf(payload, sizeof(payload), MARKER "%s", name);
	struct udphdr udp = { .uh_sport = htons(7000),
			      .uh_dport = htons(7000),
			      .uh_ulen = htons((uint16_t)(sizeof(udp) + size)) };
	struct iphdr ip = { .version = 4,
			    .ihl = 5,
			    .tot_len = htons((uint16_t)(sizeof(ip) + sizeof(udp) + size)),
			    .ttl = 64,
			    .protocol = IPPROTO_UDP,
			    .saddr = from,
			    .daddr = to };

	ip.check = checksum(&ip, sizeof(ip));
	add(f, &ip, sizeof(ip));
	add(f, &udp, sizeof(udp));
	add(f, payload, size);
}

static void add_arp(struct frame *f, uint16_t op, const uint8_t *mac, uint32_t sender,
		    uint32_t target, const char *name)
{
	static const uint8_t head[6] = { 0, 1, 8, 0, 6, 4 }, nobody[6];
	uint16_t wire = htons(op);

	add(f, head, sizeof(head));
	add(f, &wire, 2);
	add(f, mac, 6);
	add(f, &sender, 4);
	add(f, nobody, 6);
	add(f, &target, 4);
	add(f, MARKER, strlen(MARKER));
	add(f, name, strlen(name));
}

static void transmit(const struct sender *s, const struct frame *f)
{
	if (sendto(s->fd, f->bytes, f->length, 0, (const struct sockaddr *)&s->address,
		   sizeof(s->address)) < 0)
		perror("send");
}

static void send_udp(const struct sender *s, const uint8_t *to, const uint8_t *from_mac,
		     uint32_t from, const char *name)
{
	struct frame f;

	add_ethernet(&f, to, from_mac, ETH_P_IP);
	add_udp(&f, from, s->victim, name);
	transmit(s, &f);
}

static void send_tagged(const struct sender *s)
{
	static const uint8_t tag[4] = { 0, 0, 0x08, 0x00 }; /* VLAN 0, then IPv4 */
	struct frame f;

	add_ethernet(&f, gateway_mac, s->own_mac, ETH_P_8021Q);
	add(&f, tag, sizeof(tag));
	add_udp(&f, s->own, s->victim, "vlan");
	transmit(s, &f);
}

static void send_arps(const struct sender *s)
{
	static const uint8_t wrong_mac[6] = { 0x06, 1, 2, 3, 4, 5 };
	struct frame f;

	add_ethernet(&f, broadcast, s->own_mac, ETH_P_ARP);
	add_arp(&f, 2, s->own_mac, inet_addr("169.254.1.1"), s->victim, "arp-gateway");
	transmit(s, &f);
	add_ethernet(&f, broadcast, s->own_mac, ETH_P_ARP);
	add_arp(&f, 1, wrong_mac, s->own, s->victim, "arp-mac");
	transmit(s, &f);
}

static void send_hostile(const struct sender *s)
{
	static const uint8_t wrong_mac[6] = { 0x06, 1, 2, 3, 4, 5 };
	static const uint8_t multicast[6] = { 0x01, 0x00, 0x5e, 0, 0, 1 };

	send_udp(s, gateway_mac, wrong_mac, s->own, "source-mac");
	send_udp(s, gateway_mac, s->own_mac, inet_addr("10.20.0.99"), "source-ip");
	send_udp(s, gateway_mac, s->own_mac, inet_addr("192.0.2.1"), "host-ip");
	send_udp(s, gateway_mac, s->own_mac, s->victim, "victim-ip");
	send_udp(s, broadcast, s->own_mac, s->own, "broadcast");
	send_udp(s, multicast, s->own_mac, s->own, "multicast");
	send_tagged(s);
	send_arps(s);
}

static int run_send(const char *own, const char *victim, int rounds)
{
	struct sender s = { .own = inet_addr(own), .victim = inet_addr(victim) };

	open_interface(&s);
	for (int i = 0; i < rounds; i++) {
		send_hostile(&s);
		send_udp(&s, gateway_mac, s.own_mac, s.own, "legitimate");
		usleep(100000);
	}
	printf("sent %d rounds to %s\n", rounds, victim);
	return 0;
}

static _Noreturn void run_listen(void)
{
	struct sender s = { 0 };
	struct sockaddr_ll from;
	uint8_t bytes[2048];

	open_interface(&s);
	puts("listening");
	fflush(stdout);
	for (;;) {
		socklen_t size = sizeof(from);
		ssize_t n = recvfrom(s.fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from,
				     &size);
		const uint8_t *at;

		if (n < 0)
			die("receive");
		/* Our own kernel's ICMP answers quote what they refuse. */
		if (from.sll_pkttype == PACKET_OUTGOING)
			continue;
		at = memmem(bytes, (size_t)n, MARKER, strlen(MARKER));
		if (!at)
			continue;
		printf("saw %.*s\n", (int)(bytes + n - at), (const char *)at);
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "listen") == 0)
		run_listen();
	if (argc == 5 && strcmp(argv[1], "send") == 0)
		return run_send(argv[2], argv[3], atoi(argv[4]));
	fputs("usage: frames listen | frames send OWN-IP VICTIM-IP ROUNDS\n", stderr);
	return 2;
}
