/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways to a target, one driver for each kind. An outlet is one connection: when it breaks,
 * forward.c frees it and opens another. Private to forward/.
 */
#ifndef STOKER_FORWARD_OUTLET_H
#define STOKER_FORWARD_OUTLET_H

#include <stddef.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "forward/message.h"
#include "loop/loop.h"
#include "model/settings.h"
#include "model/target.h"

struct outlet;

/* All of it borrowed. Both callbacks come from the loop alone, and may free the outlet. */
struct outlet_context {
	struct loop *loop;
	const struct settings *settings;
	const struct target *target;
	void (*ready)(void *data); /* it takes messages, or again */
	void (*lost)(void *data, const struct error *why);
	void *data;
};

struct outlet_driver {
	/* Begins to connect; messages may be offered at once. */
	int (*open)(const struct outlet_context *context, struct outlet **ret, struct error *err);
	/* 1: it has the message; 0: not now, `ready` will be called, then the same message must
	 * come again, from the same place; -1: the outlet is broken, and has not got the message.
	 */
	int (*send)(struct outlet *outlet, const void *bytes, size_t length, struct error *err);
	struct outlet *(*free)(struct outlet *outlet); /* returns NULL */
	/* A message in the target's own format. */
	void (*encode)(const struct message *message, const char *hostname, struct strbuf *out);
};

extern const struct outlet_driver outlet_syslog, outlet_journal, outlet_udp; /* datagram.c */
extern const struct outlet_driver outlet_tcp, outlet_tls;		     /* stream.c */

#endif
