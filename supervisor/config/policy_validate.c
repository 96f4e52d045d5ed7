/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies and published ports over the whole fleet; called by validate.c. A VM's policy and its
 * tenant's become one: what both allow. Drafts that were not understood are not looked at twice.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "config/validate.h"

/* --- policies --------------------------------------------------------------------------------- */

struct rules {
	struct policy_rule *items; /* owned */
	size_t count;
};

static void rules_reset(struct rules *rules)
{
	free(rules->items);
}

#define _cleanup_rules_ __attribute__((cleanup(rules_reset)))

static void add_rule(struct rules *rules, const struct policy_rule *rule, const struct prefix *peer)
{
	rules->items = xreallocarray(rules->items, rules->count + 1, sizeof(*rules->items));
	rules->items[rules->count] = *rule;
	rules->items[rules->count++].peer = *peer;
}

/* The policy's denials, or what it allows, with words replaced by networks. */
static void expand(const struct policy *policy, const struct tenant *tenant, bool is_allow,
		   struct rules *ret)
{
	static const struct prefix any[] = { { { .family = 4 }, 0 }, { { .family = 6 }, 0 } };

	for (size_t i = 0; i < policy->count; i++) {
		const struct rule_draft *draft = &policy->rules[i];
		const struct prefix *peers = &draft->rule.peer;
		size_t count = 1;

		if (draft->rule.is_allow != is_allow)
			continue;
		if (draft->peer == PEER_ANY) {
			peers = any;
			count = 2;
		} else if (draft->peer == PEER_TENANT) {
			peers = tenant->subnets;
			count = tenant->subnet_count;
		}
		for (size_t j = 0; j < count; j++)
			add_rule(ret, &draft->rule, &peers[j]);
	}
}

/* False when they have no port in common, or too many. */
static bool intersect_ports(const struct policy_rule *a, const struct policy_rule *b,
			    struct policy_rule *ret, bool *ret_is_over)
{
	if (a->port_count == 0 || b->port_count == 0) {
		const struct policy_rule *from = a->port_count ? a : b;

		memcpy(ret->ports, from->ports, sizeof(ret->ports));
		ret->port_count = from->port_count;
		return true;
	}
	ret->port_count = 0;
	for (uint32_t i = 0; i < a->port_count; i++)
		for (uint32_t j = 0; j < b->port_count; j++) {
			const struct port_match *x = &a->ports[i], *y = &b->ports[j];
			uint16_t first = x->first > y->first ? x->first : y->first;
			uint16_t last = x->last < y->last ? x->last : y->last;

			if (x->protocol != y->protocol || first > last)
				continue;
			if (ret->port_count == POLICY_PORTS_MAX) {
				*ret_is_over = true;
				return false;
			}
			ret->ports[ret->port_count++] = (struct port_match){ x->protocol, first,
									     last };
		}
	return ret->port_count > 0;
}

/* What a rule of each allows. */
static void intersect(const struct rules *a, const struct rules *b, struct rules *ret,
		      bool *ret_is_over)
{
	for (size_t i = 0; i < a->count; i++)
		for (size_t j = 0; j < b->count && !*ret_is_over; j++) {
			const struct policy_rule *x = &a->items[i], *y = &b->items[j];
			struct policy_rule both = { .is_allow = true };

			if (!prefix_overlaps(&x->peer, &y->peer) ||
			    !intersect_ports(x, y, &both, ret_is_over))
				continue;
			add_rule(ret, &both, x->peer.length > y->peer.length ? &x->peer : &y->peer);
			*ret_is_over = ret->count > POLICY_RULES_MAX;
		}
}

static void print_rules(const struct rules *rules, struct strv *out)
{
	for (size_t i = 0; i < rules->count; i++) {
		_cleanup_strbuf_ struct strbuf line = { 0 };

		policy_rule_print(&rules->items[i], &line);
		if (!strv_contains(out, strbuf_text(&line)))
			strv_add(out, strbuf_text(&line));
	}
}

static void combine(struct report *report, const char *key, const struct tenant_draft *tenant,
		    const struct policy *of_tenant, const struct policy *of_vm, struct strv *ret)
{
	bool is_deny = of_tenant->is_deny || of_vm->is_deny, is_over = false;
	_cleanup_rules_ struct rules denied = { 0 }, a = { 0 }, b = { 0 }, both = { 0 };

	expand(of_tenant, &tenant->tenant, false, &denied);
	expand(of_vm, &tenant->tenant, false, &denied);
	expand(of_tenant, &tenant->tenant, true, &a);
	expand(of_vm, &tenant->tenant, true, &b);
	if (!is_deny && denied.count == 0)
		return;
	if (of_tenant->is_deny && of_vm->is_deny)
		intersect(&a, &b, &both, &is_over);
	strv_add(ret, is_deny ? POLICY_DEFAULT_DENY : POLICY_DEFAULT_ALLOW);
	print_rules(&denied, ret);
	print_rules(of_tenant->is_deny && of_vm->is_deny ? &both
		    : of_tenant->is_deny		 ? &a
							 : &b,
		    ret);
	if (is_over || ret->count > POLICY_RULES_MAX + 1)
		report_add(report, of_vm->is_written ? of_vm->mark : of_tenant->mark,
			   "%s: more than %d rules, or %d ports in one, when the VM's and the "
			   "tenant's are taken together",
			   key, POLICY_RULES_MAX, POLICY_PORTS_MAX);
}

/* --- published ports -------------------------------------------------------------------------- */

static bool has_family(const struct tenant_draft *tenant, const struct vm_draft *vm, uint8_t family)
{
	for (size_t i = 0; i < vm->address_count; i++)
		if (vm->addresses[i].address.family == family)
			return true;
	/* Written addresses are all it has; others are leased in each family of the subnets. */
	for (size_t i = 0; i < tenant->tenant.subnet_count && vm->address_count == 0; i++)
		if (tenant->tenant.subnets[i].address.family == family)
			return true;
	return false;
}

static void publish(struct report *report, const struct tenant_draft *tenant, struct vm_draft *vm)
{
	uint32_t total = 0;

	if (vm->publish.count > 0 && vm->replicas > 1)
		report_add(report, vm->publish.mark,
			   "ports: %u replicas cannot have the same ports of the host (publish "
			   "from VMs of their own)",
			   vm->replicas);
	for (size_t i = 0; i < vm->publish.count; i++) {
		const struct placed_port *port = &vm->publish.ports[i];
		uint8_t family = port->published.host.family;
		_cleanup_strbuf_ struct strbuf text = { 0 };

		if (family && tenant->tenant.subnet_count > 0 && !has_family(tenant, vm, family))
			report_add(report, port->mark, "ports: the VM has no IPv%u address",
				   family);
		total += port->published.count;
		published_print(&port->published, &text);
		strv_add(&vm->spec.ports, strbuf_text(&text));
	}
	if (total > PUBLISH_MAX)
		report_add(report, vm->publish.mark, "ports: %u ports of one VM (at most %d)",
			   total, PUBLISH_MAX);
}

static unsigned last_port(const struct placed_port *port)
{
	return port->published.host_port + port->published.count - 1u;
}

static int compare_marks(const struct mark *a, const struct mark *b)
{
	if (a->source->index != b->source->index)
		return a->source->index < b->source->index ? -1 : 1;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	return (a->column > b->column) - (a->column < b->column);
}

static int compare_ports(const void *a, const void *b)
{
	const struct placed_port *left = *(struct placed_port *const *)a;
	const struct placed_port *right = *(struct placed_port *const *)b;

	if (left->published.protocol != right->published.protocol)
		return left->published.protocol < right->published.protocol ? -1 : 1;
	if (left->published.host_port != right->published.host_port)
		return left->published.host_port < right->published.host_port ? -1 : 1;
	return compare_marks(&left->mark, &right->mark);
}

static int compare_hosts(const void *a, const void *b)
{
	const struct placed_port *left = *(struct placed_port *const *)a;
	const struct placed_port *right = *(struct placed_port *const *)b;
	int order = address_compare(&left->published.host, &right->published.host);

	return order ? order : compare_ports(a, b);
}

static void refuse_port(struct report *report, const struct placed_port *a,
			const struct placed_port *b)
{
	bool b_is_later = compare_marks(&a->mark, &b->mark) < 0;
	const struct placed_port *first = b_is_later ? a : b, *later = b_is_later ? b : a;
	_cleanup_free_ char *place = mark_format(first->mark);
	_cleanup_strbuf_ struct strbuf text = { 0 }, first_text = { 0 };

	published_print(&later->published, &text);
	published_print(&first->published, &first_text);
	report_add(report, later->mark, "ports: %s takes a port of the host that %s has at %s",
		   strbuf_text(&text), strbuf_text(&first_text), place);
}

/* The one of the two that ends later. */
static const struct placed_port *farther(const struct placed_port *a, const struct placed_port *b)
{
	return !a || last_port(b) > last_port(a) ? b : a;
}

static bool overlaps(const struct placed_port *earlier, const struct placed_port *port)
{
	return earlier && earlier->published.protocol == port->published.protocol &&
	       last_port(earlier) >= port->published.host_port;
}

/* Once among those of one address, once between those of each address and all others: what begins
 * within the farthest range so far is in conflict. */
static void check_ports(struct report *report, const struct placed_port **ports, size_t count)
{
	const struct placed_port *same = NULL, *of_all = NULL, *of_one = NULL;

	qsort(ports, count, sizeof(*ports), compare_hosts);
	for (size_t i = 0; i < count; i++) {
		bool is_new = !same || same->published.protocol != ports[i]->published.protocol ||
			      address_compare(&same->published.host, &ports[i]->published.host);

		if (!is_new && overlaps(same, ports[i]))
			refuse_port(report, same, ports[i]);
		same = is_new ? ports[i] : farther(same, ports[i]);
	}
	qsort(ports, count, sizeof(*ports), compare_ports);
	for (size_t i = 0; i < count; i++) {
		bool is_of_all = ports[i]->published.host.family == 0;

		if (i > 0 && ports[i - 1]->published.protocol != ports[i]->published.protocol)
			of_all = of_one = NULL;
		if (overlaps(is_of_all ? of_one : of_all, ports[i]))
			refuse_port(report, is_of_all ? of_one : of_all, ports[i]);
		if (is_of_all)
			of_all = farther(of_all, ports[i]);
		else
			of_one = farther(of_one, ports[i]);
	}
}

void validate_policies(struct draft *draft, struct report *report)
{
	_cleanup_free_ const struct placed_port **ports = NULL;
	size_t count = 0;

	for (size_t i = 0; i < draft->tenant_count; i++) {
		const struct tenant_draft *tenant = &draft->tenants[i];

		for (size_t j = 0; j < tenant->vm_count; j++) {
			struct vm_draft *vm = &tenant->vms[j];

			combine(report, "egress", tenant, &tenant->egress, &vm->egress,
				&vm->spec.egress);
			combine(report, "ingress", tenant, &tenant->ingress, &vm->ingress,
				&vm->spec.ingress);
			publish(report, tenant, vm);
			ports = xreallocarray(ports, count + vm->publish.count + 1, sizeof(*ports));
			for (size_t k = 0; k < vm->publish.count; k++)
				ports[count++] = &vm->publish.ports[k];
		}
	}
	if (count)
		check_ports(report, ports, count);
}
