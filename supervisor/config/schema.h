/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The grammar of manifests as tables: a key, its parser, the field it fills and its limits. A key
 * that is in no table is an error where it stands.
 */
#ifndef STOKER_CONFIG_SCHEMA_H
#define STOKER_CONFIG_SCHEMA_H

#include "config/problems.h"
#include "config/yaml.h"

struct schema_key;

/* Parses `node` into `field`; what is wrong is reported. */
typedef void (*schema_parser)(struct report *report, const struct schema_key *key,
			      const struct node *node, void *field);

struct schema_key {
	const char *name;
	schema_parser parse;
	size_t offset; /* of the field in the object */
	bool is_required;
	uint64_t min, max; /* of numbers, sizes (bytes) and durations (ms) */
	uint64_t step;	   /* of sizes: what they must be a multiple of */
};

struct schema {
	const char *what; /* "a VM", "a tenant": for messages */
	const struct schema_key *keys;
	size_t count;
	bool has_extensions; /* keys that begin with "x-" are left alone, as Compose does */
};

extern const struct schema schema_file;	  /* object: struct draft */
extern const struct schema schema_tenant; /* object: struct tenant_draft */
extern const struct schema schema_limits; /* object: struct tenant */
extern const struct schema schema_vm;	  /* object: struct vm_draft, as of the next four */
extern const struct schema schema_healthcheck;
extern const struct schema schema_rate;
extern const struct schema schema_rate_disk;
extern const struct schema schema_rate_network;
extern const struct schema schema_volumes; /* object: struct volume_draft of volumes.h */
extern const struct schema schema_files;   /* object: struct attachment of attach.c */
extern const struct schema schema_secrets; /* likewise */
extern const struct schema schema_policy;  /* object: struct policy */
extern const struct schema schema_rule_to; /* object: struct rule_draft, as of the next */
extern const struct schema schema_rule_from;

/* Walks a mapping by its table. `place` is where the object was named, for what is missing. */
void schema_apply(const struct schema *schema, struct report *report, const struct node *node,
		  struct mark place, void *object);

#endif
