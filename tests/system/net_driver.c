/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network of a host in namespaces of its own, as tests/system/net.t runs it: real taps with
 * virtio headers, hostile and lawful frames between two tenants, a daemon killed with -9, adoption,
 * and an end that leaves nothing. Speaks TAP. Needs root.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "net/pool.h"
#include "tests/system/net_scene.h"

/* --- the daemon dies ----------------------------------------------------------------------------
 */

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
	test_lawful(net);
	test_hostile(net, vm_b);
	test_hostile(net, vm_x);
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
