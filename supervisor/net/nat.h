/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's own packet rules for taps: policies, published ports and address translation, in one
 * nftables table, `inet stoker`, ours alone. It stays when the daemon ends; the next one replaces
 * it in one step when it knows all VMs again.
 */
#ifndef STOKER_NET_NAT_H
#define STOKER_NET_NAT_H

#include <stdbool.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "net/net.h"
#include "net/rules.h"

struct nat;

struct nat *nat_new(void);
struct nat *nat_free(struct nat *nat); /* the table stays; NULL is fine; returns NULL */

/* What is to hold for the tap's VM from the next nat_commit on. After an error the former holds. */
int nat_set(struct nat *nat, const struct net_tap *tap, struct error *err);

/* Nothing is to hold for the slot. True when something did. */
bool nat_forget(struct nat *nat, uint32_t slot);

bool nat_has_ports(const struct nat *nat, uint32_t slot);

/* Brings the kernel's table to what is set, in one transaction: the first commit fills the whole
 * table anew, later ones only what has changed. A frame meets the former rules or the new. After an
 * error the former hold, and the next commit tries again. */
int nat_commit(struct nat *nat, struct error *err);

/* Looks whether the table is still there; if not, the next commit fills it anew. */
void nat_verify(struct nat *nat);

/* The rules of one side of a VM, a line each, as the kernel has them; nothing where there are none.
 */
int nat_list(const struct nat *nat, uint32_t slot, enum rules_side side, struct strv *ret,
	     struct error *err);

/* As model/policy.h writes them. */
void nat_list_ports(const struct nat *nat, uint32_t slot, struct strv *ret);

int nat_remove(struct error *err); /* missing is fine */

#endif
