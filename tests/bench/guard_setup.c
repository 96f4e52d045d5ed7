/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a VM's network costs to come and go: tap, switches, guard, up, route and neighbour by
 * net_tap_create, from the daemon's stock and without it, against the same by ip(8) and tc(8). Then
 * a thousand taps at once: time and kernel memory of each, with a guard and without.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "net/net.h"
#include "net/pool.h"
#include "net/rtnl.h"
#include "net/tap.h"
#include "tests/bench/bench.h"
#include "tests/unit/guard_host.h"

enum { ROUNDS_MAX = 1001, MANY = 1000 };

struct rival {
	double from_stock[ROUNDS_MAX], alone[ROUNDS_MAX], commands[ROUNDS_MAX];
};

static struct net *net;
static struct rtnl *rtnl;
static struct settings settings;

static struct net_tap tap_of(unsigned number, char name[16])
{
	struct net_tap tap = { .name = name, .slot = number, .tenant_id = 1 + number % 7 };
	char text[64];

	snprintf(name, 16, "stkv%u", number);
	tap.mac[0] = 2;
	tap.mac[4] = (uint8_t)(number >> 8);
	tap.mac[5] = (uint8_t)number;
	tap.addresses.count = 2;
	snprintf(text, sizeof(text), "10.20.%u.%u", number >> 8, number & 255);
	assert_int_equal(address_parse(text, &tap.addresses.items[0]), 0);
	snprintf(text, sizeof(text), "fd00:20::1:%x", number + 1);
	assert_int_equal(address_parse(text, &tap.addresses.items[1]), 0);
	return tap;
}

static double create(const struct net_tap *tap, int *ret_fd)
{
	double start = clock_of(CLOCK_MONOTONIC);
	struct error err;

	must(net_tap_create(net, tap, ret_fd, &err));
	return clock_of(CLOCK_MONOTONIC) - start;
}

static void destroy(const struct net_tap *tap, int fd)
{
	struct error err;

	close(fd);
	must(net_tap_destroy(net, tap->name, tap->slot, &err));
}

/* The same by commands, as a script would; the guard's programs are pinned beside. */
static double run_commands(void)
{
	double start = clock_of(CLOCK_MONOTONIC), end;

	command("cd /proc/sys/net/ipv4/conf &&"
		" ip tuntap add stkc mode tap vnet_hdr &&"
		" ip link set stkc address 02:53:74:6b:00:fe mtu 1500 &&"
		" echo 1 >stkc/forwarding && echo 1 >stkc/rp_filter && echo 8 >stkc/arp_ignore &&"
		" tc qdisc add dev stkc clsact &&"
		" tc filter add dev stkc ingress bpf direct-action object-pinned $PINS/in &&"
		" tc filter add dev stkc egress bpf direct-action object-pinned $PINS/out &&"
		" ip link set stkc up &&"
		" ip route add 10.21.0.2/32 dev stkc &&"
		" ip neighbour add 10.21.0.2 lladdr 02:00:00:00:00:0a dev stkc nud permanent &&"
		" ip -6 route add fd00:21::2/128 dev stkc &&"
		" ip neighbour add fd00:21::2 lladdr 02:00:00:00:00:0a dev stkc nud permanent");
	end = clock_of(CLOCK_MONOTONIC);
	command("ip link delete stkc");
	return end - start;
}

/* Programs for tc(8) to attach. */
static void pin_programs(void)
{
	struct guard_options options = { .bpf_dir = NULL };
	char path[sizeof(bpf_dir) + 16];
	struct guard *guard;
	struct error err;

	snprintf(path, sizeof(path), "%s-tc", bpf_dir);
	options.bpf_dir = path;
	must(guard_open(&options, &guard, &err));
	setenv("PINS", path, 1);
	snprintf(path, sizeof(path), "%s-tc/in", bpf_dir);
	assert_int_equal(bpf_obj_pin(guard_program_fd(guard, false), path), 0);
	snprintf(path, sizeof(path), "%s-tc/out", bpf_dir);
	assert_int_equal(bpf_obj_pin(guard_program_fd(guard, true), path), 0);
	guard_close(guard);
}

static void compare_with_commands(unsigned rounds)
{
	static struct rival rival;
	double stock, alone, commands;
	struct error err;
	char name[16];
	struct net_tap tap = tap_of(1, name);
	int fd;

	for (unsigned i = 0; i < rounds; i++) {
		must(pool_fill(net, &err));
		rival.from_stock[i] = create(&tap, &fd);
		destroy(&tap, fd);
		rival.alone[i] = create(&tap, &fd);
		destroy(&tap, fd);
		rival.commands[i] = run_commands();
	}
	stock = median(rival.from_stock, rounds) / 1e6;
	alone = median(rival.alone, rounds) / 1e6;
	commands = median(rival.commands, rounds) / 1e6;
	printf("\na VM's tap, guard, routes and neighbours, IPv4 and IPv6, ms\n");
	printf("%-40s %8.2f\n%-40s %8.2f\n%-40s %8.2f\n", "from the daemon's stock", stock,
	       "without a stock", alone, "by ip and tc", commands);
	goal("a VM's network, from the stock", stock, 1, 1, " ms");
	goal("by ip and tc, against from the stock", commands / stock, 30, 0, "x");
}

/* --- a thousand ---------------------------------------------------------------------------------
 */

/* Kernel memory that devices and programs are made of, in KiB: slabs, per-CPU and vmalloc areas. */
static double kernel_memory(void)
{
	static const char *const keys[] = { "Slab:", "Percpu:", "VmallocUsed:", "PageTables:" };
	FILE *file = fopen("/proc/meminfo", "r");
	char key[64], line[256];
	double sum = 0, value;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%63s %lf", key, &value) != 2)
			continue;
		for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
			sum += strcmp(key, keys[i]) == 0 ? value : 0;
	}
	fclose(file);
	return sum;
}

/* Waits, so that what was freed before is no longer counted: the kernel frees after a while. */
static double settled_memory(void)
{
	double last, now = kernel_memory();
	int attempts = 20;

	do {
		last = now;
		sleep(1);
		now = kernel_memory();
	} while (last - now > MANY && --attempts);
	return now;
}

struct many {
	double create_ms, destroy_ms, memory_kib; /* of each */
};

/* As net_tap_create does it, but for the guard. */
static void create_bare(const struct net_tap *tap, int *ret_fd)
{
	/* The group that all of stoker's taps are in, to be deleted together. */
	const struct rtnl_link_values values = { .group = 0x73746b };
	struct rtnl_link link = { .name = tap->name };
	struct error err;

	must(tap_create(tap->name, 0, ret_fd, &link.ifindex, &err));
	must(tap_configure(tap->name, true, &err));
	must(rtnl_link_set(rtnl, &link, &values, &err));
	must(rtnl_link_raise(rtnl, &link, true, &err));
	for (uint32_t i = 0; i < tap->addresses.count; i++) {
		const struct address *address = &tap->addresses.items[i];

		must(rtnl_route_add(rtnl, &link, address, &err));
		must(rtnl_neighbour_add(rtnl, &link, address, tap->mac, &err));
	}
}

static struct many make_many(bool is_guarded)
{
	static char names[MANY][16];
	static int fds[MANY];
	double before = settled_memory(), start = clock_of(CLOCK_MONOTONIC);
	const struct strv none = { 0 };
	struct many many;
	struct error err;

	for (unsigned i = 0; i < MANY; i++) {
		struct net_tap tap = tap_of(i, names[i]);

		if (is_guarded)
			create(&tap, &fds[i]);
		else
			create_bare(&tap, &fds[i]);
	}
	many.create_ms = (clock_of(CLOCK_MONOTONIC) - start) / 1e6 / MANY;
	many.memory_kib = (kernel_memory() - before) / MANY;
	start = clock_of(CLOCK_MONOTONIC);
	must(net_sweep(net, &none, &err));
	many.destroy_ms = (clock_of(CLOCK_MONOTONIC) - start) / 1e6 / MANY;
	for (unsigned i = 0; i < MANY; i++)
		close(fds[i]);
	return many;
}

static void print_many(const char *name, const struct many *many)
{
	printf("%-32s %10.2f %10.2f %10.1f\n", name, many->create_ms, many->destroy_ms,
	       many->memory_kib);
}

static void measure_many(void)
{
	struct many bare = make_many(false), guarded = make_many(true);

	printf("\n%d taps, each    %15s %10s %10s %10s\n", MANY, "", "make, ms", "end, ms",
	       "memory, KiB");
	print_many("routed and up, no guard", &bare);
	print_many("routed and up, guarded", &guarded);
}

int main(void)
{
	const struct rlimit files = { 4096, 4096 };
	unsigned rounds = rounds_or(31);
	struct error err;

	setrlimit(RLIMIT_NOFILE, &files);
	if (rounds >= ROUNDS_MAX || set_up(NULL) != 0 || !is_ready)
		return 1;
	settings.bpf_dir = bpf_dir;
	command("ip link set lo up");
	must(net_open(&settings, &net, &err));
	rtnl = rtnl_open(&err);
	assert_non_null(rtnl);
	pin_programs();
	compare_with_commands(rounds);
	measure_many();
	must(net_remove(net, &err));
	rtnl_close(rtnl);
	net_close(net);
	tear_down(NULL);
	return 0;
}
