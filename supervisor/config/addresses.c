/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subnets and addresses over all files of a fleet; called by validate.c. What a tenant may not have
 * is what the host, the guard or every link uses itself (RFC 6890's special-purpose blocks).
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "config/validate.h"

struct placed_subnet {
	struct prefix prefix;
	const struct tenant_draft *tenant;
	struct mark mark;
};

static const struct {
	const char *prefix, *what;
} special[] = {
	{ "0.0.0.0/8", "this network" },    { "127.0.0.0/8", "loopback" },
	{ "169.254.0.0/16", "link-local" }, { "224.0.0.0/4", "multicast" },
	{ "240.0.0.0/4", "reserved" },	    { "::/96", "loopback" },
	{ "fe80::/10", "link-local" },	    { "ff00::/8", "multicast" },
	{ "64:ff9b::/96", "translation" },
};

static int compare_subnets(const void *a, const void *b)
{
	const struct placed_subnet *left = a, *right = b;
	int order = address_compare(&left->prefix.address, &right->prefix.address);

	if (order)
		return order;
	if (left->prefix.length != right->prefix.length)
		return left->prefix.length < right->prefix.length ? -1 : 1;
	/* Marks lie in one array per tenant, tenants in the order of the files. */
	if (left->tenant != right->tenant)
		return left->tenant < right->tenant ? -1 : 1;
	return (left->mark.line > right->mark.line) - (left->mark.line < right->mark.line);
}

static void check_subnet(struct report *report, const struct placed_subnet *subnet)
{
	unsigned longest = subnet->prefix.address.family == 4 ? 30 : 126;
	char text[ADDRESS_TEXT_MAX];

	prefix_format(&subnet->prefix, text);
	for (size_t i = 0; i < sizeof(special) / sizeof(*special); i++) {
		struct prefix block;

		if (prefix_parse(special[i].prefix, &block) == 0 &&
		    prefix_overlaps(&block, &subnet->prefix)) {
			report_add(report, subnet->mark, "subnet %s includes addresses of %s (%s)",
				   text, special[i].prefix, special[i].what);
			return;
		}
	}
	if (subnet->prefix.length > longest)
		report_add(report, subnet->mark, "subnet %s has no room for a VM (/%u or larger)",
			   text, longest);
	else if (subnet->prefix.length < 8)
		report_add(report, subnet->mark, "subnet %s is too large (/8 or smaller)", text);
}

static void refuse_overlap(struct report *report, const struct placed_subnet *a,
			   const struct placed_subnet *b)
{
	bool b_is_later = a->tenant < b->tenant ||
			  (a->tenant == b->tenant && a->mark.line <= b->mark.line);
	const struct placed_subnet *first = b_is_later ? a : b, *later = b_is_later ? b : a;
	_cleanup_free_ char *place = mark_format(first->mark);
	char first_text[ADDRESS_TEXT_MAX], later_text[ADDRESS_TEXT_MAX];

	prefix_format(&first->prefix, first_text);
	prefix_format(&later->prefix, later_text);
	if (first->tenant == later->tenant)
		report_add(report, later->mark, "subnet %s overlaps %s at %s", later_text,
			   first_text, place);
	else
		report_add(report, later->mark, "subnet %s overlaps %s of tenant '%s' at %s",
			   later_text, first_text, first->tenant->name, place);
}

void validate_subnets(const struct draft *draft, struct report *report)
{
	_cleanup_free_ struct placed_subnet *subnets = NULL;
	const struct placed_subnet *outer = NULL;
	size_t count = 0;

	for (size_t i = 0; i < draft->tenant_count; i++)
		count += draft->tenants[i].tenant.subnet_count;
	subnets = xcalloc(count, sizeof(*subnets));
	count = 0;
	for (size_t i = 0; i < draft->tenant_count; i++) {
		const struct tenant_draft *tenant = &draft->tenants[i];

		for (size_t j = 0; j < tenant->tenant.subnet_count; j++) {
			subnets[count] = (struct placed_subnet){ tenant->tenant.subnets[j], tenant,
								 tenant->subnet_marks[j] };
			check_subnet(report, &subnets[count++]);
		}
	}
	qsort(subnets, count, sizeof(*subnets), compare_subnets);
	/* Two prefixes are nested or apart, so the outermost one so far is all to compare with. */
	for (size_t i = 0; i < count; i++) {
		if (outer && prefix_overlaps(&outer->prefix, &subnets[i].prefix))
			refuse_overlap(report, outer, &subnets[i]);
		else
			outer = &subnets[i];
	}
}

const struct prefix *tenant_subnet_of(const struct tenant *tenant, const struct address *address)
{
	for (size_t i = 0; i < tenant->subnet_count; i++)
		if (prefix_contains(&tenant->subnets[i], address))
			return &tenant->subnets[i];
	return NULL;
}

const char *address_use(const struct prefix *subnet, const struct address *address)
{
	unsigned bits = address->family == 4 ? 32 : 128;
	struct address last = subnet->address;

	if (address_compare(address, &subnet->address) == 0)
		return address->family == 4 ? "the network address"
					    : "the routers' anycast address";
	for (unsigned i = subnet->length; i < bits; i++)
		last.bytes[i / 8] |= (uint8_t)(0x80 >> (i % 8));
	if (address->family == 4 && address_compare(address, &last) == 0)
		return "the broadcast address";
	return NULL;
}

static void check_address(struct report *report, const struct tenant_draft *tenant,
			  const struct placed_address *placed)
{
	const struct prefix *subnet = tenant_subnet_of(&tenant->tenant, &placed->address);
	char text[ADDRESS_TEXT_MAX], subnet_text[ADDRESS_TEXT_MAX];
	const char *use;

	address_format(&placed->address, text);
	/* A tenant without a valid subnet was told so already. */
	if (!subnet && tenant->tenant.subnet_count > 0)
		report_add(report, placed->mark, "address %s is outside the subnets of tenant '%s'",
			   text, tenant->name);
	use = subnet ? address_use(subnet, &placed->address) : NULL;
	if (use)
		report_add(report, placed->mark, "address %s is %s of %s", text, use,
			   prefix_format(subnet, subnet_text));
}

/* One for each replica, in each family that is used; a single VM may have several. */
static void check_count(struct report *report, const struct vm_draft *vm, uint8_t family)
{
	size_t count = 0;

	for (size_t i = 0; i < vm->address_count; i++)
		count += vm->addresses[i].address.family == family;
	if (count == 0 || vm->replicas == 0 || count == vm->replicas)
		return;
	if (vm->replicas == 1 && count > SPEC_ADDRESSES_MAX)
		report_add(report, vm->addresses_mark, "%zu IPv%u addresses (at most %d)", count,
			   family, SPEC_ADDRESSES_MAX);
	else if (vm->replicas > 1)
		report_add(report, vm->addresses_mark,
			   "%zu IPv%u addresses for %u replicas (one for each)", count, family,
			   vm->replicas);
}

static int compare_placed(const void *a, const void *b)
{
	const struct placed_address *left = *(struct placed_address *const *)a;
	const struct placed_address *right = *(struct placed_address *const *)b;
	int order = address_compare(&left->address, &right->address);

	if (order)
		return order;
	if (left->mark.source->index != right->mark.source->index)
		return left->mark.source->index < right->mark.source->index ? -1 : 1;
	if (left->mark.line != right->mark.line)
		return left->mark.line < right->mark.line ? -1 : 1;
	return (left->mark.column > right->mark.column) - (left->mark.column < right->mark.column);
}

static void check_unique(struct report *report, const struct placed_address **placed, size_t count)
{
	qsort(placed, count, sizeof(*placed), compare_placed);
	for (size_t i = 1; i < count; i++) {
		_cleanup_free_ char *place = NULL;
		char text[ADDRESS_TEXT_MAX];

		if (address_compare(&placed[i - 1]->address, &placed[i]->address) != 0)
			continue;
		place = mark_format(placed[i - 1]->mark);
		report_add(report, placed[i]->mark, "address %s is used twice (first at %s)",
			   address_format(&placed[i]->address, text), place);
	}
}

void validate_addresses(const struct draft *draft, struct report *report)
{
	_cleanup_free_ const struct placed_address **placed = NULL;
	size_t count = 0, capacity = 0;

	for (size_t i = 0; i < draft->tenant_count; i++) {
		const struct tenant_draft *tenant = &draft->tenants[i];

		for (size_t j = 0; j < tenant->vm_count; j++) {
			const struct vm_draft *vm = &tenant->vms[j];

			check_count(report, vm, 4);
			check_count(report, vm, 6);
			if (capacity < count + vm->address_count) {
				capacity = 2 * (count + vm->address_count);
				placed = xreallocarray(placed, capacity, sizeof(*placed));
			}
			for (size_t k = 0; k < vm->address_count; k++) {
				check_address(report, tenant, &vm->addresses[k]);
				placed[count++] = &vm->addresses[k];
			}
		}
	}
	if (count)
		check_unique(report, placed, count);
}
