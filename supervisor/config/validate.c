/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names, limits and registries over all files of a fleet; called by load.c when every file was
 * parsed. Everything is sorted and compared with its neighbour: no work is quadratic. Message
 * places: what came later in the order of the files is at fault, and names what came first.
 */
#include "config/validate.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "config/scalar.h"

static int compare_pointers(const void *a, const void *b)
{
	return (a > b) - (a < b);
}

static int compare_tenant_names(const void *a, const void *b)
{
	const struct tenant_draft *left = *(struct tenant_draft *const *)a;
	const struct tenant_draft *right = *(struct tenant_draft *const *)b;
	int order = strcmp(left->name, right->name);

	return order ? order : compare_pointers(left, right);
}

static int compare_tenant_ids(const void *a, const void *b)
{
	const struct tenant_draft *left = *(struct tenant_draft *const *)a;
	const struct tenant_draft *right = *(struct tenant_draft *const *)b;

	if (left->tenant.id != right->tenant.id)
		return left->tenant.id < right->tenant.id ? -1 : 1;
	return compare_pointers(left, right);
}

/* Neighbours in the order of names, then in that of ids. */
static void check_tenants(struct draft *draft, struct report *report)
{
	_cleanup_free_ struct tenant_draft **sorted = xcalloc(draft->tenant_count, sizeof(*sorted));
	struct tenant_draft *first = NULL;
	size_t count = 0;

	for (size_t i = 0; i < draft->tenant_count; i++) {
		draft->tenants[i].tenant.id = tenant_id(draft->tenants[i].name);
		if (draft->tenants[i].is_usable)
			sorted[count++] = &draft->tenants[i];
	}
	qsort(sorted, count, sizeof(*sorted), compare_tenant_names);
	for (size_t i = 0; i < count; i++) {
		_cleanup_free_ char *place = NULL;

		if (!first || strcmp(first->name, sorted[i]->name) != 0) {
			first = sorted[i];
			continue;
		}
		place = mark_format(first->mark);
		report_add(report, sorted[i]->mark, "duplicate tenant '%s' (first at %s)",
			   sorted[i]->name, place);
		sorted[i]->is_usable = false;
	}
	qsort(sorted, count, sizeof(*sorted), compare_tenant_ids);
	for (size_t i = 1; i < count; i++) {
		_cleanup_free_ char *place = mark_format(sorted[i - 1]->mark);

		if (sorted[i]->is_usable && sorted[i - 1]->is_usable &&
		    sorted[i]->tenant.id == sorted[i - 1]->tenant.id)
			report_add(report, sorted[i]->mark,
				   "tenant '%s' has the same id as '%s' at %s (rename one of them)",
				   sorted[i]->name, sorted[i - 1]->name, place);
	}
}

/* The value of one limit; only called for limits that were written. */
static struct mark limit_place(const struct tenant_draft *tenant, const char *what)
{
	for (size_t i = 0; i < tenant->limits->count; i += 2)
		if (strcmp(tenant->limits->items[i]->text, what) == 0)
			return tenant->limits->items[i + 1]->mark;
	return tenant->limits->mark;
}

static void check_limit(struct report *report, const struct tenant_draft *tenant, const char *what,
			uint64_t asked, uint64_t limit, bool is_size)
{
	_cleanup_strbuf_ struct strbuf asked_text = { 0 }, limit_text = { 0 }, over = { 0 };

	if (limit == 0 || asked <= limit)
		return;
	if (is_size) {
		scalar_print_size(asked, &asked_text);
		scalar_print_size(limit, &limit_text);
		scalar_print_size(asked - limit, &over);
	} else {
		strbuf_printf(&asked_text, "%llu", (unsigned long long)asked);
		strbuf_printf(&limit_text, "%llu", (unsigned long long)limit);
		strbuf_printf(&over, "%llu", (unsigned long long)(asked - limit));
	}
	report_add(report, limit_place(tenant, what),
		   "tenant '%s' exceeds its limit of %s: %s asked, %s allowed (%s too many)",
		   tenant->name, what, strbuf_text(&asked_text), strbuf_text(&limit_text),
		   strbuf_text(&over));
}

static void check_limits(struct report *report, const struct tenant_draft *tenant)
{
	uint64_t vms = 0, cpus = 0, memory_bytes = 0, disk_bytes = 0;

	/* No overflow: each value has its limit in schema.c, and their number that of a file. */
	for (size_t i = 0; i < tenant->vm_count; i++) {
		const struct vm_draft *vm = &tenant->vms[i];

		vms += vm->replicas;
		cpus += (uint64_t)vm->replicas * vm->spec.cpus;
		if (__builtin_add_overflow(memory_bytes, vm->replicas * vm->spec.memory_bytes,
					   &memory_bytes))
			memory_bytes = UINT64_MAX;
		if (__builtin_add_overflow(disk_bytes,
					   vm->replicas * (vm->spec.disk_bytes + vm->volumes_bytes),
					   &disk_bytes))
			disk_bytes = UINT64_MAX;
	}
	check_limit(report, tenant, "vms", vms, tenant->tenant.limit_vms, false);
	check_limit(report, tenant, "cpus", cpus, tenant->tenant.limit_cpus, false);
	check_limit(report, tenant, "memory", memory_bytes, tenant->tenant.limit_memory_bytes,
		    true);
	check_limit(report, tenant, "disk", disk_bytes, tenant->tenant.limit_disk_bytes, true);
}

static void check_balloons(struct report *report, const struct tenant_draft *tenant)
{
	for (size_t i = 0; i < tenant->vm_count; i++) {
		const struct vm_draft *vm = &tenant->vms[i];
		uint64_t most = vm->spec.memory_bytes - SPEC_MEMORY_MIN;
		_cleanup_strbuf_ struct strbuf text = { 0 };

		if (vm->spec.balloon_bytes <= most)
			continue;
		strbuf_puts(&text, "balloon: ");
		scalar_print_size(vm->spec.balloon_bytes, &text);
		strbuf_puts(&text, " of its ");
		scalar_print_size(vm->spec.memory_bytes, &text);
		strbuf_puts(&text, " leave the guest less than ");
		scalar_print_size(SPEC_MEMORY_MIN, &text);
		strbuf_puts(&text, " (at most ");
		scalar_print_size(most, &text);
		report_add(report, vm->balloon_mark, "%s)", strbuf_text(&text));
	}
}

struct placed_volume {
	const char *line; /* of the spec */
	const struct vm_draft *vm;
};

static int compare_volumes(const void *a, const void *b)
{
	const struct placed_volume *left = a, *right = b;
	size_t left_length = strcspn(left->line, "\t"), right_length = strcspn(right->line, "\t");
	int order = memcmp(left->line, right->line,
			   left_length < right_length ? left_length : right_length);

	if (order == 0)
		order = (left_length > right_length) - (left_length < right_length);
	return order ? order : compare_pointers(left->vm, right->vm);
}

static void check_tmpfs_above(struct report *report, const struct vm_draft *vm, const char *line)
{
	STRV_EACH (mount, &vm->spec.tmpfs)
		if (scalar_path_is_within(strrchr(line, '\t') + 1, mount))
			report_add(report, vm->volumes_mark,
				   "volumes: '%.*s' would lie under the tmpfs '%s'",
				   (int)strcspn(line, "\t"), line, mount);
}

/* The guest mounts a tmpfs later than the volumes. */
static void check_hidden_volumes(struct report *report, const struct vm_draft *vm)
{
	STRV_EACH (line, &vm->spec.volumes)
		check_tmpfs_above(report, vm, line);
}

/* A volume is one VM's at a time: two would ruin its file system. */
static void check_volumes(struct report *report, const struct tenant_draft *tenant)
{
	size_t count = 0, filled = 0;
	_cleanup_free_ struct placed_volume *sorted = NULL;

	for (size_t i = 0; i < tenant->vm_count; i++)
		count += tenant->vms[i].spec.volumes.count;
	sorted = xcalloc(count, sizeof(*sorted));
	for (size_t i = 0; i < tenant->vm_count; i++)
		STRV_EACH (line, &tenant->vms[i].spec.volumes)
			sorted[filled++] = (struct placed_volume){ line, &tenant->vms[i] };
	qsort(sorted, count, sizeof(*sorted), compare_volumes);
	for (size_t i = 1; i < count; i++) {
		size_t length = strcspn(sorted[i].line, "\t") + 1;
		_cleanup_free_ char *place = NULL;

		if (strncmp(sorted[i].line, sorted[i - 1].line, length) != 0)
			continue;
		place = mark_format(sorted[i - 1].vm->mark);
		report_add(report, sorted[i].vm->volumes_mark,
			   "volumes: '%.*s' is also that of the VM at %s", (int)length - 1,
			   sorted[i].line, place);
	}
}

static void check_registries(struct report *report, const struct tenant_draft *tenant)
{
	if (tenant->tenant.registries.count == 0)
		return;
	for (size_t i = 0; i < tenant->vm_count; i++) {
		const struct vm_draft *vm = &tenant->vms[i];

		if (vm->registry && !strv_contains(&tenant->tenant.registries, vm->registry))
			report_add(report, vm->image_mark,
				   "image: '%s' is not among the registries of tenant '%s'",
				   vm->registry, tenant->name);
	}
}

struct host {
	char *name; /* owned */
	const struct vm_draft *vm;
};

static int compare_hosts(const void *a, const void *b)
{
	const struct host *left = a, *right = b;
	int order = strcasecmp(left->name, right->name);

	return order ? order : compare_pointers(left->vm, right->vm);
}

static struct mark hostname_place(const struct vm_draft *vm)
{
	return vm->hostname_mark.source ? vm->hostname_mark : vm->mark;
}

/* VMs of a tenant find each other by host name, so no two may have the same. */
static void check_hostnames(struct report *report, const struct tenant_draft *tenant, size_t count)
{
	_cleanup_free_ struct host *hosts = xcalloc(count, sizeof(*hosts));
	size_t filled = 0;

	for (size_t i = 0; i < tenant->vm_count; i++) {
		const struct vm_draft *vm = &tenant->vms[i];

		for (uint32_t j = 1; j <= vm->replicas; j++)
			hosts[filled++] = (struct host){ hostname_of(vm, j), vm };
		if (vm->replicas > 0 && strlen(hosts[filled - 1].name) > HOSTNAME_MAX)
			report_add(report, hostname_place(vm),
				   "the host name '%s' of the last replica is longer than %d bytes",
				   hosts[filled - 1].name, HOSTNAME_MAX);
	}
	qsort(hosts, count, sizeof(*hosts), compare_hosts);
	for (size_t i = 1; i < count; i++) {
		_cleanup_free_ char *place = NULL;

		if (strcasecmp(hosts[i].name, hosts[i - 1].name) != 0)
			continue;
		place = mark_format(hosts[i - 1].vm->mark);
		report_add(report, hostname_place(hosts[i].vm),
			   "the host name '%s' is also that of the VM at %s", hosts[i].name, place);
	}
	for (size_t i = 0; i < count; i++)
		free(hosts[i].name);
}

/* How many instances the tenant has; too many in all is an error at the VM that is one too many. */
static size_t count_instances(struct report *report, const struct tenant_draft *tenant,
			      size_t *total)
{
	size_t count = 0;

	for (size_t i = 0; i < tenant->vm_count; i++) {
		bool was_within = *total <= FLEET_INSTANCES_MAX;

		count += tenant->vms[i].replicas;
		*total += tenant->vms[i].replicas;
		if (was_within && *total > FLEET_INSTANCES_MAX)
			report_add(report, tenant->vms[i].mark,
				   "more than %d instances in all files, replicas included",
				   FLEET_INSTANCES_MAX);
	}
	return count;
}

void validate(struct draft *draft, struct report *report)
{
	size_t total = 0;

	check_tenants(draft, report);
	validate_subnets(draft, report);
	for (size_t i = 0; i < draft->tenant_count; i++) {
		const struct tenant_draft *tenant = &draft->tenants[i];
		size_t count = count_instances(report, tenant, &total);

		check_limits(report, tenant);
		check_balloons(report, tenant);
		for (size_t j = 0; j < tenant->vm_count; j++)
			check_hidden_volumes(report, &tenant->vms[j]);
		check_volumes(report, tenant);
		check_registries(report, tenant);
		if (total <= FLEET_INSTANCES_MAX)
			check_hostnames(report, tenant, count);
	}
	validate_addresses(draft, report);
	validate_dependencies(draft, report);
	validate_policies(draft, report);
}
