/* SPDX-License-Identifier: Apache-2.0 */
/* `egress`, `ingress` and `ports` as a manifest writes them. */
#ifndef STOKER_CONFIG_POLICY_H
#define STOKER_CONFIG_POLICY_H

#include "config/fields.h"
#include "config/problems.h"
#include "model/policy.h"

enum peer_kind { PEER_PREFIX, PEER_ANY, PEER_TENANT };

struct rule_draft {
	enum peer_kind peer; /* PEER_PREFIX: rule.peer */
	struct policy_rule rule;
};

struct policy {
	bool is_ingress;
	bool is_written;
	bool is_deny; /* by default */
	struct mark mark, allow_mark;
	struct rule_draft *rules; /* owned */
	size_t count;
};

struct placed_port {
	struct published published;
	struct mark mark;
};

struct publish {
	struct placed_port *ports; /* owned */
	size_t count;
	struct mark mark;
};

void policy_reset(struct policy *policy);
void publish_reset(struct publish *publish);

/* What schema.c names. */
FIELD_PARSER(policy_parse_egress); /* struct policy */
FIELD_PARSER(policy_parse_ingress);
FIELD_PARSER(policy_parse_default);
FIELD_PARSER(policy_parse_allow);
FIELD_PARSER(policy_parse_deny);
FIELD_PARSER(policy_parse_peer); /* struct rule_draft */
FIELD_PARSER(policy_parse_ports);
FIELD_PARSER(publish_parse); /* struct publish */

#endif
