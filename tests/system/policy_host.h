/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host, its VMs and the world, for policy_driver.c. Each VM is a network namespace of its own,
 * whose frames this program carries to and from a guarded tap of the host, so that all sockets are
 * real; another namespace is the world. Nothing waits for a frame that must not come: what was sent
 * later, and must come, is behind it.
 */
#ifndef STOKER_TESTS_POLICY_HOST_H
#define STOKER_TESTS_POLICY_HOST_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "net/net.h"
#include "tests/system/driver.h"

unsigned if_nametoindex(const char *name);

enum { FRAME_MAX = 4096, WAIT_MS = 30000, FENCE_PORT = 7, PATIENCE_MS = 5, WORLD_FD = 100 };

/* --- places -------------------------------------------------------------------------------------
 */

/* Where sockets are: the host, a VM, or the world. */
struct place {
	struct net_tap tap; /* of a VM */
	const char *ip4, *ip6;
	int netns;
	int host_fd, guest_fd; /* the two ends of a VM's wire */
	int capture;	       /* sees what arrives */
	struct strv egress, ingress, ports;
};

static struct place vms[] = {
	{ { "stka", 1, 100, { 2, 0, 0, 0, 0, 0xa } }, "10.20.0.10", "fd00:20::10" },
	{ { "stkb", 2, 100, { 2, 0, 0, 0, 0, 0xb } }, "10.20.0.11", "fd00:20::11" },
	{ { "stkx", 3, 200, { 2, 0, 0, 0, 0, 0xc } }, "10.30.0.10", "fd00:30::10" },
};

enum { VMS = sizeof(vms) / sizeof(vms[0]) };

static struct place *const vm_a = &vms[0], *const vm_b = &vms[1], *const vm_x = &vms[2];
static struct place host = { .ip4 = "192.0.2.1", .ip6 = "fd00:ffff::1" };
static struct place world = { .ip4 = "192.0.2.9", .ip6 = "fd00:ffff::9" };

static char bpf_root[] = "/tmp/stoker-policy.XXXXXX";
static char bpf_dir[64];
static struct settings settings = { .bpf_dir = bpf_dir };
static struct net *net;
static int fence = -1;

static void enter(const struct place *place)
{
	must_errno(setns(place->netns, CLONE_NEWNET));
}

static int here(void)
{
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	must_errno(fd);
	return fd;
}

static int socket_in(const struct place *place, int family, int type, int protocol)
{
	int fd;

	enter(place);
	fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
	must_errno(fd);
	enter(&host);
	return fd;
}

static void capture(struct place *place, const char *device)
{
	struct sockaddr_ll own = { .sll_family = AF_PACKET, .sll_protocol = htons(0x0003) };

	place->capture = socket_in(place, AF_PACKET, SOCK_RAW, htons(0x0003));
	enter(place);
	own.sll_ifindex = (int)if_nametoindex(device);
	enter(&host);
	must_errno(bind(place->capture, (struct sockaddr *)&own, sizeof(own)));
}

static void make_world(void)
{
	command("ip link add uplink type veth peer name wire");
	must_errno(unshare(CLONE_NEWNET));
	world.netns = here();
	enter(&host);
	/* By a descriptor that the shell has, too: the namespace has no name. */
	must_errno(dup2(world.netns, WORLD_FD));
	command("ip link set wire netns /proc/self/fd/100");
	command("ip link set lo up && ip link set uplink up &&"
		" ip address add 192.0.2.1/24 dev uplink && ip route add default via 192.0.2.9 &&"
		" ip -6 address add fd00:ffff::1/64 dev uplink nodad &&"
		" ip -6 route add default via fd00:ffff::9");
	/* As an operator lets answers from the world in: stokerd(8). */
	command("cd /proc/sys/net && echo 1 >ipv4/conf/uplink/forwarding &&"
		" if [ -e ipv6/conf/uplink/force_forwarding ]; then"
		" echo 1 >ipv6/conf/uplink/force_forwarding;"
		" else echo 1 >ipv6/conf/all/forwarding; fi");
	enter(&world);
	/* It knows the way to the VMs: what keeps it from them is the host. */
	command("ip link set lo up && ip link set wire up &&"
		" ip address add 192.0.2.9/24 dev wire && ip address add 198.51.100.7/32 dev lo &&"
		" ip address add 100.100.100.200/32 dev lo &&"
		" ip -6 address add fd00:ffff::9/64 dev wire nodad &&"
		" ip -6 address add 2001:db8:7::7/128 dev lo nodad &&"
		" ip -6 address add fd00:ec2::254/128 dev lo nodad &&"
		" ip route add default via 192.0.2.1 && ip -6 route add default via fd00:ffff::1");
	enter(&host);
	capture(&world, "wire");
}

static void make_guest(struct place *vm)
{
	struct ifreq request = { .ifr_name = "eth0",
				 .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int header_bytes = 12;
	char line[512];

	must_errno(unshare(CLONE_NEWNET));
	vm->netns = here();
	vm->guest_fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	must_errno(vm->guest_fd);
	must_errno(ioctl(vm->guest_fd, TUNSETIFF, &request));
	must_errno(ioctl(vm->guest_fd, TUNSETVNETHDRSZ, &header_bytes));
	snprintf(line, sizeof(line),
		 "echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad && ip link set lo up &&"
		 " ip link set eth0 address 02:00:00:00:00:%02x up &&"
		 " ip address add %s/32 dev eth0 && ip -6 address add %s/128 dev eth0 nodad &&"
		 " ip route add 169.254.1.1 dev eth0 scope link &&"
		 " ip route add default via 169.254.1.1 && ip -6 route add default via fe80::1 "
		 "dev eth0",
		 vm->tap.mac[5], vm->ip4, vm->ip6);
	command(line);
	enter(&host);
	capture(vm, "eth0");
	vm->tap.addresses.count = 2;
	address_parse(vm->ip4, &vm->tap.addresses.items[0]);
	address_parse(vm->ip6, &vm->tap.addresses.items[1]);
	vm->tap.egress = &vm->egress;
	vm->tap.ingress = &vm->ingress;
	vm->tap.ports = &vm->ports;
	must(net_tap_create(net, &vm->tap, &vm->host_fd, &err));
}

static void set_up(void)
{
	cpu_set_t first;

	/* On one CPU frames stay in order on veth devices, too. */
	sched_getaffinity(0, sizeof(first), &first);
	for (int cpu = 0, is_found = 0; cpu < CPU_SETSIZE; cpu++) {
		if (is_found)
			CPU_CLR(cpu, &first);
		is_found |= CPU_ISSET(cpu, &first);
	}
	must_errno(sched_setaffinity(0, sizeof(first), &first));
	must_errno(unshare(CLONE_NEWNS | CLONE_NEWNET));
	must_errno(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	if (!mkdtemp(bpf_root))
		bail_out("mkdtemp", strerror(errno));
	must_errno(mount("bpf", bpf_root, "bpf", 0, NULL));
	snprintf(bpf_dir, sizeof(bpf_dir), "%s/stoker", bpf_root);
	host.netns = here();
	make_world();
	must(net_open(&settings, &net, &err));
	for (size_t i = 0; i < VMS; i++)
		make_guest(&vms[i]);
	fence = socket_in(&host, AF_INET, SOCK_DGRAM, 0);
}

/* --- frames -------------------------------------------------------------------------------------
 */

static bool carry(int from, int to)
{
	uint8_t bytes[FRAME_MAX];
	ssize_t length = read(from, bytes, sizeof(bytes));

	if (length < 0 && errno != EAGAIN)
		bail_out("a wire", strerror(errno));
	/* What the guard drops is written nevertheless. */
	if (length > 0 && write(to, bytes, (size_t)length) < 0)
		bail_out("a wire", strerror(errno));
	return length > 0;
}

/* Until nothing is under way. A write to a tap returns when the host has dealt with the frame. */
static void carry_all(void)
{
	bool is_moving = true;

	while (is_moving) {
		is_moving = false;
		for (size_t i = 0; i < VMS; i++) {
			is_moving |= carry(vms[i].guest_fd, vms[i].host_fd);
			is_moving |= carry(vms[i].host_fd, vms[i].guest_fd);
		}
	}
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Carries until the descriptor is ready; false: in all that time it was not. */
static bool wait_ready(int fd, short events)
{
	uint64_t end = now_ms() + WAIT_MS;
	struct pollfd poll_fd = { .fd = fd, .events = events };

	do {
		carry_all();
		if (poll(&poll_fd, 1, PATIENCE_MS) == 1)
			return true;
	} while (now_ms() < end);
	return false;
}

static uint64_t next_marker(void)
{
	static uint64_t marker = 0x706f6c6963790000;

	return ++marker;
}

static bool is_opening(const uint8_t *frame, size_t length)
{
	bool is_ip4 = length >= 54 && frame[12] == 0x08 && frame[13] == 0 && frame[23] == 6;
	bool is_ip6 = length >= 74 && frame[12] == 0x86 && frame[13] == 0xdd && frame[20] == 6;

	return (is_ip4 && (frame[47] & 0x12) == 2) || (is_ip6 && (frame[67] & 0x12) == 2);
}

/* Reads what has arrived there until the host's own datagram does. Was the marker in it, or, with
 * none, the beginning of a TCP connection? */
static bool has_arrived(const struct place *at, uint64_t marker)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(FENCE_PORT) };
	uint64_t end = next_marker();
	bool is_found = false;
	uint8_t bytes[FRAME_MAX];

	carry_all();
	inet_pton(AF_INET, at->ip4, &to.sin_addr);
	must_errno(sendto(fence, &end, sizeof(end), 0, (struct sockaddr *)&to, sizeof(to)));
	for (;;) {
		struct sockaddr_ll from;
		socklen_t from_length = sizeof(from);
		ssize_t length;

		if (!wait_ready(at->capture, POLLIN))
			bail_out(at->ip4, "the host's own datagram did not arrive");
		length = recvfrom(at->capture, bytes, sizeof(bytes), 0, (struct sockaddr *)&from,
				  &from_length);
		must_errno(length);
		if (from.sll_pkttype == PACKET_OUTGOING)
			continue;
		if (marker ? memmem(bytes, (size_t)length, &marker, sizeof(marker)) != NULL
			   : is_opening(bytes, (size_t)length))
			is_found = true;
		if (memmem(bytes, (size_t)length, &end, sizeof(end)))
			return is_found;
	}
}

/* --- sockets ------------------------------------------------------------------------------------
 */

struct end {
	struct sockaddr_storage address;
	socklen_t length;
	int family;
};

/* Text of either family; NULL: any address, of IPv6. */
static struct end make_end(const char *text, unsigned port)
{
	struct end end = { .family = text && !strchr(text, ':') ? AF_INET : AF_INET6 };
	struct sockaddr_in *in = (struct sockaddr_in *)&end.address;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&end.address;

	end.address.ss_family = (sa_family_t)end.family;
	if (end.family == AF_INET) {
		end.length = sizeof(*in);
		in->sin_port = htons((uint16_t)port);
		inet_pton(AF_INET, text, &in->sin_addr);
	} else {
		end.length = sizeof(*in6);
		in6->sin6_port = htons((uint16_t)port);
		inet_pton(AF_INET6, text ? text : "::", &in6->sin6_addr);
	}
	return end;
}

/* "tcp/443", "udp/53", "icmp". */
struct flow {
	int type, protocol;
	unsigned port;
};

static struct flow make_flow(const char *text, int family)
{
	struct flow flow = { SOCK_STREAM, 0, 0 };
	const char *slash = strchr(text, '/');

	if (strncmp(text, "udp", 3) == 0)
		flow.type = SOCK_DGRAM;
	if (strcmp(text, "icmp") == 0) {
		flow.type = SOCK_RAW;
		flow.protocol = family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	}
	if (slash)
		flow.port = (unsigned)atoi(slash + 1);
	return flow;
}

/* Whether what would open the connection arrives there. */
static bool opens(const struct place *from, const char *to, const char *what,
		  const struct place *at)
{
	struct flow flow = make_flow(what, strchr(to, ':') ? AF_INET6 : AF_INET);
	struct end end = make_end(to, flow.port);
	int fd = socket_in(from, end.family, flow.type, flow.protocol);
	uint64_t marker = flow.type == SOCK_STREAM ? 0 : next_marker();
	/* An echo request (RFC 792, RFC 4443); of IPv6 the kernel makes the checksum. */
	uint8_t echo[16] = { end.family == AF_INET ? 8 : 128, 0, 0, 0, 0, 1, 0, 1 };
	bool is_found;

	has_arrived(at, 1);
	if (flow.type == SOCK_RAW) {
		uint32_t sum = 0;

		memcpy(echo + 8, &marker, sizeof(marker));
		for (size_t i = 0; i < sizeof(echo); i += 2)
			sum += (uint32_t)(echo[i] << 8 | echo[i + 1]);
		while (sum >> 16)
			sum = (sum & 0xffff) + (sum >> 16);
		echo[2] = (uint8_t)(~sum >> 8);
		echo[3] = (uint8_t)~sum;
		must_errno(sendto(fd, echo, sizeof(echo), 0, (struct sockaddr *)&end.address,
				  end.length));
	} else if (flow.type == SOCK_DGRAM) {
		must_errno(sendto(fd, &marker, sizeof(marker), 0, (struct sockaddr *)&end.address,
				  end.length));
	} else if (connect(fd, (struct sockaddr *)&end.address, end.length) < 0 &&
		   errno != EINPROGRESS) {
		bail_out(to, strerror(errno));
	}
	is_found = has_arrived(at, marker);
	close(fd);
	return is_found;
}

/* A conversation: who called, who answered, and whom the answerer took for the caller. */
struct talk {
	int caller, answerer;
	char seen[INET6_ADDRSTRLEN];
};

static void end_talk(struct talk *talk)
{
	close(talk->caller);
	close(talk->answerer);
}

static bool is_heard(int from, int to)
{
	uint64_t marker = next_marker(), heard = 0;

	return send(from, &marker, sizeof(marker), MSG_NOSIGNAL) == sizeof(marker) &&
	       wait_ready(to, POLLIN) && recv(to, &heard, sizeof(heard), 0) == sizeof(heard) &&
	       heard == marker;
}

/* Words in both directions. */
static bool goes_on(const struct talk *talk)
{
	return is_heard(talk->caller, talk->answerer) && is_heard(talk->answerer, talk->caller);
}

static bool remember_caller(struct talk *talk, const struct sockaddr_storage *caller)
{
	const struct in6_addr *ip6 = &((const struct sockaddr_in6 *)caller)->sin6_addr;
	const void *ip4 = &((const struct sockaddr_in *)caller)->sin_addr;

	if (caller->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(ip6))
		ip4 = ip6->s6_addr + 12;
	else if (caller->ss_family == AF_INET6)
		return inet_ntop(AF_INET6, ip6, talk->seen, sizeof(talk->seen)) != NULL;
	return inet_ntop(AF_INET, ip4, talk->seen, sizeof(talk->seen)) != NULL;
}

/* The first word comes from the caller, and makes the answerer's socket that of the conversation.
 */
static bool answer(struct talk *talk, int listener, int type)
{
	struct sockaddr_storage caller;
	socklen_t length = sizeof(caller);
	uint64_t word;

	if (type == SOCK_STREAM) {
		talk->answerer = accept4(listener, (struct sockaddr *)&caller, &length,
					 SOCK_NONBLOCK | SOCK_CLOEXEC);
		return talk->answerer >= 0 && remember_caller(talk, &caller);
	}
	talk->answerer = dup(listener);
	if (recvfrom(listener, &word, sizeof(word), 0, (struct sockaddr *)&caller, &length) < 0 ||
	    connect(talk->answerer, (struct sockaddr *)&caller, length) < 0)
		return false;
	return remember_caller(talk, &caller);
}

/* Calls `to`, which is to be answered at that port there. */
static bool begin_talk(struct talk *talk, const struct place *from, const char *to,
		       const char *what, const struct place *at, unsigned at_port)
{
	struct flow flow = make_flow(what, AF_INET);
	struct end end = make_end(to, flow.port);
	/* The world has several addresses, and must answer by the one that was called. */
	struct end own = make_end(at == &world ? to : NULL, at_port);
	int listener = socket_in(at, own.family, flow.type, 0), yes = 1;
	uint64_t word = next_marker();
	bool is_begun;

	*talk = (struct talk){ .answerer = -1 };
	talk->caller = socket_in(from, end.family, flow.type, 0);
	must_errno(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)));
	must_errno(bind(listener, (struct sockaddr *)&own.address, own.length));
	if (flow.type == SOCK_STREAM)
		must_errno(listen(listener, 1));
	if (connect(talk->caller, (struct sockaddr *)&end.address, end.length) < 0 &&
	    errno != EINPROGRESS)
		bail_out(to, strerror(errno));
	if (flow.type == SOCK_DGRAM)
		must_errno(send(talk->caller, &word, sizeof(word), 0));
	is_begun = wait_ready(listener, POLLIN) && answer(talk, listener, flow.type) &&
		   wait_ready(talk->caller, POLLOUT) && goes_on(talk);
	close(listener);
	return is_begun;
}

static bool talks(const struct place *from, const char *to, const char *what,
		  const struct place *at, unsigned at_port, const char *seen)
{
	struct talk talk;
	bool is_right = begin_talk(&talk, from, to, what, at, at_port) &&
			(!seen || strcmp(talk.seen, seen) == 0);

	if (!is_right)
		printf("# %s %s: the caller was seen as '%s'\n", to, what, talk.seen);
	end_talk(&talk);
	return is_right;
}

#endif
