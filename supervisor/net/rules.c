/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies and published ports as nft(8) reads them; called by nat.c. However many VMs there are, a
 * frame looks its tap up in two maps and runs the chains of the two VMs that it concerns.
 *
 * A chain is replaced as a whole, and a frame keeps to the generation of the chain's rules that it
 * began with, so that it is judged by a policy before a change or after it. That does not hold for
 * elements: those of a set, anonymous ones included, change under a frame that is on its way. So no
 * policy has a set: a rule names one network and one range of ports.
 */
#include "net/rules.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/policy.h"
#include "net/net.h"

#define TAPS "\"" NET_TAP_PREFIX "*\""

/* Of the chains below; frames that concern no tap pass all of them untouched.
 *
 * input: a VM gets no service of the host, but answers to what the host asked it. The guard answers
 * and absorbs ARP, neighbour discovery and MLD: no rule is needed for them.
 *
 * forward: what opens a connection is judged frame by frame by the policy of the VM that it comes
 * from and of the VM that it goes to, so that a change reaches connections that are open; what
 * answers passes. Between two taps the guard has judged tenants already. To the world all that is
 * left may go, but clouds' metadata services, beside 169.254.0.0/16, which the guard drops; from it
 * only what a published port has led here. A frame that belongs to no connection would leave with
 * the VM's own address.
 *
 * published: by the host's address, then by any.
 *
 * raw: what the loopback routes of taps let in (see net.c), no guest may send.
 *
 * postrouting: a VM that calls its own published port would hear itself answer. */
const char rules_base[] =
	"table inet stoker {\n"
	"	map egress { type ifname : verdict; }\n"
	"	map ingress { type ifname : verdict; }\n"
	"	map host4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; "
	"}\n"
	"	map host6 { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; "
	"}\n"
	"	map any4 { type inet_proto . inet_service : ipv4_addr . inet_service; }\n"
	"	map any6 { type inet_proto . inet_service : ipv6_addr . inet_service; }\n"
	"	set hairpin { type ifname . ifname; }\n"
	"	chain input {\n"
	"		type filter hook input priority filter; policy accept;\n"
	"		iifname != " TAPS " accept\n"
	"		ct state established,related accept\n"
	"		counter drop\n"
	"	}\n"
	"	chain forward {\n"
	"		type filter hook forward priority filter; policy accept;\n"
	"		iifname != " TAPS " oifname != " TAPS " accept\n"
	"		ct direction reply ct state established accept\n"
	"		ct state related accept\n"
	"		iifname vmap @egress\n"
	"		oifname vmap @ingress\n"
	"		iifname " TAPS " oifname " TAPS " accept\n"
	"		iifname " TAPS " jump world\n"
	"		ct status dnat accept\n"
	"		counter drop\n"
	"	}\n"
	"	chain world {\n"
	"		ct state invalid counter drop\n"
	"		ip daddr 100.100.100.200 counter drop\n"
	"		ip daddr 168.63.129.16 counter drop\n"
	"		ip6 daddr fd00:ec2::254 counter drop\n"
	"		ip6 daddr fd20:ce::254 counter drop\n"
	"		accept\n"
	"	}\n"
	"	chain published {\n"
	"		fib daddr type != local return\n"
	"		dnat ip to ip daddr . meta l4proto . th dport map @host4\n"
	"		dnat ip6 to ip6 daddr . meta l4proto . th dport map @host6\n"
	"		meta nfproto ipv4 dnat ip to meta l4proto . th dport map @any4\n"
	"		meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @any6\n"
	"	}\n"
	"	chain raw {\n"
	"		type filter hook prerouting priority raw; policy accept;\n"
	"		iifname " TAPS " ip daddr 127.0.0.0/8 counter drop\n"
	"	}\n"
	"	chain prerouting {\n"
	"		type nat hook prerouting priority dstnat; policy accept;\n"
	"		ip daddr 127.0.0.0/8 accept\n"
	"		ip6 daddr ::1 accept\n"
	"		jump published\n"
	"	}\n"
	"	chain output {\n"
	"		type nat hook output priority -100; policy accept;\n"
	"		jump published\n"
	"	}\n"
	"	chain postrouting {\n"
	"		type nat hook postrouting priority srcnat; policy accept;\n"
	"		iifname " TAPS " oifname != " TAPS " masquerade\n"
	"		iifname . oifname @hairpin masquerade\n"
	"		oifname " TAPS " ip saddr 127.0.0.0/8 masquerade\n"
	"		oifname " TAPS " ip6 saddr ::1 masquerade\n"
	"	}\n"
	"}\n";

const char *const rules_side_names[RULES_SIDES] = {
	[RULES_EGRESS] = "egress",
	[RULES_INGRESS] = "ingress",
};

void rules_chain_name(enum rules_side side, uint32_t slot, char name[RULES_NAME_MAX])
{
	snprintf(name, RULES_NAME_MAX, "%s_%u", rules_side_names[side], slot);
}

/* --- policies --------------------------------------------------------------------------------- */

static int compare_matches(const void *a, const void *b)
{
	const struct port_match *left = a, *right = b;

	return (left->first > right->first) - (left->first < right->first);
}

/* The rule's ports of one protocol, sorted, and joined where they touch: a rule of nftables each.
 */
static size_t collect(const struct policy_rule *rule, uint8_t protocol,
		      struct port_match ret[POLICY_PORTS_MAX])
{
	size_t count = 0, kept = 0;

	for (uint32_t i = 0; i < rule->port_count; i++)
		if (rule->ports[i].protocol == protocol)
			ret[count++] = rule->ports[i];
	qsort(ret, count, sizeof(*ret), compare_matches);
	for (size_t i = 0; i < count; i++) {
		if (kept == 0 || ret[i].first > ret[kept - 1].last + 1)
			ret[kept++] = ret[i];
		else if (ret[i].last > ret[kept - 1].last)
			ret[kept - 1].last = ret[i].last;
	}
	return kept;
}

/* The peer of a VM is where it sends to, or what it hears from. */
static void print_start(const char *chain, enum rules_side side, const struct policy_rule *rule,
			struct strbuf *out)
{
	const char *ip = rule->peer.address.family == 4 ? "ip" : "ip6";
	char text[ADDRESS_TEXT_MAX];

	strbuf_printf(out, "add rule inet stoker %s ", chain);
	if (rule->peer.length == 0)
		strbuf_printf(out, "meta nfproto ipv%u ", rule->peer.address.family);
	else
		strbuf_printf(out, "%s %s %s ", ip, side == RULES_EGRESS ? "daddr" : "saddr",
			      prefix_format(&rule->peer, text));
}

/* Protocols by nft's own keywords: any other name it looks up in /etc/protocols, which hosts may
 * lack. */
static void print_ports(const struct port_match *match, uint8_t family, struct strbuf *out)
{
	const char *name = match->protocol == IPPROTO_TCP ? "tcp" : "udp";

	if (match->protocol == IPPROTO_ICMP)
		strbuf_printf(out, "meta l4proto %s ", family == 4 ? "icmp" : "icmpv6");
	else if (match->first <= 1 && match->last == UINT16_MAX)
		strbuf_printf(out, "meta l4proto %s ", name);
	else if (match->first == match->last)
		strbuf_printf(out, "%s dport %u ", name, match->first);
	else
		strbuf_printf(out, "%s dport %u-%u ", name, match->first, match->last);
}

static void print_rule(const char *chain, enum rules_side side, const struct policy_rule *rule,
		       struct strbuf *out)
{
	static const uint8_t protocols[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP };
	const char *verdict = rule->is_allow ? "return" : "counter drop";

	if (rule->port_count == 0) {
		print_start(chain, side, rule, out);
		strbuf_printf(out, "%s\n", verdict);
	}
	for (size_t i = 0; i < sizeof(protocols) && rule->port_count > 0; i++) {
		struct port_match matches[POLICY_PORTS_MAX];
		size_t count = collect(rule, protocols[i], matches);

		for (size_t j = 0; j < count; j++) {
			print_start(chain, side, rule, out);
			print_ports(&matches[j], rule->peer.address.family, out);
			strbuf_printf(out, "%s\n", verdict);
		}
	}
}

int rules_print_policy(enum rules_side side, uint32_t slot, const struct strv *policy,
		       struct strbuf *out, struct error *err)
{
	char chain[RULES_NAME_MAX];
	struct policy_rule rule;
	bool is_deny;

	if (policy->count == 0)
		return 0;
	is_deny = strcmp(policy->items[0], POLICY_DEFAULT_DENY) == 0;
	if (!is_deny && strcmp(policy->items[0], POLICY_DEFAULT_ALLOW) != 0)
		return error_set(err, "%s: '%s' is no default", rules_side_names[side],
				 policy->items[0]);
	rules_chain_name(side, slot, chain);
	for (size_t i = 1; i < policy->count; i++) {
		if (policy_rule_parse(policy->items[i], &rule, err) < 0)
			return error_wrap(err, "%s", rules_side_names[side]);
		print_rule(chain, side, &rule, out);
	}
	if (is_deny)
		strbuf_printf(out, "add rule inet stoker %s counter drop\n", chain);
	else
		strbuf_printf(out, "add rule inet stoker %s return\n", chain);
	return 0;
}

/* --- published ports -------------------------------------------------------------------------- */

int rules_compare_ports(const struct rules_port *a, const struct rules_port *b)
{
	int order;

	if (a->vm.family != b->vm.family)
		return a->vm.family < b->vm.family ? -1 : 1;
	order = address_compare(&a->host, &b->host);
	if (order)
		return order;
	if (a->protocol != b->protocol)
		return a->protocol < b->protocol ? -1 : 1;
	return (a->host_port > b->host_port) - (a->host_port < b->host_port);
}

static void print_port(const char *verb, const struct rules_port *port, struct strbuf *out)
{
	char text[ADDRESS_TEXT_MAX];

	strbuf_printf(out, "%s element inet stoker %s%u { ", verb,
		      port->host.family ? "host" : "any", port->vm.family);
	if (port->host.family)
		strbuf_printf(out, "%s . ", address_format(&port->host, text));
	strbuf_printf(out, "%s . %u", port->protocol == IPPROTO_TCP ? "tcp" : "udp",
		      port->host_port);
}

void rules_print_port_added(const struct rules_port *port, struct strbuf *out)
{
	char text[ADDRESS_TEXT_MAX];

	print_port("add", port, out);
	strbuf_printf(out, " : %s . %u }\n", address_format(&port->vm, text), port->vm_port);
}

void rules_print_port_deleted(const struct rules_port *port, struct strbuf *out)
{
	print_port("delete", port, out);
	strbuf_puts(out, " }\n");
}
