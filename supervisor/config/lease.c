/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses by name, so that they survive restarts of the daemon. Called by load.c with a fleet
 * that is valid otherwise; the file is the daemon's own, one line per instance: name, then
 * addresses. The result depends on the manifests and the leases alone.
 */
#include "config/lease.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "config/validate.h"

enum { LEASES_BYTES_MAX = 16 << 20 };

struct lease {
	char *name; /* owned */
	struct address_list addresses;
};

struct leases {
	struct lease *items; /* owned; sorted by name */
	size_t count;
};

struct leases *leases_free(struct leases *leases)
{
	if (!leases)
		return NULL;
	for (size_t i = 0; i < leases->count; i++)
		free(leases->items[i].name);
	free(leases->items);
	free(leases);
	return NULL;
}
DEFINE_CLEANUP(struct leases, leases_free);

static int compare_leases(const void *a, const void *b)
{
	return strcmp(((const struct lease *)a)->name, ((const struct lease *)b)->name);
}

/* "tenant/vm.2 10.20.0.12 fd00:20::c"; the line is cut into its words. */
static int parse_line(char *line, struct lease *lease, struct error *err)
{
	char *rest = NULL, *name = strtok_r(line, " ", &rest);

	if (!name || !strchr(name, '/'))
		return error_set(err, "no instance's name");
	for (char *word; (word = strtok_r(NULL, " ", &rest));) {
		if (lease->addresses.count == 2 * SPEC_ADDRESSES_MAX)
			return error_set(err, "too many addresses");
		if (address_parse(word, &lease->addresses.items[lease->addresses.count++]) < 0)
			return error_set(err, "'%s' is not an address", word);
	}
	lease->name = xstrdup(name);
	return 0;
}

static int parse_leases(char *text, struct leases *leases, struct error *err)
{
	unsigned number = 0;
	size_t capacity = 0;
	char *rest = text;

	for (char *line; (line = strsep(&rest, "\n"));) {
		number++;
		if (!*line)
			continue;
		if (leases->count == capacity) {
			capacity = capacity ? 2 * capacity : 64;
			leases->items = xreallocarray(leases->items, capacity,
						      sizeof(*leases->items));
		}
		leases->items[leases->count] = (struct lease){ 0 };
		if (parse_line(line, &leases->items[leases->count], err) < 0)
			return error_wrap(err, "line %u", number);
		leases->count++;
	}
	if (leases->count)
		qsort(leases->items, leases->count, sizeof(*leases->items), compare_leases);
	return 0;
}

int leases_read(const char *path, struct leases **ret, struct error *err)
{
	CLEANUP(leases_free_cleanup) struct leases *leases = xcalloc(1, sizeof(*leases));
	_cleanup_strbuf_ struct strbuf content = { 0 };

	if (access(path, F_OK) < 0 && errno == ENOENT) {
		*ret = take_ptr(leases);
		return 0;
	}
	if (fs_read(path, LEASES_BYTES_MAX, &content, err) < 0)
		return -1;
	if (content.length && memchr(content.data, '\0', content.length))
		return error_set(err, "%s: holds a NUL byte (remove the file)", path);
	if (content.length && parse_leases(content.data, leases, err) < 0)
		return error_wrap(err, "%s", path);
	*ret = take_ptr(leases);
	return 0;
}

int leases_write(const char *path, const struct fleet *fleet, struct error *err)
{
	_cleanup_strbuf_ struct strbuf content = { 0 };
	char text[ADDRESS_TEXT_MAX];

	/* Also of instances with addresses of their own: they keep them when the key goes away. */
	for (size_t i = 0; i < fleet->spec_count; i++) {
		const struct spec *spec = fleet->specs[i];

		strbuf_puts(&content, spec->name);
		for (uint32_t j = 0; j < spec->addresses.count; j++)
			strbuf_printf(&content, " %s",
				      address_format(&spec->addresses.items[j], text));
		strbuf_putc(&content, '\n');
	}
	return fs_write_atomic(path, strbuf_text(&content), content.length, 0600, err);
}

/* A set of addresses: open addressing, at most half full. */
struct address_set {
	struct address *slots; /* owned; family 0 = free */
	size_t mask;
};

static void address_set_reset(struct address_set *set)
{
	free(set->slots);
}

static struct address *set_slot(const struct address_set *set, const struct address *address)
{
	uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */

	for (size_t i = 0; i < sizeof(address->bytes); i++)
		hash = (hash ^ address->bytes[i]) * 0x100000001b3;
	for (size_t i = hash & set->mask;; i = (i + 1) & set->mask)
		if (set->slots[i].family == 0 || address_compare(&set->slots[i], address) == 0)
			return &set->slots[i];
}

/* False when it was there already. */
static bool set_add(struct address_set *set, const struct address *address)
{
	struct address *slot = set_slot(set, address);

	if (slot->family)
		return false;
	*slot = *address;
	return true;
}

struct leasing {
	struct fleet *fleet;
	const struct vm_draft *const *drafts;
	struct report *report;
	struct address_set used;
};

static bool has_family(const struct address_list *list, uint8_t family)
{
	for (uint32_t i = 0; i < list->count; i++)
		if (list->items[i].family == family)
			return true;
	return false;
}

static bool tenant_has_family(const struct tenant *tenant, uint8_t family)
{
	for (size_t i = 0; i < tenant->subnet_count; i++)
		if (tenant->subnets[i].address.family == family)
			return true;
	return false;
}

static bool is_leased(const struct leasing *leasing, size_t i)
{
	return leasing->drafts[i]->address_count == 0;
}

/* Gives the spec its lease's first address of the family, when it is still good. */
static void renew(struct leasing *leasing, struct spec *spec, const struct tenant *tenant,
		  const struct lease *lease, uint8_t family)
{
	for (uint32_t i = 0; i < lease->addresses.count; i++) {
		const struct address *address = &lease->addresses.items[i];
		const struct prefix *subnet = tenant_subnet_of(tenant, address);

		if (address->family != family || !subnet || address_use(subnet, address) ||
		    !set_add(&leasing->used, address))
			continue;
		spec->addresses.items[spec->addresses.count++] = *address;
		return;
	}
}

static void renew_all(struct leasing *leasing, const struct leases *leases)
{
	for (size_t i = 0; i < leasing->fleet->spec_count; i++) {
		struct spec *spec = leasing->fleet->specs[i];
		const struct lease key = { .name = spec->name };
		const struct lease *lease;

		if (!is_leased(leasing, i) || leases->count == 0)
			continue;
		lease = bsearch(&key, leases->items, leases->count, sizeof(key), compare_leases);
		if (lease) {
			const struct tenant *tenant = fleet_tenant(leasing->fleet, spec->tenant);

			renew(leasing, spec, tenant, lease, 4);
			renew(leasing, spec, tenant, lease, 6);
		}
	}
}

/* Where the search for a free address of one tenant and family stands: it never goes back, so all
 * searches of a tenant together look at each used address once. */
struct cursor {
	size_t subnet;
	uint64_t offset;
};

/* Offsets 0 (network, anycast) and 1 (by habit a router) are left alone. */
static bool next_free(struct leasing *leasing, const struct tenant *tenant, uint8_t family,
		      struct cursor *cursor, struct address *ret)
{
	for (; cursor->subnet < tenant->subnet_count; cursor->subnet++, cursor->offset = 0) {
		const struct prefix *subnet = &tenant->subnets[cursor->subnet];

		if (subnet->address.family != family)
			continue;
		if (cursor->offset < 2)
			cursor->offset = 2;
		while (prefix_nth(subnet, cursor->offset++, ret))
			if (!address_use(subnet, ret) && set_add(&leasing->used, ret))
				return true;
	}
	return false;
}

/* Keeps IPv4 first, as the list promises. */
static void insert(struct address_list *list, const struct address *address)
{
	uint32_t at = list->count++;

	for (; at > 0 && address->family < list->items[at - 1].family; at--)
		list->items[at] = list->items[at - 1];
	list->items[at] = *address;
}

static void assign_all(struct leasing *leasing, uint8_t family)
{
	const struct tenant *tenant = NULL;
	struct cursor cursor = { 0 };

	for (size_t i = 0; i < leasing->fleet->spec_count; i++) {
		struct spec *spec = leasing->fleet->specs[i];
		struct address address;

		if (!tenant || strcmp(tenant->name, spec->tenant) != 0) {
			tenant = fleet_tenant(leasing->fleet, spec->tenant);
			cursor = (struct cursor){ 0 };
		}
		if (!is_leased(leasing, i) || has_family(&spec->addresses, family) ||
		    !tenant_has_family(tenant, family))
			continue;
		if (next_free(leasing, tenant, family, &cursor, &address))
			insert(&spec->addresses, &address);
		else
			report_add(leasing->report, leasing->drafts[i]->mark,
				   "no IPv%u address is free for '%s' (widen the subnets of '%s')",
				   family, spec->name, tenant->name);
	}
}

void lease_addresses(struct fleet *fleet, const struct vm_draft *const *drafts,
		     const struct leases *leases, struct report *report)
{
	struct leasing leasing = { .fleet = fleet, .drafts = drafts, .report = report };
	__attribute__((cleanup(address_set_reset))) struct address_set used = { .mask = 63 };
	size_t room = 2 * fleet->spec_count; /* one of each family for those without */

	for (size_t i = 0; i < fleet->spec_count; i++)
		room += fleet->specs[i]->addresses.count;
	while (used.mask < 2 * room)
		used.mask = 2 * used.mask + 1;
	used.slots = xcalloc(used.mask + 1, sizeof(*used.slots));
	leasing.used = used;
	for (size_t i = 0; i < fleet->spec_count; i++)
		for (uint32_t j = 0; j < fleet->specs[i]->addresses.count; j++)
			set_add(&leasing.used, &fleet->specs[i]->addresses.items[j]);
	if (leases)
		renew_all(&leasing, leases);
	assign_all(&leasing, 4);
	assign_all(&leasing, 6);
}
