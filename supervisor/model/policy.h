/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network policy as values, and as the text that a spec holds. A list of a spec's `egress` or
 * `ingress` is empty (nothing is forbidden) or begins with "default allow" or "default deny"; then
 * come the rules, a deny before an allow. What a deny matches is denied, else what an allow matches
 * is allowed, else the default holds.
 */
#ifndef STOKER_MODEL_POLICY_H
#define STOKER_MODEL_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "model/address.h"

enum {
	POLICY_RULES_MAX = 256, /* of one direction of a VM, its tenant's included */
	POLICY_PORTS_MAX = 64,	/* of one rule */
	PUBLISH_MAX = 1024,	/* ports of one VM */
};

#define POLICY_DEFAULT_DENY  "default deny"
#define POLICY_DEFAULT_ALLOW "default allow"

/* IPPROTO_ICMP stands for ICMP in IPv4 and ICMPv6 in IPv6; its range is 0 to 0. */
struct port_match {
	uint8_t protocol;     /* IPPROTO_TCP, IPPROTO_UDP or IPPROTO_ICMP */
	uint16_t first, last; /* 0 to 65535: each */
};

struct policy_rule {
	bool is_allow;
	struct prefix peer; /* the other end of what the VM begins, or of what is begun to it */
	struct port_match ports[POLICY_PORTS_MAX]; /* of whom the connection is made to */
	uint32_t port_count;			   /* 0: every protocol */
};

/* "tcp/443", "tcp/8000-8999", "udp", "icmp". */
int port_match_parse(const char *text, struct port_match *ret, struct error *err);

/* "allow 10.0.0.0/8 tcp/443 udp/53", as policy_rule_print writes it. */
int policy_rule_parse(const char *text, struct policy_rule *ret, struct error *err);
void policy_rule_print(const struct policy_rule *rule, struct strbuf *out);

/* `count` ports of the host that are the VM's. */
struct published {
	struct address host; /* family 0: each of the host's addresses */
	uint8_t protocol;    /* IPPROTO_TCP or IPPROTO_UDP */
	uint16_t host_port, vm_port, count;
};

/* "[HOST:]PORT[-PORT]:PORT[-PORT][/tcp|/udp]", HOST an address, IPv6 in brackets. */
int published_parse(const char *text, struct published *ret, struct error *err);
void published_print(const struct published *published, struct strbuf *out);

#endif
