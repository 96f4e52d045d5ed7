/* SPDX-License-Identifier: Apache-2.0 */
/* The loaded fleet: made by config/load, read by plan/, instance/ and control/. */
#include "model/fleet.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

struct fleet *fleet_new(void)
{
	return xcalloc(1, sizeof(struct fleet));
}

struct fleet *fleet_free(struct fleet *fleet)
{
	if (!fleet)
		return NULL;
	for (size_t i = 0; i < fleet->tenant_count; i++) {
		free(fleet->tenants[i].name);
		free(fleet->tenants[i].subnets);
		strv_reset(&fleet->tenants[i].registries);
		strv_reset(&fleet->tenants[i].operators);
	}
	for (size_t i = 0; i < fleet->spec_count; i++)
		spec_free(fleet->specs[i]);
	free(fleet->tenants);
	free(fleet->specs);
	free(fleet);
	return NULL;
}

const struct spec *fleet_find(const struct fleet *fleet, const char *name)
{
	/* Linear: specs are sorted by (tenant, vm, replica), which is not the order of the names.
	 */
	for (size_t i = 0; i < fleet->spec_count; i++)
		if (strcmp(fleet->specs[i]->name, name) == 0)
			return fleet->specs[i];
	return NULL;
}

const struct tenant *fleet_tenant(const struct fleet *fleet, const char *name)
{
	size_t low = 0, high = fleet->tenant_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(fleet->tenants[middle].name, name);

		if (order == 0)
			return &fleet->tenants[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

uint32_t tenant_id(const char *name)
{
	uint32_t hash = 0x811c9dc5; /* FNV-1a, 32 bits */

	for (const char *c = name; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 0x01000193;
	return hash ? hash : 1;
}
