/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One manifest -> the draft: called by load.c for each file; the result goes to validate.c. The
 * format is described in stoker-fleet(5), its keys in schema.c.
 */
#include "config/manifest.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "config/environment.h"
#include "config/scalar.h"
#include "model/reference.h"

enum { SUBNETS_MAX = 64 };

static void vm_defaults(struct vm_draft *vm, const struct node *key,
			const struct settings *settings)
{
	vm->name = key->text;
	vm->mark = key->mark;
	vm->replicas = 1;
	vm->spec = (struct spec){
		.cpus = 1,
		.memory_bytes = UINT64_C(128) << 20,
		.disk_bytes = UINT64_C(512) << 20,
		.user = xstrdup(""),
		.working_dir = xstrdup(""),
		.hostname = xstrdup(key->text),
		.restart = RESTART_ALWAYS,
		.health_interval_ms = 10000,
		.health_timeout_ms = 2000,
		.health_start_period_ms = 5000,
		.health_retries = 3,
		.stop_signal = xstrdup(""),
		.stop_grace_ms = 10000,
		.vmm = xstrdup(settings->default_vmm),
		.kernel = xstrdup(settings->default_kernel),
		.place = mark_format(key->mark),
	};
}

static void vm_reset(struct vm_draft *vm)
{
	struct spec *content = spec_new();

	/* spec_free knows every field, and frees what it is given: it gets a copy of the struct. */
	*content = vm->spec;
	spec_free(content);
	free(vm->registry);
	free(vm->addresses);
	publish_reset(&vm->publish);
	policy_reset(&vm->egress);
	policy_reset(&vm->ingress);
}

void draft_reset(struct draft *draft)
{
	for (size_t i = 0; i < draft->tenant_count; i++) {
		struct tenant_draft *tenant = &draft->tenants[i];

		for (size_t j = 0; j < tenant->vm_count; j++)
			vm_reset(&tenant->vms[j]);
		free(tenant->vms);
		free(tenant->tenant.subnets);
		strv_reset(&tenant->tenant.registries);
		strv_reset(&tenant->tenant.operators);
		free(tenant->subnet_marks);
		policy_reset(&tenant->egress);
		policy_reset(&tenant->ingress);
	}
	free(draft->tenants);
	*draft = (struct draft){ 0 };
}

char *hostname_of(const struct vm_draft *vm, uint32_t replica)
{
	if (replica == 1)
		return xstrdup(vm->spec.hostname);
	return xasprintf("%s-%u", vm->spec.hostname, replica);
}

FIELD_PARSER(parse_image)
{
	const char *text = field_text(report, key->name, node);
	static const char *const transports[] = {
		[REFERENCE_REGISTRY] = NULL,
		[REFERENCE_OCI] = "oci",
		[REFERENCE_OCI_ARCHIVE] = "oci-archive",
		[REFERENCE_DOCKER_ARCHIVE] = "docker-archive",
	};
	struct reference reference = { 0 };
	struct vm_draft *vm = field;
	struct error err;

	if (!text)
		return;
	if (reference_parse(text, &reference, &err) < 0) {
		report_add(report, node->mark, "%s", err.text);
		return;
	}
	vm->image_mark = node->mark;
	vm->spec.image = xstrdup(text);
	vm->registry = xstrdup(reference.kind == REFERENCE_REGISTRY ? reference.registry
								    : transports[reference.kind]);
	reference_reset(&reference);
}

FIELD_PARSER(parse_balloon)
{
	struct vm_draft *vm = field;

	vm->balloon_mark = node->mark;
	field_size(report, key, node, &vm->spec.balloon_bytes);
}

FIELD_PARSER(parse_rate)
{
	(void)key;
	schema_apply(&schema_rate, report, node, node->mark, field);
}

FIELD_PARSER(parse_rate_disk)
{
	(void)key;
	schema_apply(&schema_rate_disk, report, node, node->mark, field);
}

FIELD_PARSER(parse_rate_network)
{
	(void)key;
	schema_apply(&schema_rate_network, report, node, node->mark, field);
}

FIELD_PARSER(parse_addresses)
{
	struct vm_draft *vm = field;

	vm->addresses_mark = node->mark;
	if (node->kind != NODE_LIST || node->count == 0) {
		report_add(report, node->mark, "'%s' must be a list of addresses, not %s",
			   key->name,
			   node->kind == NODE_LIST ? "an empty one" : node_kind_name(node));
		return;
	}
	vm->addresses = xcalloc(node->count, sizeof(*vm->addresses));
	for (size_t i = 0; i < node->count; i++) {
		const char *text = field_text(report, key->name, node->items[i]);
		struct address address;

		if (!text)
			continue;
		if (address_parse(text, &address) < 0)
			report_add(report, node->items[i]->mark, "%s: '%s' is not an address",
				   key->name, text);
		else
			vm->addresses[vm->address_count++] = (struct placed_address){
				.address = address,
				.mark = node->items[i]->mark,
			};
	}
}

/* null is the image's; an empty list is none. */
FIELD_PARSER(parse_entrypoint)
{
	struct vm_draft *vm = field;

	if (!node_is_null(node))
		vm->spec.has_entrypoint = field_words(report, key->name, node,
						      &vm->spec.entrypoint) == 0;
}

FIELD_PARSER(parse_command)
{
	struct vm_draft *vm = field;

	if (!node_is_null(node))
		vm->spec.has_command = field_words(report, key->name, node, &vm->spec.command) == 0;
}

FIELD_PARSER(parse_hostname)
{
	const char *text = field_text(report, key->name, node);
	struct vm_draft *vm = field;
	struct error err;

	if (!text)
		return;
	if (scalar_hostname(text, HOSTNAME_MAX, &err) < 0) {
		field_refuse(report, key->name, node, &err);
		return;
	}
	vm->hostname_mark = node->mark;
	free(vm->spec.hostname);
	vm->spec.hostname = xstrdup(text);
}

FIELD_PARSER(parse_restart)
{
	const char *text = field_text(report, key->name, node);
	struct vm_draft *vm = field;
	struct error err;

	if (text && scalar_restart(text, &vm->spec.restart, &vm->spec.restart_limit, &err) < 0)
		field_refuse(report, key->name, node, &err);
}

/* The name that a key gives to a tenant or a VM. */
static bool check_name(struct report *report, const struct node *key)
{
	struct error err;

	if (scalar_name(key->text, &err) == 0)
		return true;
	report_add(report, key->mark, "%s", err.text);
	return false;
}

/* A mapping from names, or nothing. */
static bool is_named_map(struct report *report, const char *key, const struct node *node)
{
	if (node->kind != NODE_MAP && !node_is_null(node))
		report_add(report, node->mark, "'%s' must be a mapping from names, not %s", key,
			   node_kind_name(node));
	return node->kind == NODE_MAP && node->count > 0;
}

FIELD_PARSER(parse_vms)
{
	struct tenant_draft *tenant = field;

	if (!is_named_map(report, key->name, node))
		return;
	tenant->vms = xcalloc(node->count / 2, sizeof(*tenant->vms));
	for (size_t i = 0; i < node->count; i += 2) {
		struct vm_draft *vm = &tenant->vms[tenant->vm_count++];

		check_name(report, node->items[i]);
		vm_defaults(vm, node->items[i], tenant->settings);
		schema_apply(&schema_vm, report, node->items[i + 1], vm->mark, vm);
		environment_parse(report, vm->environment, vm->env_file, &vm->spec.environment);
	}
}

static void add_subnet(struct report *report, const struct node *node, struct tenant_draft *draft)
{
	const char *text = field_text(report, "subnets", node);
	struct tenant *tenant = &draft->tenant;
	char meant[ADDRESS_TEXT_MAX];
	struct prefix prefix;
	int result;

	if (!text)
		return;
	result = prefix_parse(text, &prefix);
	if (result == -2) {
		report_add(report, node->mark, "subnets: '%s' has host bits set (write %s)", text,
			   prefix_format(&prefix, meant));
	} else if (result < 0) {
		report_add(report, node->mark,
			   "subnets: '%s' is not a subnet (such as 10.20.0.0/24)", text);
	} else {
		draft->subnet_marks[tenant->subnet_count] = node->mark;
		tenant->subnets[tenant->subnet_count++] = prefix;
	}
}

FIELD_PARSER(parse_subnets)
{
	struct tenant_draft *draft = field;

	if (node->kind != NODE_LIST || node->count == 0) {
		report_add(report, node->mark, "'%s' must be a list of subnets, not %s", key->name,
			   node->kind == NODE_LIST ? "an empty one" : node_kind_name(node));
		return;
	}
	if (node->count > SUBNETS_MAX) {
		report_add(report, node->mark, "'%s' has %zu items (at most %d)", key->name,
			   node->count, SUBNETS_MAX);
		return;
	}
	draft->tenant.subnets = xcalloc(node->count, sizeof(struct prefix));
	draft->subnet_marks = xcalloc(node->count, sizeof(struct mark));
	for (size_t i = 0; i < node->count; i++)
		add_subnet(report, node->items[i], draft);
}

FIELD_PARSER(parse_limits)
{
	struct tenant_draft *draft = field;

	(void)key;
	draft->limits = node;
	schema_apply(&schema_limits, report, node, node->mark, &draft->tenant);
}

FIELD_PARSER(parse_tenants)
{
	struct draft *draft = field;

	if (!is_named_map(report, key->name, node))
		return;
	draft->tenants = xreallocarray(draft->tenants, draft->tenant_count + node->count / 2,
				       sizeof(*draft->tenants));
	for (size_t i = 0; i < node->count; i += 2) {
		struct tenant_draft *tenant = &draft->tenants[draft->tenant_count++];

		*tenant = (struct tenant_draft){
			.name = node->items[i]->text,
			.mark = node->items[i]->mark,
			.settings = draft->settings,
			.is_usable = check_name(report, node->items[i]),
		};
		schema_apply(&schema_tenant, report, node->items[i + 1], tenant->mark, tenant);
	}
}

void manifest_parse(const struct document *document, struct draft *draft, struct report *report)
{
	const struct node *root = document_root(document);

	if (root && !node_is_null(root))
		schema_apply(&schema_file, report, root, root->mark, draft);
}
