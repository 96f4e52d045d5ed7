/* SPDX-License-Identifier: Apache-2.0 */
/* What should run: the whole of the manifests, resolved and valid. Immutable once loaded. */
#ifndef STOKER_MODEL_FLEET_H
#define STOKER_MODEL_FLEET_H

#include <stddef.h>
#include <stdint.h>

#include "base/strv.h"
#include "model/address.h"
#include "model/spec.h"

struct tenant {
	char *name;
	uint32_t id; /* tenant_id(name): what the guard compares; unique in a fleet, never 0 */
	struct prefix *subnets;
	size_t subnet_count;
	struct strv registries; /* empty = any */
	struct strv operators;	/* groups of the host that may see logs and exec */
	uint32_t limit_vms;	/* 0 = no limit, here and below */
	uint32_t limit_cpus;
	uint64_t limit_memory_bytes;
	uint64_t limit_disk_bytes;
};

struct fleet {
	struct tenant *tenants; /* sorted by name */
	size_t tenant_count;
	struct spec **specs; /* sorted by tenant, vm, replica */
	size_t spec_count;
};

struct fleet *fleet_new(void);
struct fleet *fleet_free(struct fleet *fleet);

const struct spec *fleet_find(const struct fleet *fleet, const char *name);
const struct tenant *fleet_tenant(const struct fleet *fleet, const char *name);

/* FNV-1a of the name, never 0: the same after every restart, with nothing to store. */
uint32_t tenant_id(const char *name);

#define _cleanup_fleet_ CLEANUP(fleet_free_cleanup)
DEFINE_CLEANUP(struct fleet, fleet_free);

#endif
