/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses for instances that were given none. */
#ifndef STOKER_CONFIG_LEASE_H
#define STOKER_CONFIG_LEASE_H

#include "config/manifest.h"

/* Fills in the addresses of specs that have none: their lease where it still holds, else the lowest
 * free one of the tenant's subnets. `drafts[i]` is what fleet->specs[i] was made from. */
void lease_addresses(struct fleet *fleet, const struct vm_draft *const *drafts,
		     const struct leases *leases, struct report *report);

#endif
