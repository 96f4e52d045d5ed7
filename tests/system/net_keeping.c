/* SPDX-License-Identifier: Apache-2.0 */
/* What looks after taps: told drops, repairs, losses, the shield against floods, the stock. */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/loop.h"
#include "net/pool.h"
#include "tests/system/net_scene.h"

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

void test_keeping(struct net *net)
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
