/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every key of a manifest, once. stoker-fleet(5) describes them in this order; the walk below is
 * the only one there is.
 */
#include "config/schema.h"

#include <string.h>

#include "base/alloc.h"
#include "config/attach.h"
#include "config/fields.h"
#include "config/health.h"
#include "config/manifest.h"
#include "config/scalar.h"
#include "config/volumes.h"

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define TIB (UINT64_C(1) << 40)

#define KBIT UINT64_C(1000)
#define GBIT UINT64_C(1000000000)

#define OF_SPEC(member)	      offsetof(struct vm_draft, spec.member)
#define OF_VM(member)	      offsetof(struct vm_draft, member)
#define OF_TENANT(member)     offsetof(struct tenant, member)
#define OF_VOLUME(member)     offsetof(struct volume_draft, member)
#define OF_ATTACHMENT(member) offsetof(struct attachment, member)
#define WHOLE		      0 /* the parser fills several fields of the object */

static const struct schema_key file_keys[] = {
	{ "tenants", parse_tenants, WHOLE },
};

static const struct schema_key tenant_keys[] = {
	{ "subnets", parse_subnets, WHOLE, .is_required = true },
	{ "limits", parse_limits, WHOLE },
	{ "registries", field_registries, offsetof(struct tenant_draft, tenant.registries) },
	{ "egress", policy_parse_egress, offsetof(struct tenant_draft, egress) },
	{ "ingress", policy_parse_ingress, offsetof(struct tenant_draft, ingress) },
	{ "operators", field_operators, offsetof(struct tenant_draft, tenant.operators) },
	{ "vms", parse_vms, WHOLE },
};

static const struct schema_key limits_keys[] = {
	{ "vms", field_u32, OF_TENANT(limit_vms), .min = 1, .max = 1000000 },
	{ "cpus", field_u32, OF_TENANT(limit_cpus), .min = 1, .max = 1000000 },
	{ "memory", field_size, OF_TENANT(limit_memory_bytes), .min = 1, .max = 1024 * TIB },
	{ "disk", field_size, OF_TENANT(limit_disk_bytes), .min = 1, .max = 1024 * TIB },
};

static const struct schema_key vm_keys[] = {
	{ "image", parse_image, WHOLE, .is_required = true },
	{ "pull_policy", field_pull_policy, OF_SPEC(pull_policy) },
	{ "replicas", field_u32, OF_VM(replicas), .max = SPEC_REPLICAS_MAX },
	{ "cpus", field_u32, OF_SPEC(cpus), .min = 1, .max = 32 },
	{ "memory", field_size, OF_SPEC(memory_bytes), .min = SPEC_MEMORY_MIN, .max = TIB,
	  .step = MIB },
	{ "disk", field_size, OF_SPEC(disk_bytes), .min = 16 * MIB, .max = 16 * TIB, .step = 4096 },
	{ "balloon", parse_balloon, WHOLE, .max = TIB, .step = MIB },
	{ "rate", parse_rate, WHOLE },
	{ "addresses", parse_addresses, WHOLE },
	{ "ports", publish_parse, OF_VM(publish) },
	{ "egress", policy_parse_egress, OF_VM(egress) },
	{ "ingress", policy_parse_ingress, OF_VM(ingress) },
	{ "entrypoint", parse_entrypoint, WHOLE },
	{ "command", parse_command, WHOLE },
	{ "environment", field_node, OF_VM(environment) },
	{ "env_file", field_node, OF_VM(env_file) },
	{ "user", field_user, OF_SPEC(user) },
	{ "working_dir", field_path, OF_SPEC(working_dir) },
	{ "hostname", parse_hostname, WHOLE },
	{ "dns", field_dns, OF_SPEC(dns) },
	{ "extra_hosts", field_hosts, OF_SPEC(extra_hosts) },
	{ "labels", field_labels, OF_SPEC(labels) },
	{ "restart", parse_restart, WHOLE },
	{ "healthcheck", parse_healthcheck, WHOLE },
	{ "depends_on", parse_depends_on, WHOLE },
	{ "stop_signal", field_signal, OF_SPEC(stop_signal) },
	{ "stop_grace_period", field_duration, OF_SPEC(stop_grace_ms), .max = 3600000 },
	{ "read_only", field_bool, OF_SPEC(read_only) },
	{ "tmpfs", field_tmpfs, OF_SPEC(tmpfs) },
	{ "volumes", parse_volumes, WHOLE },
	{ "files", field_files, OF_SPEC(files) },
	{ "secrets", field_secrets, OF_SPEC(secrets) },
	{ "ulimits", field_ulimits, OF_SPEC(ulimits) },
	{ "sysctls", field_sysctls, OF_SPEC(sysctls) },
	{ "vmm", field_vmm, OF_SPEC(vmm) },
	{ "kernel", field_kernel, OF_SPEC(kernel) },
};

static const struct schema_key healthcheck_keys[] = {
	{ "tcp", parse_health_tcp, WHOLE },
	{ "http", parse_health_http, WHOLE },
	{ "exec", parse_health_exec, WHOLE },
	{ "interval", field_duration, OF_SPEC(health_interval_ms), .min = 1000, .max = 3600000 },
	{ "timeout", field_duration, OF_SPEC(health_timeout_ms), .min = 1000, .max = 3600000 },
	{ "retries", field_u32, OF_SPEC(health_retries), .min = 1, .max = 1000 },
	{ "start_period", field_duration, OF_SPEC(health_start_period_ms), .max = 3600000 },
	{ "on_unhealthy", parse_on_unhealthy, WHOLE },
};

static const struct schema_key rate_keys[] = {
	{ "disk", parse_rate_disk, WHOLE },
	{ "network", parse_rate_network, WHOLE },
};

static const struct schema_key rate_disk_keys[] = {
	{ "bandwidth", field_rate, OF_SPEC(rate_disk_bandwidth), .min = 64 * KIB, .max = TIB },
	{ "iops", field_u32, OF_SPEC(rate_disk_iops), .min = 1, .max = 10000000 },
};

static const struct schema_key rate_network_keys[] = {
	{ "bandwidth", field_bits, OF_SPEC(rate_network_bandwidth), .min = 64 * KBIT,
	  .max = 100 * GBIT },
	{ "packets", field_u32, OF_SPEC(rate_network_packets), .min = 10, .max = 100000000 },
};

static const struct schema_key volumes_keys[] = {
	{ "name", field_node, OF_VOLUME(name), .is_required = true },
	{ "target", field_node, OF_VOLUME(target), .is_required = true },
	{ "size", field_size, OF_VOLUME(size_bytes), .min = 16 * MIB, .max = 16 * TIB,
	  .step = 4096 },
	{ "read_only", field_bool, OF_VOLUME(read_only) },
};

static const struct schema_key files_keys[] = {
	{ "path", field_node, OF_ATTACHMENT(path), .is_required = true },
	{ "source", field_node, OF_ATTACHMENT(source) },
	{ "content", field_node, OF_ATTACHMENT(content) },
	{ "mode", field_node, OF_ATTACHMENT(mode) },
	{ "user", field_node, OF_ATTACHMENT(user) },
};

static const struct schema_key secrets_keys[] = {
	{ "source", field_node, OF_ATTACHMENT(source), .is_required = true },
	{ "target", field_node, OF_ATTACHMENT(path) },
	{ "mode", field_node, OF_ATTACHMENT(mode) },
	{ "user", field_node, OF_ATTACHMENT(user) },
};

static const struct schema_key policy_keys[] = {
	{ "default", policy_parse_default, WHOLE, .is_required = true },
	{ "allow", policy_parse_allow, WHOLE },
	{ "deny", policy_parse_deny, WHOLE },
};

static const struct schema_key rule_to_keys[] = {
	{ "to", policy_parse_peer, WHOLE, .is_required = true },
	{ "ports", policy_parse_ports, WHOLE },
};

static const struct schema_key rule_from_keys[] = {
	{ "from", policy_parse_peer, WHOLE, .is_required = true },
	{ "ports", policy_parse_ports, WHOLE },
};

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

const struct schema schema_file = { "a manifest", file_keys, COUNT(file_keys),
				    .has_extensions = true };
const struct schema schema_tenant = { "a tenant", tenant_keys, COUNT(tenant_keys) };
const struct schema schema_limits = { "the limits", limits_keys, COUNT(limits_keys) };
const struct schema schema_vm = { "a VM", vm_keys, COUNT(vm_keys) };
const struct schema schema_healthcheck = { "a healthcheck", healthcheck_keys,
					   COUNT(healthcheck_keys) };
const struct schema schema_rate = { "the rates", rate_keys, COUNT(rate_keys) };
const struct schema schema_rate_disk = { "the disk's rates", rate_disk_keys,
					 COUNT(rate_disk_keys) };
const struct schema schema_rate_network = { "the network's rates", rate_network_keys,
					    COUNT(rate_network_keys) };
const struct schema schema_policy = { "a policy", policy_keys, COUNT(policy_keys) };
const struct schema schema_rule_to = { "a rule", rule_to_keys, COUNT(rule_to_keys) };
const struct schema schema_rule_from = { "a rule", rule_from_keys, COUNT(rule_from_keys) };

const struct schema schema_volumes = { "a volume", volumes_keys, COUNT(volumes_keys) };
const struct schema schema_files = { "a file", files_keys, COUNT(files_keys) };
const struct schema schema_secrets = { "a secret", secrets_keys, COUNT(secrets_keys) };

static const struct schema_key *find_key(const struct schema *schema, const char *name)
{
	for (size_t i = 0; i < schema->count; i++)
		if (strcmp(schema->keys[i].name, name) == 0)
			return &schema->keys[i];
	return NULL;
}

static void refuse_key(const struct schema *schema, struct report *report, const struct node *key)
{
	_cleanup_free_ const char **names = xcalloc(schema->count + 1, sizeof(*names));
	const char *nearest;

	for (size_t i = 0; i < schema->count; i++)
		names[i] = schema->keys[i].name;
	nearest = scalar_nearest(key->text, names);
	if (nearest)
		report_add(report, key->mark, "unknown key '%s' (did you mean '%s'?)", key->text,
			   nearest);
	else
		report_add(report, key->mark, "unknown key '%s' in %s (see stoker-fleet(5))",
			   key->text, schema->what);
}

void schema_apply(const struct schema *schema, struct report *report, const struct node *node,
		  struct mark place, void *object)
{
	uint64_t seen = 0;

	if (node->kind != NODE_MAP) {
		report_add(report, node_is_null(node) ? place : node->mark,
			   "%s must be a mapping, not %s", schema->what, node_kind_name(node));
		return;
	}
	for (size_t i = 0; i < node->count; i += 2) {
		const struct schema_key *key = find_key(schema, node->items[i]->text);

		if (key) {
			seen |= UINT64_C(1) << (key - schema->keys);
			key->parse(report, key, node->items[i + 1], (char *)object + key->offset);
		} else if (!schema->has_extensions || strncmp(node->items[i]->text, "x-", 2) != 0) {
			refuse_key(schema, report, node->items[i]);
		}
	}
	for (size_t i = 0; i < schema->count; i++)
		if (schema->keys[i].is_required && !(seen & UINT64_C(1) << i))
			report_add(report, place, "%s needs the key '%s'", schema->what,
				   schema->keys[i].name);
}
