/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net.c says what is to hold for each tap; here it becomes the difference to what the kernel holds,
 * one transaction of nft(8). What was committed is remembered, so that a change of one VM among
 * many costs no more than its own rules.
 *
 * Each transaction keeps the chains that it can keep. A frame holds to the generation of rules in
 * which it began a chain, and a chain that was added in another one is empty for it: to delete the
 * table and to add it again would, for a moment, let frames pass unjudged.
 */
#include "net/nat.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "model/policy.h"
#include "net/nft.h"

struct rules_text {
	char *wanted, *loaded; /* owned; NULL: no chain */
};

struct placed_port {
	struct rules_port port;
	uint64_t turn; /* who came later has the port, until the other is gone */
};

struct ports {
	struct placed_port *items; /* owned */
	size_t count;
};

struct nat_vm {
	char tap[16];
	struct rules_text sides[RULES_SIDES];
	struct ports ports;
	struct strv published; /* the same, as the spec has it */
	bool has_hairpin;      /* loaded */
};

struct nat {
	struct nat_vm *vms[NET_SLOTS_MAX]; /* owned; NULL: nothing was ever set */
	struct ports loaded_ports;	   /* sorted, each port once */
	uint64_t turn;
	bool is_loaded; /* the kernel holds what `loaded` says */
	bool has_changes;
};

struct nat *nat_new(void)
{
	return xcalloc(1, sizeof(struct nat));
}

struct nat *nat_free(struct nat *nat)
{
	if (!nat)
		return NULL;
	for (size_t i = 0; i < NET_SLOTS_MAX; i++) {
		struct nat_vm *vm = nat->vms[i];

		for (size_t side = 0; vm && side < RULES_SIDES; side++) {
			free(vm->sides[side].wanted);
			free(vm->sides[side].loaded);
		}
		if (vm) {
			free(vm->ports.items);
			strv_reset(&vm->published);
		}
		free(vm);
	}
	free(nat->loaded_ports.items);
	free(nat);
	return NULL;
}

/* --- what is wanted --------------------------------------------------------------------------- */

static void add_ports(const struct published *published, const struct address_list *addresses,
		      uint64_t turn, struct ports *ret)
{
	uint8_t families = 0; /* a bit each; the first address of a family is the one */

	ret->items = xreallocarray(ret->items, ret->count + 2u * published->count,
				   sizeof(*ret->items));
	for (uint32_t i = 0; i < addresses->count; i++) {
		const struct address *vm = &addresses->items[i];

		if (families & 1u << vm->family ||
		    (published->host.family && published->host.family != vm->family))
			continue;
		families |= (uint8_t)(1u << vm->family);
		for (uint16_t j = 0; j < published->count; j++)
			ret->items[ret->count++] = (struct placed_port){
				.port = { .host = published->host,
					  .vm = *vm,
					  .protocol = published->protocol,
					  .host_port = (uint16_t)(published->host_port + j),
					  .vm_port = (uint16_t)(published->vm_port + j) },
				.turn = turn,
			};
	}
}

static bool is_same_port(const struct rules_port *a, const struct rules_port *b)
{
	return rules_compare_ports(a, b) == 0 && address_compare(&a->vm, &b->vm) == 0 &&
	       a->vm_port == b->vm_port;
}

static bool has_same_ports(const struct ports *a, const struct ports *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (!is_same_port(&a->items[i].port, &b->items[i].port))
			return false;
	return true;
}

static int make_ports(const struct net_tap *tap, uint64_t turn, struct ports *ret,
		      struct error *err)
{
	for (size_t i = 0; tap->ports && i < tap->ports->count; i++) {
		struct published published;

		if (published_parse(tap->ports->items[i], &published, err) < 0)
			return error_wrap(err, "ports");
		add_ports(&published, &tap->addresses, turn, ret);
	}
	return 0;
}

static bool is_same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static void set_side(struct nat *nat, struct rules_text *side, char *wanted)
{
	if (!is_same_text(side->wanted, wanted))
		nat->has_changes = true;
	free(side->wanted);
	side->wanted = wanted;
}

static void set_ports(struct nat *nat, struct nat_vm *vm, struct ports ports)
{
	if (!has_same_ports(&vm->ports, &ports))
		nat->has_changes = true;
	free(vm->ports.items);
	vm->ports = ports;
}

static struct nat_vm *find_vm(struct nat *nat, const struct net_tap *tap)
{
	struct nat_vm *vm = nat->vms[tap->slot];

	if (!vm)
		vm = nat->vms[tap->slot] = xcalloc(1, sizeof(*vm));
	/* The maps know it by the name that it had. */
	if (strcmp(vm->tap, tap->name) != 0 && vm->tap[0])
		nat->is_loaded = false;
	strncpy(vm->tap, tap->name, sizeof(vm->tap) - 1);
	return vm;
}

int nat_set(struct nat *nat, const struct net_tap *tap, struct error *err)
{
	const struct strv *const policies[RULES_SIDES] = { tap->egress, tap->ingress };
	_cleanup_strbuf_ struct strbuf egress = { 0 }, ingress = { 0 };
	struct strbuf *texts[RULES_SIDES] = { &egress, &ingress };
	struct ports ports = { 0 };
	struct nat_vm *vm;

	if (tap->slot >= NET_SLOTS_MAX)
		return error_set(err, "nftables: slot %u: there are %d", tap->slot, NET_SLOTS_MAX);
	for (enum rules_side side = 0; side < RULES_SIDES; side++)
		if (policies[side] &&
		    rules_print_policy(side, tap->slot, policies[side], texts[side], err) < 0)
			return error_wrap(err, "tap '%s'", tap->name);
	if (make_ports(tap, ++nat->turn, &ports, err) < 0) {
		free(ports.items);
		return error_wrap(err, "tap '%s'", tap->name);
	}
	vm = find_vm(nat, tap);
	for (enum rules_side side = 0; side < RULES_SIDES; side++)
		set_side(nat, &vm->sides[side],
			 texts[side]->length ? strbuf_take(texts[side]) : NULL);
	set_ports(nat, vm, ports);
	strv_reset(&vm->published);
	if (tap->ports)
		strv_copy(&vm->published, tap->ports);
	return 0;
}

bool nat_forget(struct nat *nat, uint32_t slot)
{
	struct nat_vm *vm = slot < NET_SLOTS_MAX ? nat->vms[slot] : NULL;
	bool had_any = vm && (vm->ports.count || vm->sides[RULES_EGRESS].wanted ||
			      vm->sides[RULES_INGRESS].wanted);

	if (!had_any)
		return false;
	for (enum rules_side side = 0; side < RULES_SIDES; side++)
		set_side(nat, &vm->sides[side], NULL);
	set_ports(nat, vm, (struct ports){ 0 });
	strv_reset(&vm->published);
	return true;
}

bool nat_has_ports(const struct nat *nat, uint32_t slot)
{
	return slot < NET_SLOTS_MAX && nat->vms[slot] && nat->vms[slot]->ports.count;
}

/* --- the difference --------------------------------------------------------------------------- */

/* How the kernel's table is brought to what is wanted. */
enum change {
	CHANGE_DIFFERENCE, /* it holds what is remembered */
	CHANGE_REFILL,	   /* it may hold anything of ours: emptied and filled */
	CHANGE_REPLACE,	   /* it cannot be filled: not of this version */
	CHANGES,
};

static void print_side(const struct nat_vm *vm, enum rules_side side, uint32_t slot,
		       enum change change, struct strbuf *out)
{
	const char *loaded = change == CHANGE_DIFFERENCE ? vm->sides[side].loaded : NULL;
	const char *wanted = vm->sides[side].wanted, *map = rules_side_names[side];
	char chain[RULES_NAME_MAX];

	if (is_same_text(loaded, wanted))
		return;
	rules_chain_name(side, slot, chain);
	if (!wanted) {
		strbuf_printf(out, "delete element inet stoker %s { \"%s\" }\n", map, vm->tap);
		strbuf_printf(out, "flush chain inet stoker %s\n", chain);
		strbuf_printf(out, "delete chain inet stoker %s\n", chain);
		return;
	}
	strbuf_printf(out, "%s chain inet stoker %s\n", loaded ? "flush" : "add", chain);
	strbuf_puts(out, wanted);
	if (!loaded)
		strbuf_printf(out, "add element inet stoker %s { \"%s\" : jump %s }\n", map,
			      vm->tap, chain);
}

static void print_hairpin(const struct nat_vm *vm, enum change change, struct strbuf *out)
{
	bool is_loaded = change == CHANGE_DIFFERENCE && vm->has_hairpin;
	bool is_wanted = vm->ports.count > 0;

	if (is_loaded != is_wanted)
		strbuf_printf(out, "%s element inet stoker hairpin { \"%s\" . \"%s\" }\n",
			      is_wanted ? "add" : "delete", vm->tap, vm->tap);
}

/* Whether the chain of the table, by its name, is that of a VM which has none now. */
static bool is_stale(const struct nat *nat, const char *name)
{
	for (enum rules_side side = 0; side < RULES_SIDES; side++) {
		size_t length = strlen(rules_side_names[side]);
		unsigned long slot;

		if (strncmp(name, rules_side_names[side], length) != 0 || name[length] != '_')
			continue;
		slot = strtoul(name + length + 1, NULL, 10);
		return slot >= NET_SLOTS_MAX || !nat->vms[slot] ||
		       !nat->vms[slot]->sides[side].wanted;
	}
	return false;
}

static void print_stale(const struct nat *nat, struct strbuf *out)
{
	_cleanup_strbuf_ struct strbuf chains = { 0 };
	char *line, *left = NULL, *text, name[RULES_NAME_MAX];
	bool is_ours = false;
	struct error err;

	/* Without the list, what is stale stays, and nothing leads to it. */
	if (nft_list_chains(&chains, &err) < 0 || !chains.length)
		return;
	text = strbuf_take(&chains);
	for (line = strtok_r(text, "\n", &left); line; line = strtok_r(NULL, "\n", &left)) {
		if (strncmp(line, "table ", 6) == 0)
			is_ours = strcmp(line, "table inet stoker {") == 0;
		else if (is_ours && sscanf(line, "\tchain %31s {", name) == 1 &&
			 is_stale(nat, name))
			strbuf_printf(out, "delete chain inet stoker %s\n", name);
	}
	free(text);
}

static int compare_placed(const void *a, const void *b)
{
	const struct placed_port *left = a, *right = b;
	int order = rules_compare_ports(&left->port, &right->port);

	return order ? order : (left->turn > right->turn) - (left->turn < right->turn);
}

/* All ports of all VMs, sorted, each once: the last comer's. */
static struct ports gather_ports(const struct nat *nat)
{
	struct ports all = { 0 };
	size_t kept = 0, count = 0;

	for (size_t i = 0; i < NET_SLOTS_MAX; i++)
		count += nat->vms[i] ? nat->vms[i]->ports.count : 0;
	all.items = xcalloc(count + 1, sizeof(*all.items));
	for (size_t i = 0; i < NET_SLOTS_MAX; i++) {
		const struct ports *ports = nat->vms[i] ? &nat->vms[i]->ports : NULL;

		for (size_t j = 0; ports && j < ports->count; j++)
			all.items[all.count++] = ports->items[j];
	}
	qsort(all.items, all.count, sizeof(*all.items), compare_placed);
	for (size_t i = 0; i < all.count; i++) {
		if (kept && rules_compare_ports(&all.items[kept - 1].port, &all.items[i].port) == 0)
			kept--;
		all.items[kept++] = all.items[i];
	}
	all.count = kept;
	return all;
}

/* Elements that stay are not touched: a frame that looks for one finds it at any moment. */
static void print_ports(const struct ports *from, const struct ports *to, struct strbuf *out)
{
	size_t i = 0, j = 0;

	while (i < from->count || j < to->count) {
		const struct rules_port *old = i < from->count ? &from->items[i].port : NULL;
		const struct rules_port *new = j < to->count ? &to->items[j].port : NULL;
		int order = !old ? 1 : !new ? -1 : rules_compare_ports(old, new);

		i += order <= 0;
		j += order >= 0;
		if (order == 0 && is_same_port(old, new))
			continue;
		if (order <= 0)
			rules_print_port_deleted(old, out);
		if (order >= 0)
			rules_print_port_added(new, out);
	}
}

static void print_change(const struct nat *nat, enum change change, const struct ports *ports,
			 struct strbuf *out)
{
	static const struct ports none;

	if (change == CHANGE_REFILL)
		strbuf_puts(out, RULES_EMPTY_CHAINS);
	else if (change == CHANGE_REPLACE)
		strbuf_puts(out, RULES_REMOVE);
	if (change != CHANGE_DIFFERENCE)
		strbuf_puts(out, rules_base);
	if (change == CHANGE_REFILL) {
		strbuf_puts(out, RULES_EMPTY_MAPS);
		print_stale(nat, out);
	}
	for (uint32_t slot = 0; slot < NET_SLOTS_MAX; slot++) {
		if (!nat->vms[slot])
			continue;
		for (enum rules_side side = 0; side < RULES_SIDES; side++)
			print_side(nat->vms[slot], side, slot, change, out);
		print_hairpin(nat->vms[slot], change, out);
	}
	print_ports(change == CHANGE_DIFFERENCE ? &nat->loaded_ports : &none, ports, out);
}

static void remember_vm(struct nat_vm *vm)
{
	for (enum rules_side side = 0; side < RULES_SIDES; side++) {
		struct rules_text *text = &vm->sides[side];

		if (is_same_text(text->loaded, text->wanted))
			continue;
		free(text->loaded);
		text->loaded = xstrdup(text->wanted);
	}
	vm->has_hairpin = vm->ports.count > 0;
}

static void remember(struct nat *nat, struct ports *ports)
{
	for (uint32_t slot = 0; slot < NET_SLOTS_MAX; slot++)
		if (nat->vms[slot])
			remember_vm(nat->vms[slot]);
	free(nat->loaded_ports.items);
	nat->loaded_ports = *ports;
	*ports = (struct ports){ 0 };
	nat->is_loaded = true;
	nat->has_changes = false;
}

static int commit(struct nat *nat, enum change change, struct ports *ports, struct error *err)
{
	_cleanup_strbuf_ struct strbuf text = { 0 };

	print_change(nat, change, ports, &text);
	if (text.length && nft_apply(strbuf_text(&text), err) < 0)
		return -1;
	remember(nat, ports);
	return 0;
}

int nat_commit(struct nat *nat, struct error *err)
{
	struct ports ports;
	int result = -1;

	if (nat->is_loaded && !nat->has_changes)
		return 0;
	ports = gather_ports(nat);
	/* A difference that does not fit: somebody has been at the table. */
	for (enum change change = nat->is_loaded ? CHANGE_DIFFERENCE : CHANGE_REFILL;
	     change < CHANGES && result < 0; change++)
		result = commit(nat, change, &ports, err);
	if (result < 0)
		nat->is_loaded = false;
	free(ports.items);
	return result;
}

void nat_verify(struct nat *nat)
{
	_cleanup_strbuf_ struct strbuf text = { 0 };
	struct error err;

	if (nat->is_loaded && (nft_list_chain("forward", &text, &err) < 0 ||
			       !strstr(strbuf_text(&text), "vmap @ingress")))
		nat->is_loaded = false;
}

/* --- looking at it ---------------------------------------------------------------------------- */

int nat_list(const struct nat *nat, uint32_t slot, enum rules_side side, struct strv *ret,
	     struct error *err)
{
	const struct nat_vm *vm = slot < NET_SLOTS_MAX ? nat->vms[slot] : NULL;
	_cleanup_strbuf_ struct strbuf text = { 0 };
	char chain[RULES_NAME_MAX], *copy, *line, *left = NULL;

	if (!vm || !vm->sides[side].loaded)
		return 0;
	rules_chain_name(side, slot, chain);
	if (nft_list_chain(chain, &text, err) < 0)
		return -1;
	copy = strbuf_take(&text);
	for (line = strtok_r(copy, "\n", &left); line; line = strtok_r(NULL, "\n", &left))
		if (strncmp(line, "\t\t", 2) == 0)
			strv_add(ret, line + 2);
	free(copy);
	return 0;
}

void nat_list_ports(const struct nat *nat, uint32_t slot, struct strv *ret)
{
	if (nat_has_ports(nat, slot))
		strv_copy(ret, &nat->vms[slot]->published);
}

int nat_remove(struct error *err)
{
	return nft_apply(RULES_REMOVE, err);
}
