/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What there is to count, in the text format of Prometheus, version 0.0.4; stokerd(8) lists it.
 * Rendered piece by piece, so that a large fleet holds up nobody. Private to control/.
 */
#ifndef STOKER_CONTROL_EXPOSITION_H
#define STOKER_CONTROL_EXPOSITION_H

#include <stdbool.h>

#include "base/strbuf.h"
#include "control/server.h"

/* One rendering under way. Zero-initialise it, but for the first three. */
struct exposition {
	const struct roster *roster; /* borrowed */
	const struct control_handlers *handlers;
	void *data;
	size_t next_family;
	size_t next_index; /* into the roster's list ... */
	char *last_name;   /* ... which may have changed since: who came last. Owned */
};

/* Adds some whole lines, or none where there is nothing to say. False: that was all. */
bool exposition_more(struct exposition *exposition, struct strbuf *out);

void exposition_reset(struct exposition *exposition);

#endif
