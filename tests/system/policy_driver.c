/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies, published ports and address translation, as tests/system/policy.t runs it. Speaks TAP.
 * Needs root.
 */
#include "tests/system/policy_host.h"

/* --- what is to hold ----------------------------------------------------------------------------
 */

static void fill(struct strv *list, const char *const *items)
{
	strv_reset(list);
	while (items && *items)
		strv_add(list, *items++);
}

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* A reload that gives this VM another policy. */
static void reload(struct place *vm, const char *const *egress, const char *const *ingress,
		   const char *const *ports)
{
	fill(&vm->egress, egress);
	fill(&vm->ingress, ingress);
	fill(&vm->ports, ports);
	must(net_tap_update(net, &vm->tap, &err));
	must(net_commit(net, &err));
}

static bool world_hears(const struct place *from, const char *to, const char *what)
{
	return opens(from, to, what, &world);
}

/* --- the world ----------------------------------------------------------------------------------
 */

static void test_without_a_policy(void)
{
	ok(talks(vm_a, "198.51.100.7", "tcp/443", &world, 443, "192.0.2.1"),
	   "without a policy the world is there, and sees the host's address");
	ok(talks(vm_a, "2001:db8:7::7", "tcp/443", &world, 443, "fd00:ffff::1"), "IPv6");
	ok(talks(vm_b, "198.51.100.7", "udp/53", &world, 53, "192.0.2.1") &&
		   talks(vm_b, "2001:db8:7::7", "udp/53", &world, 53, "fd00:ffff::1"),
	   "UDP likewise");
	ok(world_hears(vm_a, "198.51.100.7", "icmp") && world_hears(vm_a, "2001:db8:7::7", "icmp"),
	   "echo requests too");
	ok(!world_hears(vm_a, "100.100.100.200", "tcp/80") &&
		   !world_hears(vm_a, "fd00:ec2::254", "tcp/80"),
	   "metadata services are not there");
	ok(!world_hears(vm_a, "169.254.169.254", "tcp/80"), "nor is the link-local one");
	ok(talks(vm_a, vm_b->ip4, "tcp/80", vm_b, 80, vm_a->ip4) &&
		   talks(vm_a, vm_b->ip6, "tcp/80", vm_b, 80, vm_a->ip6),
	   "the tenant's other VM is, and sees the VM's own address");
	ok(!opens(vm_x, vm_a->ip4, "tcp/80", vm_a) && !opens(vm_x, vm_a->ip6, "udp/53", vm_a),
	   "another tenant's is not");
	ok(!opens(&world, vm_a->ip4, "tcp/80", vm_a), "the world reaches no VM");
}

static void test_host_is_closed(void)
{
	const char *const addresses[] = { host.ip4, host.ip6 };

	for (size_t i = 0; i < 2; i++) {
		struct end own = make_end(NULL, 2222);
		int service = socket_in(&host, AF_INET6, SOCK_DGRAM, 0);
		uint64_t heard;

		must_errno(bind(service, (struct sockaddr *)&own.address, own.length));
		ok(!opens(vm_a, addresses[i], "udp/2222", vm_b) &&
			   recv(service, &heard, sizeof(heard), 0) < 0,
		   "the host's own %s is closed", addresses[i]);
		ok(opens(&host, addresses[i], "udp/2222", vm_b) ||
			   recv(service, &heard, sizeof(heard), 0) == sizeof(heard),
		   "but to itself");
		close(service);
	}
	ok(talks(&host, vm_a->ip4, "tcp/80", vm_a, 80, NULL) &&
		   talks(&host, vm_a->ip6, "udp/80", vm_a, 80, NULL),
	   "the host reaches its VMs, and hears their answers");
}

static void test_egress_deny(void)
{
	reload(vm_a, LIST("default deny"), NULL, NULL);
	ok(!world_hears(vm_a, "198.51.100.7", "tcp/443") &&
		   !world_hears(vm_a, "2001:db8:7::7", "udp/53") &&
		   !world_hears(vm_a, "198.51.100.7", "icmp"),
	   "default deny: nothing goes out");
	ok(!opens(vm_a, vm_b->ip4, "tcp/80", vm_b), "nor to a peer");
	ok(talks(vm_b, vm_a->ip4, "tcp/80", vm_a, 80, vm_b->ip4) &&
		   talks(vm_b, vm_a->ip6, "udp/80", vm_a, 80, vm_b->ip6),
	   "its answers do");
	ok(world_hears(vm_b, "198.51.100.7", "tcp/443"), "the other VM has no such policy");
}

static void test_egress_allow(void)
{
	reload(vm_a,
	       LIST("default deny", "deny 198.51.100.8/32",
		    "allow 198.51.100.0/24 tcp/443 tcp/8000-8999 udp/53",
		    "allow 2001:db8::/32 tcp/443 tcp/8000-8999 icmp", "allow 203.0.113.0/24"),
	       NULL, NULL);
	ok(talks(vm_a, "198.51.100.7", "tcp/443", &world, 443, "192.0.2.1") &&
		   talks(vm_a, "198.51.100.7", "udp/53", &world, 53, "192.0.2.1") &&
		   talks(vm_a, "2001:db8:7::7", "tcp/443", &world, 443, "fd00:ffff::1"),
	   "what is allowed is answered");
	ok(world_hears(vm_a, "198.51.100.7", "tcp/8000") &&
		   world_hears(vm_a, "198.51.100.7", "tcp/8999") &&
		   world_hears(vm_a, "2001:db8:7::7", "tcp/8500"),
	   "a range, and its ends");
	ok(!world_hears(vm_a, "198.51.100.7", "tcp/7999") &&
		   !world_hears(vm_a, "198.51.100.7", "tcp/9000") &&
		   !world_hears(vm_a, "2001:db8:7::7", "tcp/9000"),
	   "not beside it");
	ok(!world_hears(vm_a, "198.51.100.7", "udp/443") &&
		   !world_hears(vm_a, "198.51.100.7", "icmp") &&
		   !world_hears(vm_a, "2001:db8:7::7", "udp/53"),
	   "not of another protocol");
	ok(world_hears(vm_a, "2001:db8:7::7", "icmp") && world_hears(vm_a, "203.0.113.9", "icmp") &&
		   world_hears(vm_a, "203.0.113.9", "udp/9999"),
	   "ICMPv6 by name, and all protocols");
	ok(!world_hears(vm_a, "198.51.101.7", "tcp/443") &&
		   !world_hears(vm_a, "2001:db9::7", "tcp/443"),
	   "not of another network");
	ok(!world_hears(vm_a, "198.51.100.8", "tcp/443"), "a denial comes before what is allowed");
	reload(vm_a, LIST("default allow", "deny 198.51.100.0/24 tcp/25", "deny 2001:db8::/32"),
	       NULL, NULL);
	ok(world_hears(vm_a, "198.51.100.7", "tcp/443") && world_hears(vm_a, "2001:db9::7", "icmp"),
	   "default allow");
	ok(!world_hears(vm_a, "198.51.100.7", "tcp/25") &&
		   !world_hears(vm_a, "2001:db8:7::7", "tcp/443"),
	   "but what is denied");
	ok(!world_hears(vm_a, "100.100.100.200", "tcp/80"), "metadata services stay closed");
	reload(vm_a, NULL, NULL, NULL);
}

/* --- who may call -------------------------------------------------------------------------------
 */

static void test_ingress(void)
{
	reload(vm_b, NULL, LIST("default deny", "allow 10.20.0.10/32 tcp/80", "allow ::/0 udp"),
	       NULL);
	ok(talks(vm_a, vm_b->ip4, "tcp/80", vm_b, 80, vm_a->ip4) &&
		   talks(vm_a, vm_b->ip6, "udp/53", vm_b, 53, vm_a->ip6),
	   "a peer may call what ingress allows");
	ok(!opens(vm_a, vm_b->ip4, "tcp/81", vm_b) && !opens(vm_a, vm_b->ip6, "tcp/80", vm_b) &&
		   !opens(vm_a, vm_b->ip4, "icmp", vm_b),
	   "and nothing else");
	ok(talks(vm_b, vm_a->ip4, "tcp/81", vm_a, 81, vm_b->ip4) &&
		   talks(vm_b, "198.51.100.7", "tcp/443", &world, 443, NULL),
	   "what it begins itself is answered");
	reload(vm_b, NULL, NULL, NULL);
}

/* --- published ports ----------------------------------------------------------------------------
 */

static void test_ports(void)
{
	ok(!opens(&world, "192.0.2.1", "tcp/8080", vm_a), "nothing is published");
	reload(vm_a, NULL, NULL,
	       LIST("8080:80/tcp", "192.0.2.1:5353:53/udp", "9000-9003:900-903/tcp"));
	ok(talks(&world, "192.0.2.1", "tcp/8080", vm_a, 80, "192.0.2.9") &&
		   talks(&world, "fd00:ffff::1", "tcp/8080", vm_a, 80, "fd00:ffff::9"),
	   "published, the world calls it, and is seen by its own address");
	ok(talks(&world, "192.0.2.1", "udp/5353", vm_a, 53, "192.0.2.9"), "UDP, by one address");
	ok(!opens(&world, "fd00:ffff::1", "udp/5353", vm_a), "not by another");
	ok(talks(&world, "192.0.2.1", "tcp/9003", vm_a, 903, NULL) &&
		   !opens(&world, "192.0.2.1", "tcp/9004", vm_a),
	   "a range, and where it ends");
	ok(talks(&host, "192.0.2.1", "tcp/8080", vm_a, 80, NULL) &&
		   talks(&host, "fd00:ffff::1", "tcp/8080", vm_a, 80, NULL),
	   "the host calls it by its own address");
	ok(talks(&host, "127.0.0.1", "tcp/8080", vm_a, 80, NULL), "and by that of its loopback");
	ok(talks(vm_b, "192.0.2.1", "tcp/8080", vm_a, 80, vm_b->ip4) &&
		   talks(vm_b, "fd00:ffff::1", "tcp/8080", vm_a, 80, vm_b->ip6),
	   "so does the tenant's other VM");
	ok(talks(vm_a, "192.0.2.1", "tcp/8080", vm_a, 80, "192.0.2.1") &&
		   talks(vm_a, "fd00:ffff::1", "tcp/8080", vm_a, 80, "fd00:ffff::1"),
	   "and the VM itself, and its own call comes back as the host's");
	ok(!opens(vm_x, "192.0.2.1", "tcp/8080", vm_a), "another tenant's VM does not");
	reload(vm_a, NULL, LIST("default deny", "allow 192.0.2.0/24 tcp/80"), LIST("8080:80/tcp"));
	ok(talks(&world, "192.0.2.1", "tcp/8080", vm_a, 80, NULL) &&
		   !opens(&world, "fd00:ffff::1", "tcp/8080", vm_a),
	   "ingress judges whom a published port leads here");
	reload(vm_a, NULL, NULL, NULL);
	ok(!opens(&world, "192.0.2.1", "tcp/8080", vm_a) &&
		   !opens(&world, "192.0.2.1", "udp/5353", vm_a),
	   "no longer published, it is closed");
}

/* Its place on the host goes to another VM in one step. */
static void test_port_moves(void)
{
	reload(vm_a, NULL, NULL, LIST("8080:80/tcp"));
	fill(&vm_a->ports, NULL);
	fill(&vm_b->ports, LIST("8080:80/tcp"));
	must(net_tap_update(net, &vm_a->tap, &err));
	must(net_tap_update(net, &vm_b->tap, &err));
	must(net_commit(net, &err));
	ok(talks(&world, "192.0.2.1", "tcp/8080", vm_b, 80, NULL), "a port moves to another VM");
	reload(vm_b, NULL, NULL, NULL);
}

/* --- live ---------------------------------------------------------------------------------------
 */

static void test_live(void)
{
	struct talk of_a, of_b, published;
	uint64_t word = next_marker();

	reload(vm_a, LIST("default deny", "allow 198.51.100.0/24 tcp/443"), NULL,
	       LIST("8080:80/tcp"));
	ok(begin_talk(&of_a, vm_a, "198.51.100.7", "tcp/443", &world, 443) &&
		   begin_talk(&of_b, vm_b, "198.51.100.7", "tcp/444", &world, 444) &&
		   begin_talk(&published, &world, "192.0.2.1", "tcp/8080", vm_a, 80),
	   "three conversations");
	reload(vm_a, LIST("default deny", "allow 198.51.100.0/24 tcp/443 tcp/80"), NULL,
	       LIST("8080:80/tcp"));
	ok(goes_on(&of_a) && goes_on(&of_b) && goes_on(&published),
	   "a policy that goes on allowing them cuts none");
	reload(vm_a, LIST("default deny"), NULL, LIST("8080:80/tcp"));
	must_errno(send(of_a.caller, &word, sizeof(word), 0));
	ok(!has_arrived(&world, word) && recv(of_a.answerer, &word, sizeof(word), 0) < 0 &&
		   goes_on(&of_b) && goes_on(&published),
	   "one that denies one of them stops that one alone");
	end_talk(&of_a);
	end_talk(&of_b);
	end_talk(&published);
	reload(vm_a, NULL, NULL, NULL);
}

static void test_table_taken_away(void)
{
	reload(vm_a, LIST("default deny", "allow 198.51.100.0/24 tcp/443"), NULL,
	       LIST("8080:80/tcp"));
	command("nft delete table inet stoker");
	must(net_commit(net, &err));
	ok(talks(vm_a, "198.51.100.7", "tcp/443", &world, 443, "192.0.2.1") &&
		   talks(&world, "192.0.2.1", "tcp/8080", vm_a, 80, NULL) &&
		   !world_hears(vm_a, "198.51.100.7", "tcp/25"),
	   "a reload that finds the table gone makes it anew");
	command("nft flush table inet stoker");
	must(net_commit(net, &err));
	ok(talks(&world, "192.0.2.1", "tcp/8080", vm_a, 80, NULL) &&
		   !world_hears(vm_a, "198.51.100.7", "tcp/25"),
	   "and so does one that finds it empty");
	reload(vm_a, NULL, NULL, NULL);
}

/* The next daemon, which knows nothing but what manifests say. */
static void test_next_daemon(void)
{
	struct strv keep = { 0 };
	struct talk talk;

	reload(vm_a, LIST("default deny", "allow 198.51.100.0/24 tcp/443", "allow 10.20.0.0/24"),
	       NULL, LIST("8080:80/tcp"));
	reload(vm_b, NULL, LIST("default deny"), NULL);
	ok(!opens(vm_a, vm_b->ip4, "tcp/80", vm_b), "a VM nobody may call");
	ok(begin_talk(&talk, vm_a, "198.51.100.7", "tcp/443", &world, 443), "a conversation");
	net_close(net);
	ok(goes_on(&talk) && !world_hears(vm_a, "198.51.100.7", "udp/53"),
	   "the daemon is gone: policies hold");
	must(net_open(&settings, &net, &err));
	fill(&vm_b->ingress, NULL);
	for (size_t i = 0; i < VMS; i++) {
		must(net_tap_adopt(net, &vms[i].tap, &err));
		strv_add(&keep, vms[i].tap.name);
	}
	must(net_sweep(net, &keep, &err));
	strv_reset(&keep);
	ok(goes_on(&talk) && !world_hears(vm_a, "198.51.100.7", "udp/53") &&
		   talks(&world, "192.0.2.1", "tcp/8080", vm_a, 80, NULL),
	   "the next one takes them over");
	ok(talks(vm_a, vm_b->ip4, "tcp/80", vm_b, 80, NULL),
	   "and what is no longer wanted is gone");
	ok(system("nft list chain inet stoker ingress_2 >/dev/null 2>&1") != 0, "chains as well");
	end_talk(&talk);
}

/* --- seeing it, and the end ---------------------------------------------------------------------
 */

static void test_seeing(void)
{
	struct net_policy policy;

	reload(vm_a, LIST("default deny", "allow 198.51.100.0/24 tcp/443 tcp/446"), NULL,
	       LIST("8080:80/tcp"));
	world_hears(vm_a, "198.51.100.7", "udp/53");
	must(net_policy_read(net, vm_a->tap.slot, &policy, &err));
	ok(policy.egress.count == 3 &&
		   !strcmp(policy.egress.items[0],
			   "ip daddr 198.51.100.0/24 tcp dport 443 return") &&
		   !strncmp(policy.egress.items[2], "counter packets ", 16) &&
		   strncmp(policy.egress.items[2], "counter packets 0 ", 18) != 0,
	   "the rules are seen as the kernel has them: %s",
	   policy.egress.count ? policy.egress.items[0] : "none");
	ok(policy.ingress.count == 0 && policy.ports.count == 1 &&
		   strcmp(policy.ports.items[0], "8080:80/tcp") == 0,
	   "and what is published");
	net_policy_reset(&policy);
}

/* What nft lists of all tables, or of those whose names are not ours. */
static char *list_foreign(void)
{
	static const char line[] = "nft list table ip foreign; nft list table inet stokers; "
				   "nft list tables | grep -v '^table inet stoker$'";
	char *text = NULL;
	size_t length = 0;
	FILE *nft = popen(line, "re");

	if (!nft || getdelim(&text, &length, '\0', nft) < 0)
		bail_out(line, "says nothing");
	pclose(nft);
	return text;
}

static void make_foreign(void)
{
	command("nft -f - <<'END'\n"
		"table ip foreign {\n"
		"	set kept { type inet_service; elements = { 1, 2 }; }\n"
		"	chain forward {\n"
		"		type filter hook forward priority 10; policy accept;\n"
		"		tcp dport 9 drop\n"
		"	}\n"
		"}\n"
		"table inet stokers { chain egress_1 { tcp dport 9 drop; }; }\n"
		"END\n");
}

static void test_end(const char *foreign)
{
	char *now = list_foreign();

	ok(strcmp(now, foreign) == 0, "tables of others are as they were");
	free(now);
	for (size_t i = 0; i < VMS; i++) {
		close(vms[i].host_fd);
		must(net_tap_destroy(net, vms[i].tap.name, vms[i].tap.slot, &err));
	}
	ok(system("nft list table inet stoker | grep -q 'gress_[0-9]\\|stk[abx]'") != 0,
	   "with the taps their rules are gone");
	must(net_remove(net, &err));
	ok(system("nft list table inet stoker 2>/dev/null") != 0, "and at the end the table");
	now = list_foreign();
	ok(strcmp(now, foreign) == 0, "those of others stay");
	free(now);
	net_close(net);
}

int main(void)
{
	_cleanup_free_ char *foreign = NULL;

	if (geteuid() != 0) {
		printf("1..0 # SKIP network namespaces and BPF need root\n");
		return 0;
	}
	set_up();
	make_foreign();
	foreign = list_foreign();
	test_without_a_policy();
	test_host_is_closed();
	test_egress_deny();
	test_egress_allow();
	test_ingress();
	test_ports();
	test_port_moves();
	test_live();
	test_table_taken_away();
	test_next_daemon();
	test_seeing();
	test_end(foreign);
	umount2(bpf_root, MNT_DETACH);
	rmdir(bpf_root);
	printf("1..%d\n", test_count);
	return failure_count != 0;
}
