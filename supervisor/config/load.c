/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way from files to a fleet: read all, parse all, check all; only what has no problem at all
 * becomes a fleet. Called by the daemon at its start and on SIGHUP, and by `stokerctl check`.
 */
#include "config/load.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "config/lease.h"
#include "config/manifest.h"
#include "config/validate.h"

enum { FILES_MAX = 1000 };

struct load {
	struct report *report;
	struct document **documents; /* owned, as is each */
	size_t document_count;
	struct draft draft;
};

static void load_reset(struct load *load)
{
	draft_reset(&load->draft);
	for (size_t i = 0; i < load->document_count; i++)
		document_free(load->documents[i]);
	free(load->documents);
	report_free(load->report);
}

static void load_file(struct load *load, const char *path, const char *name)
{
	const struct source *source = report_read(load->report, path, name);
	struct document *document = source ? document_parse(source, load->report) : NULL;

	if (!document)
		return;
	load->documents = xreallocarray(load->documents, load->document_count + 1,
					sizeof(struct document *));
	load->documents[load->document_count++] = document;
	manifest_parse(document, &load->draft, load->report);
}

static int compare_tenants(const void *a, const void *b)
{
	return strcmp((*(struct tenant_draft *const *)a)->name,
		      (*(struct tenant_draft *const *)b)->name);
}

static int compare_vms(const void *a, const void *b)
{
	return strcmp((*(struct vm_draft *const *)a)->name, (*(struct vm_draft *const *)b)->name);
}

/* One replica takes its share of the addresses: the n-th of each family, or all of a single VM. */
static void take_addresses(const struct vm_draft *vm, uint32_t replica, struct spec *spec)
{
	static const uint8_t families[] = { 4, 6 };

	for (size_t f = 0; f < 2; f++) {
		uint32_t number = 0;

		for (size_t i = 0; i < vm->address_count; i++) {
			const struct address *address = &vm->addresses[i].address;

			if (address->family != families[f])
				continue;
			if (vm->replicas == 1 || ++number == replica)
				spec->addresses.items[spec->addresses.count++] = *address;
		}
	}
}

static struct spec *build_spec(const char *tenant, const struct vm_draft *vm, uint32_t replica)
{
	struct spec *spec = spec_copy(&vm->spec);

	spec->name = replica == 1 ? xasprintf("%s/%s", tenant, vm->name)
				  : xasprintf("%s/%s.%u", tenant, vm->name, replica);
	spec->tenant = xstrdup(tenant);
	spec->vm = xstrdup(vm->name);
	spec->replica = replica;
	free(spec->hostname);
	spec->hostname = hostname_of(vm, replica);
	take_addresses(vm, replica, spec);
	return spec;
}

struct building {
	struct fleet *fleet;
	const struct vm_draft **drafts; /* owned; of each spec */
};

static void build_tenant(struct building *building, const struct tenant_draft *draft)
{
	struct fleet *fleet = building->fleet;
	struct tenant *tenant = &fleet->tenants[fleet->tenant_count++];
	_cleanup_free_ const struct vm_draft **vms = xcalloc(draft->vm_count, sizeof(*vms));

	*tenant = draft->tenant;
	tenant->name = xstrdup(draft->name);
	tenant->subnets = xmemdup(draft->tenant.subnets,
				  draft->tenant.subnet_count * sizeof(*tenant->subnets));
	tenant->registries = (struct strv){ 0 };
	strv_copy(&tenant->registries, &draft->tenant.registries);
	tenant->operators = (struct strv){ 0 };
	strv_copy(&tenant->operators, &draft->tenant.operators);
	for (size_t i = 0; i < draft->vm_count; i++)
		vms[i] = &draft->vms[i];
	qsort(vms, draft->vm_count, sizeof(*vms), compare_vms);
	for (size_t i = 0; i < draft->vm_count; i++)
		for (uint32_t replica = 1; replica <= vms[i]->replicas; replica++) {
			building->drafts[fleet->spec_count] = vms[i];
			fleet->specs[fleet->spec_count++] = build_spec(tenant->name, vms[i],
								       replica);
		}
}

/* Of a draft without problems. Only leasing can still find one. */
static struct fleet *build_fleet(const struct draft *draft, const struct leases *leases,
				 struct report *report)
{
	_cleanup_fleet_ struct fleet *fleet = fleet_new();
	_cleanup_free_ const struct tenant_draft **tenants = xcalloc(draft->tenant_count,
								     sizeof(*tenants));
	_cleanup_free_ const struct vm_draft **drafts = NULL;
	struct building building;
	size_t count = 0;

	for (size_t i = 0; i < draft->tenant_count; i++) {
		tenants[i] = &draft->tenants[i];
		for (size_t j = 0; j < draft->tenants[i].vm_count; j++)
			count += draft->tenants[i].vms[j].replicas;
	}
	qsort(tenants, draft->tenant_count, sizeof(*tenants), compare_tenants);
	fleet->tenants = xcalloc(draft->tenant_count, sizeof(*fleet->tenants));
	fleet->specs = xcalloc(count, sizeof(*fleet->specs));
	drafts = xcalloc(count, sizeof(*drafts));
	building = (struct building){ fleet, drafts };
	for (size_t i = 0; i < draft->tenant_count; i++)
		build_tenant(&building, tenants[i]);
	lease_addresses(fleet, drafts, leases, report);
	return report_count(report) ? NULL : take_ptr(fleet);
}

static int finish(struct load *load, const struct leases *leases, struct fleet **ret,
		  struct problems *problems)
{
	struct fleet *fleet = NULL;

	validate(&load->draft, load->report);
	if (report_count(load->report) == 0)
		fleet = build_fleet(&load->draft, leases, load->report);
	report_render(load->report, problems);
	if (!fleet)
		return -1;
	*ret = fleet;
	return 0;
}

static bool is_manifest(const char *name)
{
	const char *dot = strrchr(name, '.');

	return name[0] != '.' && dot && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of the manifests, in byte order. Who can write the directory can add one. */
static int list_manifests(const char *directory, struct strv *ret, struct error *err)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	int result;

	if (!dir)
		return error_errno(err, errno, "cannot open");
	result = fs_check_owner(dirfd(dir), directory, err);
	while (result == 0 && (entry = readdir(dir))) {
		if (!is_manifest(entry->d_name))
			continue;
		if (ret->count == FILES_MAX)
			result = error_set(err, "more than %d manifests", FILES_MAX);
		else
			strv_add(ret, entry->d_name);
	}
	closedir(dir);
	if (ret->count)
		qsort(ret->items, ret->count, sizeof(char *), compare_names);
	return result;
}

int fleet_load(const char *dir, const struct settings *settings, const struct leases *leases,
	       struct fleet **ret, struct problems *problems)
{
	__attribute__((cleanup(load_reset))) struct load load = {
		.report = report_new(),
		.draft.settings = settings,
	};
	_cleanup_strv_ struct strv names = { 0 };
	struct error err;

	if (list_manifests(dir, &names, &err) < 0)
		report_add_bare(load.report, "%s: %s", dir, err.text);
	else
		STRV_EACH (name, &names) {
			_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);

			load_file(&load, path, name);
		}
	return finish(&load, leases, ret, problems);
}

int fleet_load_files(const struct strv *paths, const struct settings *settings,
		     const struct leases *leases, struct fleet **ret, struct problems *problems)
{
	__attribute__((cleanup(load_reset))) struct load load = {
		.report = report_new(),
		.draft.settings = settings,
	};

	if (paths->count > FILES_MAX)
		report_add_bare(load.report, "more than %d manifests", FILES_MAX);
	else
		STRV_EACH (path, paths)
			load_file(&load, path, path);
	return finish(&load, leases, ret, problems);
}
