/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two million frames from one VM to another through real taps, while another process changes the
 * policies of both, in one transaction after the other: by the difference, and every few times as
 * the next daemon does, from nothing. What must never pass is denied by the policies before and
 * after a change, but not by a mixture of their rules, and the other way round. Speaks TAP. Needs
 * root.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/virtio_net.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "net/nat.h"
#include "tests/system/driver.h"

enum {
	FRAMES = 2000000,
	FLIPS_MIN = 40,
	REFILLS = 5,	    /* one of so many changes is from nothing */
	BATCH = 480,	    /* fewer than a tap's queue holds */
	PUBLISHED = 12,	    /* batches whose frames go to a published port: connections, all */
	PUBLISHED_MAX = 48, /* for so many there is room among the kernel's connections */
	LENGTH4 = 42,
	LENGTH6 = 62,
};

/* --- what must pass -----------------------------------------------------------------------------
 */

/* By port: what both policies of a side deny, what both allow, and what tells them apart. */
enum kind {
	EGRESS_NEVER,
	EGRESS_ALWAYS,
	EGRESS_EITHER,
	INGRESS_NEVER,
	INGRESS_ALWAYS,
	INGRESS_EITHER,
	KINDS,
};

enum { FIRST_PORT = 1001, HOST_PORT = 8080, VM_PORT = 81 };

static const char *const names[KINDS] = {
	[EGRESS_NEVER] = "denied by both policies of the sender",
	[EGRESS_ALWAYS] = "allowed by both",
	[EGRESS_EITHER] = "allowed by one of them",
	[INGRESS_NEVER] = "denied by both policies of the receiver",
	[INGRESS_ALWAYS] = "allowed by both",
	[INGRESS_EITHER] = "allowed by one of them",
};

static char *egress_a[] = { "default allow", "deny 10.20.0.0/24 udp/1001",
			    "deny fd00:20::/64 udp/1001" };
static char *egress_b[] = { "default deny", "allow 10.20.0.0/24 udp/1002 udp/1004-1006 udp/81-82",
			    "allow fd00:20::/64 udp/1002 udp/1004-1006 udp/81-82" };
static char *ingress_a[] = { "default allow", "deny 10.20.0.0/24 udp/1004",
			     "deny fd00:20::/64 udp/1004" };
static char *ingress_b[] = { "default deny", "allow 10.20.0.0/24 udp/1005 udp/1001-1003 udp/81-82",
			     "allow fd00:20::/64 udp/1005 udp/1001-1003 udp/81-82" };
static char *ports_a[] = { "8080:81/udp" };
static char *ports_b[] = { "8080:82/udp" };

#define LIST(array)                                                           \
	{                                                                     \
		.items = (array), .count = sizeof(array) / sizeof((array)[0]) \
	}

static const struct strv egress[] = { LIST(egress_a), LIST(egress_b) };
static const struct strv ingress[] = { LIST(ingress_a), LIST(ingress_b) };
static const struct strv ports[] = { LIST(ports_a), LIST(ports_b) };

static struct net_tap sender = { "stka", 1, 100, { 2, 0, 0, 0, 0, 0xa } };
static struct net_tap receiver = { "stkb", 2, 100, { 2, 0, 0, 0, 0, 0xb } };

static void choose(unsigned which)
{
	sender.egress = &egress[which];
	receiver.ingress = &ingress[which];
	receiver.ports = &ports[which];
}

/* --- changing it --------------------------------------------------------------------------------
 */

struct shared {
	atomic_bool is_over;
	atomic_uint flips, refills;
};

static void set_both(struct nat *nat, unsigned which)
{
	choose(which);
	must(nat_set(nat, &sender, &err));
	must(nat_set(nat, &receiver, &err));
	must(nat_commit(nat, &err));
}

static void flip(struct shared *shared)
{
	struct nat *nat = nat_new();

	for (unsigned i = 1; !atomic_load(&shared->is_over); i++) {
		if (i % REFILLS == 0) {
			nat_free(nat);
			nat = nat_new();
			atomic_fetch_add(&shared->refills, 1);
		}
		set_both(nat, i % 2);
		atomic_fetch_add(&shared->flips, 1);
	}
	nat_free(nat);
	exit(0);
}

/* --- frames -------------------------------------------------------------------------------------
 */

struct frame {
	struct virtio_net_hdr_v1 header;
	uint8_t bytes[LENGTH6];
	size_t length;
};

static void put16(uint8_t *to, unsigned value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
}

/* A UDP datagram without data; its checksum is the host's to make. */
static struct frame make_frame(bool is_ip4, const char *to, unsigned from_port, unsigned to_port)
{
	static const uint8_t macs[] = { 2, 0x53, 0x74, 0x6b, 0, 0xfe, 2, 0, 0, 0, 0, 0xa };
	static const uint8_t ip4[] = { 0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17 };
	static const uint8_t ip6[] = { 0x60, 0, 0, 0, 0, 8, 17, 64 };
	struct frame frame = { .length = is_ip4 ? LENGTH4 : LENGTH6 };
	uint8_t *ip = frame.bytes + 14, *udp = ip + (is_ip4 ? 20 : 40);

	memcpy(frame.bytes, macs, sizeof(macs));
	put16(frame.bytes + 12, is_ip4 ? 0x0800 : 0x86dd);
	memcpy(ip, is_ip4 ? ip4 : ip6, is_ip4 ? sizeof(ip4) : sizeof(ip6));
	if (is_ip4) {
		uint32_t sum = 0;

		inet_pton(AF_INET, "10.20.0.10", ip + 12);
		inet_pton(AF_INET, to, ip + 16);
		for (size_t i = 0; i < 20; i += 2)
			sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
		put16(ip + 10, (uint16_t) ~((sum & 0xffff) + (sum >> 16)));
	} else {
		inet_pton(AF_INET6, "fd00:20::10", ip + 8);
		inet_pton(AF_INET6, to, ip + 24);
	}
	put16(udp, from_port);
	put16(udp + 2, to_port);
	put16(udp + 4, 8);
	frame.header = (struct virtio_net_hdr_v1){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
						   .csum_start = is_ip4 ? 34 : 54,
						   .csum_offset = 6 };
	return frame;
}

static void send_frame(int tap, const struct frame *frame)
{
	uint8_t bytes[sizeof(frame->header) + LENGTH6];
	size_t length = sizeof(frame->header) + frame->length;

	memcpy(bytes, &frame->header, sizeof(frame->header));
	memcpy(bytes + sizeof(frame->header), frame->bytes, frame->length);
	if (write(tap, bytes, length) != (ssize_t)length)
		bail_out("a frame", strerror(errno));
}

struct counts {
	uint64_t sent[KINDS], passed[KINDS];
	uint64_t published, to_either[2]; /* by the port that they arrived at */
};

/* A write to a tap returns when the host has dealt with the frame, so all that passed is there. */
static void count_arrivals(int tap, struct counts *counts)
{
	uint8_t bytes[2048];
	ssize_t length;

	while ((length = read(tap, bytes, sizeof(bytes))) > 0) {
		const uint8_t *frame = bytes + sizeof(struct virtio_net_hdr_v1);
		const uint8_t *udp = frame + (frame[12] == 0x08 ? 34 : 54);
		unsigned port = (unsigned)(udp[2] << 8 | udp[3]);

		if (port >= FIRST_PORT && port < FIRST_PORT + KINDS)
			counts->passed[port - FIRST_PORT]++;
		else if (port == VM_PORT || port == VM_PORT + 1)
			counts->to_either[port - VM_PORT]++;
	}
	if (errno != EAGAIN)
		bail_out("the receiver", strerror(errno));
}

static void send_batch(int from, int to, const struct frame frames[2 * KINDS],
		       struct counts *counts)
{
	for (unsigned i = 0; i < BATCH; i++) {
		send_frame(from, &frames[i % (2 * KINDS)]);
		counts->sent[i % (2 * KINDS) / 2]++;
	}
	count_arrivals(to, counts);
}

/* Each frame is the first of a connection: others keep the port that was found for it. */
static void send_published(int from, int to, struct counts *counts)
{
	for (unsigned i = 0; i < BATCH; i++, counts->published++) {
		bool is_ip4 = i % 2;
		struct frame frame = make_frame(is_ip4, is_ip4 ? "10.99.0.1" : "fd00:99::1",
						(unsigned)(2000 + counts->published), HOST_PORT);

		send_frame(from, &frame);
	}
	count_arrivals(to, counts);
}

/* --- the run ------------------------------------------------------------------------------------
 */

static char bpf_root[] = "/tmp/stoker-flips.XXXXXX";
static char bpf_dir[64];

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
	sender.addresses.count = receiver.addresses.count = 2;
	address_parse("10.20.0.10", &sender.addresses.items[0]);
	address_parse("fd00:20::10", &sender.addresses.items[1]);
	address_parse("10.20.0.11", &receiver.addresses.items[0]);
	address_parse("fd00:20::11", &receiver.addresses.items[1]);
	choose(0);
}

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Frames have met both policies of a side, and both places of a port. */
static bool has_met_both(const struct counts *counts)
{
	static const enum kind either[] = { EGRESS_EITHER, INGRESS_EITHER };

	for (size_t i = 0; i < 2; i++)
		if (counts->passed[either[i]] == 0 ||
		    counts->passed[either[i]] == counts->sent[either[i]])
			return false;
	return (counts->to_either[0] && counts->to_either[1]) ||
	       counts->published >= PUBLISHED_MAX * BATCH;
}

static void run(int from, int to, struct shared *shared, struct counts *counts)
{
	struct frame frames[2 * KINDS];
	uint64_t start = clock_ns(), sent = 0, every = FRAMES / BATCH / PUBLISHED;

	for (unsigned kind = 0; kind < KINDS; kind++) {
		frames[2 * kind] = make_frame(true, "10.20.0.11", 999, FIRST_PORT + kind);
		frames[2 * kind + 1] = make_frame(false, "fd00:20::11", 999, FIRST_PORT + kind);
	}
	for (uint64_t i = 0;
	     sent < FRAMES || atomic_load(&shared->flips) < FLIPS_MIN || !has_met_both(counts);
	     i++) {
		send_batch(from, to, frames, counts);
		sent += BATCH;
		if (i % every == 0 && counts->published < PUBLISHED_MAX * BATCH)
			send_published(from, to, counts);
	}
	printf("# %llu frames, %u changes of policy, of them %u from nothing, in %.1f s\n",
	       (unsigned long long)sent, atomic_load(&shared->flips), atomic_load(&shared->refills),
	       (double)(clock_ns() - start) / 1e9);
}

static void judge(const struct counts *counts)
{
	for (enum kind kind = 0; kind < KINDS; kind++) {
		uint64_t sent = counts->sent[kind], passed = counts->passed[kind];
		bool is_right = kind % 3 == EGRESS_NEVER    ? passed == 0
				: kind % 3 == EGRESS_ALWAYS ? passed == sent
							    : passed > 0 && passed < sent;

		ok(is_right, "%s: %llu passed of %llu", names[kind], (unsigned long long)passed,
		   (unsigned long long)sent);
	}
	ok(counts->to_either[0] + counts->to_either[1] == counts->published &&
		   counts->to_either[0] && counts->to_either[1],
	   "published at one port, then at another: %llu and %llu of %llu arrived",
	   (unsigned long long)counts->to_either[0], (unsigned long long)counts->to_either[1],
	   (unsigned long long)counts->published);
}

int main(void)
{
	struct settings settings = { .bpf_dir = bpf_dir };
	struct counts counts = { 0 };
	int from, to, status;
	struct shared *shared;
	struct net *net;
	pid_t pid;

	if (geteuid() != 0) {
		printf("1..0 # SKIP network namespaces and BPF need root\n");
		return 0;
	}
	set_up();
	must(net_open(&settings, &net, &err));
	must(net_tap_create(net, &sender, &from, &err));
	must(net_tap_create(net, &receiver, &to, &err));
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED)
		bail_out("mmap", strerror(errno));
	pid = fork();
	must_errno(pid);
	if (pid == 0)
		flip(shared);
	run(from, to, shared, &counts);
	atomic_store(&shared->is_over, true);
	waitpid(pid, &status, 0);
	ok(status == 0, "no change of policy failed");
	judge(&counts);
	close(from);
	close(to);
	must(net_tap_destroy(net, sender.name, sender.slot, &err));
	must(net_tap_destroy(net, receiver.name, receiver.slot, &err));
	must(net_remove(net, &err));
	net_close(net);
	umount2(bpf_root, MNT_DETACH);
	rmdir(bpf_root);
	printf("1..%d\n", test_count);
	return failure_count != 0;
}
