/* SPDX-License-Identifier: Apache-2.0 */
/* FRAME_HEALTH and its answer, written and read for channel.c. */
#ifndef STOKER_GUEST_HEALTH_H
#define STOKER_GUEST_HEALTH_H

#include "base/strbuf.h"
#include "guest/channel.h"

/* Appends the payload that defines the check of the spec; its results carry the serial. */
void health_put(const struct spec *spec, uint32_t serial, struct strbuf *out);

/* What the guest's frame says. Returns 1, 0 when it is about another definition, -1 when no guest
 * says that. */
int health_read(const void *payload, size_t length, uint32_t serial, struct channel_health *ret,
		struct error *err);

#endif
