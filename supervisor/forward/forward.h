/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of guests' logs, forwarded as [log] forward of stoker.ini(5) says: to the host's syslog or
 * journald, or to a server that speaks RFC 5424. Nothing here blocks: what the target does not take
 * waits in a bounded queue, what does not fit there is lost, counted, and said once. A target that
 * is down is tried again for as long as it takes.
 */
#ifndef STOKER_FORWARD_FORWARD_H
#define STOKER_FORWARD_FORWARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "loop/loop.h"
#include "model/settings.h"

struct forward;

/* As a guest wrote it: any bytes but a newline. */
struct forward_line {
	const char *name;   /* of the instance, "TENANT/VM[.N]" */
	const char *stream; /* as in model/logline.h */
	const char *text;
	size_t length;
	uint64_t time_ms; /* since 1970 */
};

struct forward_counts {
	bool is_up;	/* the target takes lines, as far as one can know */
	uint64_t lines; /* that it took */
	uint64_t lost;	/* that it will never have */
};

/* *ret is NULL when the settings want none. A target that is down is no error. */
int forward_open(struct loop *loop, const struct settings *settings, struct forward **ret,
		 struct error *err);

/* What waits is offered a last time. NULL is fine; returns NULL. */
struct forward *forward_close(struct forward *forward);

/* Copied; NULL is fine. */
void forward_add(struct forward *forward, const struct forward_line *line);

/* Connects anew, at once, with the certificates and the host's name as they are now. */
void forward_reopen(struct forward *forward);

void forward_count(const struct forward *forward, struct forward_counts *ret);

#endif
