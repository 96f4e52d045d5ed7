/* SPDX-License-Identifier: Apache-2.0 */
/* The host's own packet rules for taps: one nftables table, `inet stoker`, ours alone. */
#ifndef STOKER_NET_NAT_H
#define STOKER_NET_NAT_H

#include "base/error.h"

/* Replaces the table in one transaction: either the old rules hold or the new ones. */
int nat_install(struct error *err);

int nat_remove(struct error *err); /* missing is fine */

#endif
