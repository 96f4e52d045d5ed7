/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host-initiated vsock: a client of uds_path says "CONNECT <port>\n" and hears "OK <hostport>\n".
 * In the scripted guest only port 7 has a listener, which sends back what it gets; for any other
 * the stream ends, as the original ends it.
 */
#ifndef STOKER_TESTS_FAKES_FC_VSOCK_H
#define STOKER_TESTS_FAKES_FC_VSOCK_H

#include <stdbool.h>
#include <stddef.h>

enum { VSOCK_STREAMS_MAX = 16, VSOCK_LINE_MAX = 32, VSOCK_ECHO_PORT = 7 };

struct vsock_stream {
	int fd; /* owned; -1: free */
	char line[VSOCK_LINE_MAX];
	size_t length;
	bool is_open; /* OK was said */
};

struct vsock {
	struct vsock_stream streams[VSOCK_STREAMS_MAX];
	unsigned last_port;
};

void vsock_init(struct vsock *vsock);

/* Takes a connection of the listener; NULL when there is none or no room. */
struct vsock_stream *vsock_accept(struct vsock *vsock, int listener);

/* Its descriptor can be read. */
void vsock_on_event(struct vsock *vsock, struct vsock_stream *stream);

#endif
