/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A byte stream to a peer that only listens, over TCP or TLS, on the loop. libcurl does what takes
 * time (names, the connection, the handshake: CURLOPT_CONNECT_ONLY(3)) without blocking, and what
 * needs knowledge of TLS: the peer's certificate is always verified, and so is that it is the
 * host's. What the peer says is read and dropped.
 */
#ifndef STOKER_LOOP_CONNECTION_H
#define STOKER_LOOP_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "loop/loop.h"

struct connection;

struct connection_options {
	const char *host; /* name or address, IPv6 without brackets */
	uint16_t port;
	bool has_tls;
	/* Of TLS, PEM, copied: the only authorities believed, NULL: the system's; what we prove
	 * ourselves by, NULL: nothing. */
	const struct strbuf *ca, *certificate, *key;
	uint32_t connect_timeout_ms; /* names and handshake included */
};

/* Both come from the loop alone. */
struct connection_callbacks {
	/* It is made, or takes bytes again. */
	void (*ready)(void *data);
	/* It could not be made, or is over; nothing comes after it. May free the connection. */
	void (*lost)(void *data, const struct error *why);
};

/* The callbacks are borrowed. */
int connection_open(struct loop *loop, const struct connection_options *options,
		    const struct connection_callbacks *callbacks, void *data,
		    struct connection **ret, struct error *err);

/* How many of the bytes it took; 0: none now, `ready` will be called, and then the same bytes must
 * come again, from where they are now (SSL_write(3)). -1: it is over; `lost` is not called. */
ssize_t connection_send(struct connection *connection, const void *bytes, size_t length,
			struct error *err);

struct connection *connection_free(struct connection *connection); /* NULL is fine */

#endif
