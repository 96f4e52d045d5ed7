/* SPDX-License-Identifier: Apache-2.0 */
/* The text of the table `inet stoker`, for nft(8). */
#ifndef STOKER_NET_RULES_H
#define STOKER_NET_RULES_H

#include "base/error.h"
#include "base/strbuf.h"
#include "base/strv.h"
#include "model/address.h"

/* Adding the table before deleting it makes the deletion never fail. */
#define RULES_REMOVE              \
	"add table inet stoker\n" \
	"delete table inet stoker\n"

/* Empties a table that is there already, chains and all, so that rules_base can fill it: a frame on
 * its way through a chain that were replaced by one of the same name would find neither. After
 * rules_base come RULES_EMPTY_MAPS, and the elements anew. */
#define RULES_EMPTY_CHAINS        \
	"add table inet stoker\n" \
	"flush table inet stoker\n"
#define RULES_EMPTY_MAPS                  \
	"flush map inet stoker egress\n"  \
	"flush map inet stoker ingress\n" \
	"flush map inet stoker host4\n"   \
	"flush map inet stoker host6\n"   \
	"flush map inet stoker any4\n"    \
	"flush map inet stoker any6\n"    \
	"flush set inet stoker hairpin\n"

/* The table without any VM: what each frame passes. */
extern const char rules_base[];

enum rules_side { RULES_EGRESS, RULES_INGRESS, RULES_SIDES };

#define RULES_NAME_MAX 32

/* "egress_7": a VM's chain; the map of its taps has the name of the side alone. */
extern const char *const rules_side_names[RULES_SIDES];
void rules_chain_name(enum rules_side side, uint32_t slot, char name[RULES_NAME_MAX]);

/* The commands that fill the VM's chain as `policy` (a list of model/policy.h) says; none for an
 * empty list. */
int rules_print_policy(enum rules_side side, uint32_t slot, const struct strv *policy,
		       struct strbuf *out, struct error *err);

/* One published port; compared as a value. */
struct rules_port {
	struct address host; /* family 0: each address of the host */
	struct address vm;
	uint8_t protocol;
	uint16_t host_port, vm_port;
};

void rules_print_port_added(const struct rules_port *port, struct strbuf *out);
void rules_print_port_deleted(const struct rules_port *port, struct strbuf *out);

/* By family and what a packet is found by, which `vm` and `vm_port` are not. */
int rules_compare_ports(const struct rules_port *a, const struct rules_port *b);

#endif
