/* SPDX-License-Identifier: Apache-2.0 */
/* Whether something answers on a port of this guest: runs in a child of its own, which health.c
 * starts and ends at the check's timeout. */
#ifndef STOKER_GUEST_INIT_PROBE_H
#define STOKER_GUEST_INIT_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest-init/config.h"
#include "guest-init/failure.h"

struct probe {
	uint16_t port;
	const char *path;	      /* HTTP: what to GET; NULL: a connection is enough */
	const struct list *addresses; /* of the guest's own, tried after the loopback's */
};

/* Blocks. The exit code: 0 when it answers; why not, or with what, is said on descriptor 2. */
int probe_run(void *probe);

/* The status of an HTTP answer that begins with these bytes; 0: there is no end of a line yet, or
 * -1: it is none. Exposed for its test. */
int probe_status(const char *bytes, size_t length);

#endif
