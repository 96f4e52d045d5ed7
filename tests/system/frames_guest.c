/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that misbehaves, and one that watches for it; run inside VMs by tests/system/isolation.t.
 *
 *   frames listen                      prints each frame on eth0 that carries the marker
 *   frames send OWN-IP VICTIM-IP ROUNDS  sends every kind of frame below, then the legitimate one;
 *                                      once more forged frames as fast as it can
 *
 * Frames are built by hand on a packet socket: what a hostile kernel could send, this sends.
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
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

enum { FLOOD_FRAMES = 20000 };

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

/* IPv4 with eight bytes of layer 4, the marker and a name. */
static void add_ip4(struct frame *f, uint8_t protocol, const void *head, uint32_t from, uint32_t to,
		    const char *name)
{
	char payload[64];
	size_t size = (size_t)snprintf(payload, sizeof(payload), MARKER "%s", name);
	struct iphdr ip = { .version = 4,
			    .ihl = 5,
			    .tot_len = htons((uint16_t)(sizeof(ip) + 8 + size)),
			    .ttl = 64,
			    .protocol = protocol,
			    .saddr = from,
			    .daddr = to };

	ip.check = checksum(&ip, sizeof(ip));
	add(f, &ip, sizeof(ip));
	add(f, head, 8);
	add(f, payload, size);
}

static void add_udp(struct frame *f, uint16_t source_port, uint32_t from, uint32_t to,
		    const char *name)
{
	struct udphdr udp = { .uh_sport = htons(source_port),
			      .uh_dport = htons(7000),
			      .uh_ulen = htons((uint16_t)(8 + strlen(MARKER) + strlen(name))) };

	add_ip4(f, IPPROTO_UDP, &udp, from, to, name);
}

/* ICMPv6 from this VM's link-local address to all nodes, as routers and neighbours speak. */
static void add_icmp6(struct frame *f, const uint8_t *own_mac, uint8_t type, const char *name)
{
	uint8_t ip[40] = {
		0x60,	    [6] = 58,	 [7] = 255, [8] = 0xfe, [9] = 0x80, [16] = own_mac[0] ^ 2,
		own_mac[1], own_mac[2],	 0xff,	    0xfe,	own_mac[3], own_mac[4],
		own_mac[5], [24] = 0xff, 2,	    [39] = 1
	};
	uint8_t message[24] = { type, [4] = 0xa0, [8] = 0xfe, [9] = 0x80, [23] = 1 };

	ip[5] = (uint8_t)(sizeof(message) + strlen(MARKER) + strlen(name));
	add(f, ip, sizeof(ip));
	add(f, message, sizeof(message));
	add(f, MARKER, strlen(MARKER));
	add(f, name, strlen(name));
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
	add_udp(&f, 7000, from, s->victim, name);
	transmit(s, &f);
}

static void send_tagged(const struct sender *s)
{
	static const uint8_t tag[4] = { 0, 0, 0x08, 0x00 }; /* VLAN 0, then IPv4 */
	struct frame f;

	add_ethernet(&f, gateway_mac, s->own_mac, ETH_P_8021Q);
	add(&f, tag, sizeof(tag));
	add_udp(&f, 7000, s->own, s->victim, "vlan");
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

/* What only a router, a DHCP server or a neighbour may say. */
static void send_announcements(const struct sender *s)
{
	static const uint8_t all_nodes[6] = { 0x33, 0x33, 0, 0, 0, 1 };
	static const struct {
		uint8_t type;
		const char *name;
	} messages[] = { { 134, "router6" }, { 136, "neighbour6" }, { 137, "redirect6" } };
	static const uint8_t redirect[8] = { 5, 1 }, router[8] = { 9 };
	struct frame f;

	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		add_ethernet(&f, all_nodes, s->own_mac, ETH_P_IPV6);
		add_icmp6(&f, s->own_mac, messages[i].type, messages[i].name);
		transmit(s, &f);
	}
	add_ethernet(&f, gateway_mac, s->own_mac, ETH_P_IP);
	add_ip4(&f, IPPROTO_ICMP, redirect, s->own, s->victim, "redirect");
	transmit(s, &f);
	add_ethernet(&f, gateway_mac, s->own_mac, ETH_P_IP);
	add_ip4(&f, IPPROTO_ICMP, router, s->own, s->victim, "router");
	transmit(s, &f);
	add_ethernet(&f, gateway_mac, s->own_mac, ETH_P_IP);
	add_udp(&f, 67, s->own, s->victim, "dhcp-server");
	transmit(s, &f);
}

/* A packet with the virtio header that the driver hands on to the host. */
static void transmit_offloaded(const struct sender *s, const struct virtio_net_hdr *header,
			       const struct frame *f)
{
	uint8_t bytes[sizeof(*header) + sizeof(f->bytes)];
	int is_on = 1, fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));

	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &is_on, sizeof(is_on)) < 0)
		die("packet socket with virtio headers");
	memcpy(bytes, header, sizeof(*header));
	memcpy(bytes + sizeof(*header), f->bytes, f->length);
	if (sendto(fd, bytes, sizeof(*header) + f->length, 0, (const struct sockaddr *)&s->address,
		   sizeof(s->address)) < 0)
		perror("send with offloads");
	close(fd);
}

/* A checksum that goes into the UDP port, and segments of one byte. */
static void send_offloads(const struct sender *s)
{
	const struct virtio_net_hdr port = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					     .csum_start = 34,
					     .csum_offset = 2 };
	const struct virtio_net_hdr segments = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
						 .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
						 .hdr_len = 54,
						 .gso_size = 1,
						 .csum_start = 34,
						 .csum_offset = 16 };
	struct frame f;

	add_ethernet(&f, gateway_mac, s->own_mac, ETH_P_IP);
	add_udp(&f, 7000, s->own, s->victim, "checksum");
	transmit_offloaded(s, &port, &f);
	add_ethernet(&f, gateway_mac, s->own_mac, ETH_P_IP);
	add_ip4(&f, IPPROTO_TCP, "\x1b\x58\x1b\x58\0\0\0\1", s->own, s->victim, "segments");
	/* The marker lies in what is TCP's header and first bytes; the header has 20. */
	f.bytes[46] = 0x50;
	transmit_offloaded(s, &segments, &f);
}

static void flood(const struct sender *s)
{
	static const uint8_t wrong_mac[6] = { 0x06, 1, 2, 3, 4, 5 };
	struct frame f;

	add_ethernet(&f, gateway_mac, wrong_mac, ETH_P_IP);
	add_udp(&f, 7000, s->own, s->victim, "flood");
	for (int i = 0; i < FLOOD_FRAMES; i++)
		sendto(s->fd, f.bytes, f.length, 0, (const struct sockaddr *)&s->address,
		       sizeof(s->address));
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
	send_announcements(s);
	send_offloads(s);
}

static int run_send(const char *own, const char *victim, int rounds)
{
	struct sender s = { .own = inet_addr(own), .victim = inet_addr(victim) };

	open_interface(&s);
	flood(&s);
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
