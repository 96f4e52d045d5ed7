/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that may pass: to neighbours, at a rate, to and from the host. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/system/net_scene.h"

enum { PARTIAL = VIRTIO_NET_HDR_F_NEEDS_CSUM, TSO4 = VIRTIO_NET_HDR_GSO_TCPV4 };

static void test_neighbours(struct net *net)
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

void test_lawful(struct net *net)
{
	test_neighbours(net);
	test_rate(net);
	test_tenants(net);
	test_other_address();
	test_gateway();
	test_host();
}
