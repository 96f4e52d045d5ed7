/* SPDX-License-Identifier: Apache-2.0 */
/* The checks that see the whole fleet at once. */
#ifndef STOKER_CONFIG_VALIDATE_H
#define STOKER_CONFIG_VALIDATE_H

#include "config/manifest.h"

enum { FLEET_INSTANCES_MAX = 10000 };

/* Reports all conflicts between values of the draft, whichever files they came from. */
void validate(struct draft *draft, struct report *report);

/* Its part about addresses (addresses.c). */
void validate_subnets(const struct draft *draft, struct report *report);
void validate_addresses(const struct draft *draft, struct report *report);

/* Fills in egress, ingress and ports of the VMs' specs (policy_validate.c). */
void validate_policies(struct draft *draft, struct report *report);

/* Whom VMs wait for before they start (depends.c). */
void validate_dependencies(const struct draft *draft, struct report *report);

/* What an IPv4 or IPv6 subnet keeps for itself: "the network address" ...; NULL: a host's. */
const char *address_use(const struct prefix *subnet, const struct address *address);

/* The tenant's subnet that holds the address; NULL when none does. */
const struct prefix *tenant_subnet_of(const struct tenant *tenant, const struct address *address);

#endif
