/* SPDX-License-Identifier: Apache-2.0 */
/* An item of a spec's `volumes`, one line of text there. Made by config/, read by instance/. */
#ifndef STOKER_MODEL_VOLUME_H
#define STOKER_MODEL_VOLUME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "model/spec.h"

enum { VOLUMES_MAX = 6 }; /* of a VM: beside image and writable layer, as many disks as a VMM has */

/* How the guest finds the disk of the n-th, from 0. */
#define SPEC_VOLUME_SERIAL "volume%zu"

struct spec_volume {
	char *name;   /* owned; [a-z0-9-], of the tenant */
	char *target; /* owned; where it is mounted */
	uint64_t size_bytes;
	bool read_only;
};

/* The caller frees it. */
char *spec_volume_format(const struct spec_volume *volume);

/* Reads what spec_volume_format wrote. */
int spec_volume_parse(const char *line, struct spec_volume *ret, struct error *err);
void spec_volume_reset(struct spec_volume *volume);

/* Which volume it is on the host: "tenant/data", of replicas "tenant/data.2" ...; the caller frees
 * it. */
char *spec_volume_id(const struct spec *spec, const struct spec_volume *volume);

/* Whether the spec has a volume of that id. */
bool spec_has_volume(const struct spec *spec, const char *id);

#endif
