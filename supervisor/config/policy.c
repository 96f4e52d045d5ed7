/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nodes of `egress`, `ingress` and `ports` -> drafts of rules, named by schema.c's tables; the
 * draft goes to policy_validate.c, which knows the whole fleet.
 */
#include "config/policy.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "config/scalar.h"

enum {
	RULES_MAX = 64,	     /* of one list */
	RULE_PORTS_MAX = 32, /* of one rule */
	PUBLISH_LIST_MAX = 64,
};

void policy_reset(struct policy *policy)
{
	free(policy->rules);
	*policy = (struct policy){ 0 };
}

void publish_reset(struct publish *publish)
{
	free(publish->ports);
	*publish = (struct publish){ 0 };
}

static bool is_list(struct report *report, const char *key, const struct node *node, size_t most)
{
	if (node->kind != NODE_LIST)
		report_add(report, node->mark, "'%s' must be a list, not %s", key,
			   node_kind_name(node));
	else if (node->count > most)
		report_add(report, node->mark, "'%s' has %zu items (at most %zu)", key, node->count,
			   most);
	return node->kind == NODE_LIST && node->count <= most;
}

static void parse_policy(struct report *report, const struct node *node, struct policy *policy,
			 bool is_ingress)
{
	policy_reset(policy);
	policy->is_ingress = is_ingress;
	policy->is_written = true;
	policy->is_deny = true; /* until it says otherwise: no second complaint about `allow` */
	policy->mark = node->mark;
	schema_apply(&schema_policy, report, node, node->mark, policy);
	if (!policy->is_deny && policy->allow_mark.source)
		report_add(report, policy->allow_mark,
			   "allow: without effect where the default is allow (write default: deny, "
			   "or deny what is to be denied)");
}

FIELD_PARSER(policy_parse_egress)
{
	(void)key;
	parse_policy(report, node, field, false);
}

FIELD_PARSER(policy_parse_ingress)
{
	(void)key;
	parse_policy(report, node, field, true);
}

FIELD_PARSER(policy_parse_default)
{
	static const char *const known[] = { "allow", "deny", NULL };
	const char *text = field_text(report, key->name, node), *nearest;
	struct policy *policy = field;

	if (!text)
		return;
	policy->is_deny = strcmp(text, "allow") != 0;
	if (!policy->is_deny || strcmp(text, "deny") == 0)
		return;
	nearest = scalar_nearest(text, known);
	if (nearest)
		report_add(report, node->mark, "%s: '%s' is neither (did you mean '%s'?)",
			   key->name, text, nearest);
	else
		report_add(report, node->mark, "%s: '%s' is neither allow nor deny", key->name,
			   text);
}

static void add_rules(struct report *report, const struct schema_key *key, const struct node *node,
		      struct policy *policy, bool is_allow)
{
	const struct schema *schema = policy->is_ingress ? &schema_rule_from : &schema_rule_to;

	if (!is_list(report, key->name, node, RULES_MAX))
		return;
	policy->rules = xreallocarray(policy->rules, policy->count + node->count + 1,
				      sizeof(*policy->rules));
	for (size_t i = 0; i < node->count; i++) {
		struct rule_draft *draft = &policy->rules[policy->count++];

		*draft = (struct rule_draft){ .rule.is_allow = is_allow };
		schema_apply(schema, report, node->items[i], node->items[i]->mark, draft);
	}
}

FIELD_PARSER(policy_parse_allow)
{
	struct policy *policy = field;

	policy->allow_mark = node->mark;
	add_rules(report, key, node, policy, true);
}

FIELD_PARSER(policy_parse_deny)
{
	add_rules(report, key, node, field, false);
}

/* A network, an address, or one of two words. */
FIELD_PARSER(policy_parse_peer)
{
	const char *text = field_text(report, key->name, node);
	struct rule_draft *draft = field;
	struct prefix *peer = &draft->rule.peer;
	char meant[ADDRESS_TEXT_MAX];
	int result;

	if (!text)
		return;
	if (strcmp(text, "any") == 0) {
		draft->peer = PEER_ANY;
		return;
	}
	if (strcmp(text, "peers") == 0) {
		draft->peer = PEER_TENANT;
		return;
	}
	if (address_parse(text, &peer->address) == 0) {
		peer->length = peer->address.family == 4 ? 32 : 128;
		return;
	}
	result = prefix_parse(text, peer);
	if (result == -2)
		report_add(report, node->mark, "%s: '%s' has host bits set (write %s)", key->name,
			   text, prefix_format(peer, meant));
	else if (result < 0)
		report_add(report, node->mark,
			   "%s: '%s' is not a network (10.0.0.0/8, 2001:db8::/32, an address, any "
			   "or peers)",
			   key->name, text);
}

FIELD_PARSER(policy_parse_ports)
{
	struct rule_draft *draft = field;
	struct error err;

	if (!is_list(report, key->name, node, RULE_PORTS_MAX))
		return;
	if (node->count == 0)
		report_add(report, node->mark, "'%s' is empty (leave it out for all protocols)",
			   key->name);
	for (size_t i = 0; i < node->count; i++) {
		const char *text = field_text(report, key->name, node->items[i]);

		if (text &&
		    port_match_parse(text, &draft->rule.ports[draft->rule.port_count++], &err) < 0)
			field_refuse(report, key->name, node->items[i], &err);
	}
}

FIELD_PARSER(publish_parse)
{
	struct publish *publish = field;
	struct error err;

	publish_reset(publish);
	publish->mark = node->mark;
	if (!is_list(report, key->name, node, PUBLISH_LIST_MAX))
		return;
	publish->ports = xcalloc(node->count + 1, sizeof(*publish->ports));
	for (size_t i = 0; i < node->count; i++) {
		const char *text = field_text(report, key->name, node->items[i]);
		struct placed_port *port = &publish->ports[publish->count];

		if (!text)
			continue;
		port->mark = node->items[i]->mark;
		if (published_parse(text, &port->published, &err) < 0)
			field_refuse(report, key->name, node->items[i], &err);
		else
			publish->count++;
	}
}
