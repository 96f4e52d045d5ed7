/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a frame costs: the processor time of the write() to a tap that carries it through filter and
 * stack to another tap, where a program throws it away. Each design stands in a network namespace
 * of its own; all are measured by turns. Routed taps: nothing, the guard, nftables at the device.
 * Taps on a bridge: nothing, a chain per NIC as Incus writes it, ebtables as libvirt's
 * clean-traffic does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <linux/virtio_net.h>
#include <net/if.h>

#include "base/cleanup.h"
#include "net/nat.h"
#include "net/rtnl.h"
#include "net/tap.h"
#include "net/tcx.h"
#include "tests/bench/bench.h"
#include "tests/unit/guard_frames.h"

enum {
	ROUNDS_MAX = 1001,
	SLICE = 2000, /* frames of a turn */
	SLICE_GSO = 500,
	GSO_BYTES = 60000,
	PATH_REPEAT = 20000,
	HEADER = sizeof(struct virtio_net_hdr_v1),
};

enum load { LAWFUL, HOSTILE, SEGMENTS, LOADS };
static const char *const load_names[] = { "lawful 60 B", "hostile 60 B", "lawful 60 kB" };

struct design {
	const char *name;
	unsigned vms;	     /* that it has rules for */
	const char *against; /* the design whose cost is 1 */
	void (*make)(struct design *design);
	bool is_bridge, has_gso;
	int fd, out_fd;
	char out[16];
	double costs[LOADS][ROUNDS_MAX];
	double medians[LOADS];
};

static struct guard *guards[8];
static char guard_dirs[8][sizeof(bpf_dir) + 8];
static unsigned guard_count;

/* --- designs ------------------------------------------------------------------------------------
 */

static struct rtnl_link make_tap(struct design *design)
{
	struct rtnl_link link = { .name = "stkt" };
	struct error err;

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	command("ip link set lo up");
	must(tap_create(link.name, 0, &design->fd, &link.ifindex, &err));
	return link;
}

/* The way out: a guard that knows no VM drops what is to leave by it. `line` is a command that
 * knows it as $out. */
static void make_out(struct design *design, const char *line)
{
	static char drop_dir[sizeof(bpf_dir) + 8];
	static struct guard *drop;
	static unsigned made;
	struct guard_options options = { .bpf_dir = drop_dir };
	struct error err;
	unsigned ifindex;

	snprintf(drop_dir, sizeof(drop_dir), "%s-out", bpf_dir);
	if (!drop)
		must(guard_open(&options, &drop, &err));
	snprintf(design->out, sizeof(design->out), "stko%u", made++);
	must(tap_create(design->out, 0, &design->out_fd, &ifindex, &err));
	must(guard_attach(drop, design->out, ifindex, &err));
	setenv("out", design->out, 1);
	command(line);
}

static void connect_tap(struct design *design)
{
	struct error err;

	make_out(design, "ip link set $out up && ip address add 192.0.2.1/24 dev $out &&"
			 " ip neighbour add 192.0.2.9 lladdr 02:00:00:00:00:99 dev $out"
			 " nud permanent");
	must(tap_configure("stkt", false, &err));
	command("ip link set stkt up && ip route add 10.0.0.2/32 dev stkt");
}

static void make_routed(struct design *design)
{
	make_tap(design);
	connect_tap(design);
}

static void make_guarded(struct design *design)
{
	struct rtnl_link link = make_tap(design);
	struct guard_vm vm = make_vm(SLOT, 1, IP_A, A6);
	struct guard_options options = { .bpf_dir = guard_dirs[guard_count] };
	struct guard *guard;
	struct error err;

	snprintf(guard_dirs[guard_count], sizeof(guard_dirs[0]), "%s%u", bpf_dir, guard_count);
	must(guard_open(&options, &guard, &err));
	guards[guard_count++] = guard;
	must(guard_set_vm(guard, link.ifindex, &vm, &err));
	for (uint32_t i = 1; i < design->vms; i++) {
		vm = make_vm(SLOT + i, 2 + i % 5, IP_B, B6);
		vm.mac[4] = (uint8_t)(i >> 8);
		vm.mac[3] = (uint8_t)i;
		vm.ip4[0] += i << 8;
		vm.ip6[1][3] += i << 8;
		must(guard_set_vm(guard, 100000 + i, &vm, &err));
	}
	must(guard_attach(guard, link.name, link.ifindex, &err));
	connect_tap(design);
}

/* As in a flood: the shield raised. */
static void make_shielded(struct design *design)
{
	struct error err;
	int link;

	make_guarded(design);
	must(guard_raise_shield(guards[guard_count - 1], "stkt", if_nametoindex("stkt"), &link,
				&err));
}

/* A program that passes everything: what the hook itself costs. Before Linux 6.6 it stays off. */
static void make_empty(struct design *design)
{
	const struct bpf_insn pass[] = {
		{ .code = BPF_ALU | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = NEXT },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	struct rtnl_link link = make_tap(design);
	int program = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "empty", "GPL", pass, 2, NULL);

	assert_true(program >= 0);
	if (tcx_attach(program, link.ifindex, TCX_SIDE_INGRESS) < 0)
		puts("# no TCX: the empty program is not attached");
	connect_tap(design);
}

static void make_bridged(struct design *design)
{
	make_tap(design);
	make_out(design, "ip link add br0 type bridge && ip link set br0 up &&"
			 " ip link set $out master br0 && ip link set $out up &&"
			 " ip link set stkt master br0 && ip link set stkt up &&"
			 " bridge fdb replace 02:00:00:00:00:0b dev $out master static");
}

/* The names and addresses of the VMs that rules are for; this one comes last. */
static void name_vm(unsigned i, unsigned count, char name[32], char mac[32], char ip[32])
{
	bool is_this = i + 1 == count;

	snprintf(name, 32, is_this ? "stkt" : "tap%u", i);
	snprintf(mac, 32, is_this ? "02:00:00:00:00:0a" : "02:00:00:01:%02x:%02x", i >> 8, i & 255);
	snprintf(ip, 32, is_this ? "10.0.0.2" : "10.1.%u.%u", i >> 8, i & 255);
}

/* Pipes what `write_rules` says for each VM into the command. */
static void load_rules(const char *loader, const char *before, const char *after, unsigned vms,
		       void (*write_rules)(FILE *to, const char *name, const char *mac,
					   const char *ip))
{
	FILE *to = popen(loader, "w");
	char name[32], mac[32], ip[32];

	assert_non_null(to);
	fputs(before, to);
	for (unsigned i = 0; i < vms; i++) {
		name_vm(i, vms, name, mac, ip);
		write_rules(to, name, mac, ip);
	}
	fputs(after, to);
	if (pclose(to) != 0)
		fail_msg("%s refuses the rules", loader);
}

static void write_netdev(FILE *to, const char *name, const char *mac, const char *ip)
{
	fprintf(to,
		"chain %s { type filter hook ingress device %s priority 0;\n"
		"ether saddr != %s drop\n arp saddr ether != %s drop\n arp saddr ip != %s drop\n"
		"ip saddr != %s drop\n meta protocol != { ip, arp } drop\n}\n",
		name, name, mac, mac, ip, ip);
}

static void make_netdev(struct design *design)
{
	make_tap(design);
	load_rules("nft -f -", "table netdev filter {\n", "}\n", 1, write_netdev);
	connect_tap(design);
}

static void write_chain(FILE *to, const char *name, const char *mac, const char *ip)
{
	fprintf(to,
		"chain fwd.%s { type filter hook forward priority -200; policy accept;\n"
		"iifname \"%s\" ether saddr != %s drop\n"
		"iifname \"%s\" ether type arp arp saddr ether != %s drop\n"
		"iifname \"%s\" ether type arp arp saddr ip != %s drop\n"
		"iifname \"%s\" ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp dport 67 accept\n"
		"iifname \"%s\" ether type ip ip saddr != %s drop\n"
		"iifname \"%s\" ether type != { arp, ip, ip6 } drop\n}\n",
		name, name, mac, name, mac, name, ip, name, name, ip, name);
}

static void make_chains(struct design *design)
{
	make_bridged(design);
	load_rules("nft -f -", "table bridge incus {\n", "}\n", design->vms, write_chain);
}

static void write_clean_traffic(FILE *to, const char *name, const char *mac, const char *ip)
{
	fprintf(to,
		":I-%s ACCEPT\n-A PREROUTING -i %s -j I-%s\n"
		"-A I-%s -s ! %s -j DROP\n"
		"-A I-%s -p IPv4 --ip-src 0.0.0.0 --ip-proto udp --ip-dport 67 -j RETURN\n"
		"-A I-%s -p IPv4 --ip-src ! %s -j DROP\n"
		"-A I-%s -p ARP --arp-mac-src ! %s -j DROP\n"
		"-A I-%s -p ARP --arp-ip-src ! %s -j DROP\n"
		"-A I-%s -p IPv4 -j RETURN\n-A I-%s -p ARP -j RETURN\n-A I-%s -j DROP\n",
		name, name, name, name, mac, name, name, ip, name, mac, name, ip, name, name, name);
}

static void make_ebtables(struct design *design)
{
	make_bridged(design);
	load_rules("ebtables-restore",
		   "*nat\n:PREROUTING ACCEPT\n:OUTPUT ACCEPT\n"
		   ":POSTROUTING ACCEPT\n",
		   "", design->vms, write_clean_traffic);
}

/* A host of stoker's has rules of its own, with and without a guard. */
static void load_host_rules(void)
{
	struct nat *nat = nat_new();
	struct error err;

	must(nat_commit(nat, &err));
	nat_free(nat);
}

static void make_ruled(struct design *design)
{
	make_routed(design);
	load_host_rules();
}

static void make_guarded_ruled(struct design *design)
{
	make_guarded(design);
	load_host_rules();
}

#define ROUTED "routed, no guard"
#define RULED  "host's rules, no guard"
#define BRIDGE "bridge, no filter"

static struct design designs[] = {
	{ ROUTED, 1, ROUTED, make_routed, .has_gso = true },
	{ "an empty program", 1, ROUTED, make_empty, .has_gso = true },
	{ "guard", 1, ROUTED, make_guarded, .has_gso = true },
	{ "guard", 100, ROUTED, make_guarded },
	{ "guard", 500, ROUTED, make_guarded },
	{ "guard and shield", 1, ROUTED, make_shielded, .has_gso = true },
	{ RULED, 1, RULED, make_ruled, .has_gso = true },
	{ "host's rules and guard", 1, RULED, make_guarded_ruled, .has_gso = true },
	{ "nftables netdev", 1, ROUTED, make_netdev, .has_gso = true },
	{ BRIDGE, 1, BRIDGE, make_bridged, .is_bridge = true },
	{ "nftables chain per NIC", 1, BRIDGE, make_chains, .is_bridge = true },
	{ "nftables chain per NIC", 100, BRIDGE, make_chains, .is_bridge = true },
	{ "nftables chain per NIC", 500, BRIDGE, make_chains, .is_bridge = true },
	{ "ebtables clean-traffic", 1, BRIDGE, make_ebtables, .is_bridge = true },
	{ "ebtables clean-traffic", 100, BRIDGE, make_ebtables, .is_bridge = true },
	{ "ebtables clean-traffic", 500, BRIDGE, make_ebtables, .is_bridge = true },
};

enum { DESIGNS = sizeof(designs) / sizeof(designs[0]) };

/* --- turns --------------------------------------------------------------------------------------
 */

static uint16_t header_sum(const uint8_t *ip)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < 20; i += 2)
		sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* The frame with its virtio header; its length. The hostile one has another's source MAC. */
static size_t make_load(uint8_t *bytes, enum load load, bool is_bridge)
{
	const struct virtio_net_hdr_v1 segments = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = 54,
		.gso_size = 1448,
		.csum_start = 34,
		.csum_offset = 16,
	};
	uint8_t *frame = bytes + HEADER;
	size_t length = load == SEGMENTS ? GSO_BYTES : 60;
	uint16_t sum;

	memset(bytes, 0, HEADER + length);
	if (load == SEGMENTS)
		memcpy(bytes, &segments, HEADER);
	put_hex(frame, load == SEGMENTS ? TCP4 : UDP4);
	put_hex(frame + 30, "c0000209");
	if (is_bridge)
		put_hex(frame, "02000000000b");
	if (load == HOSTILE)
		frame[11] ^= 0x40;
	frame[16] = (uint8_t)((length - 14) >> 8);
	frame[17] = (uint8_t)(length - 14);
	if (load != SEGMENTS)
		put_hex(frame + 38, "001a0000");
	sum = header_sum(frame + 14);
	frame[24] = (uint8_t)(sum >> 8);
	frame[25] = (uint8_t)sum;
	return HEADER + length;
}

static double take_turn(const struct design *design, enum load load)
{
	static uint8_t bytes[HEADER + GSO_BYTES];
	size_t length = make_load(bytes, load, design->is_bridge);
	unsigned count = load == SEGMENTS ? SLICE_GSO : SLICE;
	double start;

	for (unsigned i = 0; i < count / 10; i++)
		assert_int_equal(write(design->fd, bytes, length), length);
	start = clock_of(CLOCK_THREAD_CPUTIME_ID);
	for (unsigned i = 0; i < count; i++)
		if (write(design->fd, bytes, length) != (ssize_t)length)
			fail_msg("%s: write: %s", design->name, strerror(errno));
	return (clock_of(CLOCK_THREAD_CPUTIME_ID) - start) / count;
}

static void measure(unsigned rounds)
{
	for (unsigned round = 0; round < rounds; round++)
		for (enum load load = 0; load < LOADS; load++)
			for (size_t i = 0; i < DESIGNS; i++)
				if (load != SEGMENTS || designs[i].has_gso)
					designs[i].costs[load][round] = take_turn(&designs[i],
										  load);
}

static const struct design *find(const char *name, unsigned vms)
{
	for (size_t i = 0; i < DESIGNS; i++)
		if (strcmp(designs[i].name, name) == 0 && designs[i].vms == vms)
			return &designs[i];
	fail_msg("no design '%s'", name);
	return NULL;
}

/* The median of the ratios of each round, so that what slows a round down slows both. */
static double ratio(const struct design *design, enum load load, unsigned rounds)
{
	const struct design *against = find(design->against, 1);
	double ratios[ROUNDS_MAX];

	for (unsigned i = 0; i < rounds; i++)
		ratios[i] = design->costs[load][i] / against->costs[load][i];
	return median(ratios, rounds);
}

static void print_table(unsigned rounds)
{
	printf("processor time of a frame, ns (and against none of it)\n%-24s %5s", "design",
	       "VMs");
	for (enum load load = 0; load < LOADS; load++)
		printf(" %18s", load_names[load]);
	putchar('\n');
	for (size_t i = 0; i < DESIGNS; i++) {
		printf("%-24s %5u", designs[i].name, designs[i].vms);
		for (enum load load = 0; load < LOADS; load++) {
			double copy[ROUNDS_MAX];

			if (load == SEGMENTS && !designs[i].has_gso)
				continue;
			memcpy(copy, designs[i].costs[load], sizeof(copy));
			printf(" %9.0f (%6.2f)", median(copy, rounds),
			       ratio(&designs[i], load, rounds));
		}
		putchar('\n');
	}
}

/* --- paths through the program ------------------------------------------------------------------
 */

struct path {
	struct frame_case frame;
	bool is_egress, has_rate;
};

static const struct path paths[] = {
	{ { "accept UDP", UDP4 } },
	{ { "accept TCP", TCP4 } },
	{ { "accept TCP, GSO", TCP4, .gso_size = 1448 } },
	{ { "accept UDP, with a rate", UDP4 }, .has_rate = true },
	{ { "accept UDP over IPv6", UDP6 } },
	{ { "accept behind an extension header", DST_UDP } },
	{ { "absorb an ARP announcement", ARP, { { 38, IP_A } } } },
	{ { "absorb address detection", DAD } },
	{ { "deliver UDP", UDP4, { { 26, IP_B IP_A } } }, .is_egress = true },
	{ { "drop a source MAC", UDP4, { { 6, "02000000000b" } } } },
	{ { "drop a source address", UDP4, { { 26, "08080808" } } } },
	{ { "drop another tenant", UDP4, { { 30, IP_X } } } },
	{ { "drop a router advertisement", RS, { { 54, "86" } } } },
};

enum { PATHS = sizeof(paths) / sizeof(paths[0]) };

static double run_path(struct guard *guard, const struct path *path)
{
	struct __sk_buff context = { .gso_size = path->frame.gso_size };
	uint8_t frame[FRAME_MAX];
	LIBBPF_OPTS(bpf_test_run_opts, run, .ctx_in = &context, .ctx_size_in = sizeof(context),
		    .data_in = frame, .repeat = PATH_REPEAT);
	struct guard_vm vm = make_vm(SLOT, 1, IP_A, A6);
	struct error err;

	run.data_size_in = (uint32_t)build(&path->frame, frame);
	vm.rate_bits = path->has_rate ? 1000000000000 : 0;
	must(guard_set_vm(guard, LOOPBACK, &vm, &err));
	if (bpf_prog_test_run_opts(guard_program_fd(guard, path->is_egress), &run) < 0)
		fail_msg("%s: %s", path->frame.name, strerror(errno));
	return run.duration;
}

static void measure_paths(unsigned rounds)
{
	struct guard_vm stranger = make_vm(9, 2, IP_X, X6);
	struct guard *guard = open_guard((struct guard_options){ 0 });
	static double costs[PATHS][ROUNDS_MAX];
	struct error err;

	must(guard_set_vm(guard, 1002, &stranger, &err));
	for (unsigned round = 0; round < rounds; round++)
		for (size_t i = 0; i < PATHS; i++)
			costs[i][round] = run_path(guard, &paths[i]);
	puts("\nthe program alone, by BPF_PROG_TEST_RUN, ns a frame");
	for (size_t i = 0; i < PATHS; i++)
		printf("%-40s %6.0f\n", paths[i].frame.name, median(costs[i], rounds));
	guard_close(guard);
}

int main(void)
{
	unsigned rounds = rounds_or(101);
	const struct design *bare, *ruled;

	if (rounds >= ROUNDS_MAX || set_up(NULL) != 0 || !is_ready)
		return 1;
	for (size_t i = 0; i < DESIGNS; i++)
		designs[i].make(&designs[i]);
	measure(rounds);
	print_table(rounds);
	measure_paths(rounds);
	puts("\ngoals");
	ruled = find("host's rules and guard", 1);
	bare = find("guard", 1);
	goal("lawful 60 B, by the host's rules without guard", ratio(ruled, LAWFUL, rounds), 1.10,
	     1, "x");
	goal("lawful 60 B, by a host without rules", ratio(bare, LAWFUL, rounds), 1.10, 1, "x");
	goal("lawful 60 kB, by the host's rules without guard", ratio(ruled, SEGMENTS, rounds),
	     1.03, 1, "x");
	goal("lawful 60 kB, by a host without rules", ratio(bare, SEGMENTS, rounds), 1.03, 1, "x");
	goal("hostile 60 B, by the host's rules without guard", ratio(ruled, HOSTILE, rounds), 0.65,
	     1, "x");
	goal("hostile 60 B, by a host without rules", ratio(bare, HOSTILE, rounds), 0.65, 1, "x");
	goal("hostile 60 B, with the flood shield",
	     ratio(find("guard and shield", 1), HOSTILE, rounds), 0.65, 1, "x");
	goal("lawful 60 B, 500 VMs by one",
	     ratio(find("guard", 500), LAWFUL, rounds) / ratio(bare, LAWFUL, rounds), 1.05, 1, "x");
	goal("500 VMs: nftables' chains cost, by the guard's",
	     ratio(find("nftables chain per NIC", 500), LAWFUL, rounds) /
		     ratio(find("guard", 500), LAWFUL, rounds),
	     10, 0, "x");
	goal("500 VMs: ebtables' rules cost, by the guard's",
	     ratio(find("ebtables clean-traffic", 500), LAWFUL, rounds) /
		     ratio(find("guard", 500), LAWFUL, rounds),
	     10, 0, "x");
	while (guard_count)
		guard_close(guards[--guard_count]);
	tear_down(NULL);
	return 0;
}
