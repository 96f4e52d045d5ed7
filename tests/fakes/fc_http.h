/* SPDX-License-Identifier: Apache-2.0 */
/* One connection of Firecracker's HTTP server: requests out of bytes, answers into bytes. It speaks
 * as Firecracker's micro_http does: no chunks, no reason phrase, connections kept. */
#ifndef STOKER_TESTS_FAKES_FC_HTTP_H
#define STOKER_TESTS_FAKES_FC_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/strbuf.h"

enum { HTTP_LINE_MAX = 1024 };

struct http_request {
	char method[16];
	char path[HTTP_LINE_MAX];
	const char *body; /* borrowed from the connection until http_drop */
	size_t body_length;
	size_t size; /* with its head */
};

struct http_connection {
	int fd; /* owned; -1: free */
	struct strbuf in, out;
	bool continued; /* 100 was sent for the request in `in` */
	bool is_deaf;	/* what comes is read and forgotten */
};

enum http_progress { HTTP_MORE, HTTP_READY, HTTP_BAD };

/* Looks at what has come. HTTP_READY fills *ret; HTTP_BAD has queued the answer, and the connection
 * has become deaf. */
enum http_progress http_next(struct http_connection *connection, struct http_request *ret);

/* Forgets the bytes of a request that was served. */
void http_drop(struct http_connection *connection, const struct http_request *request);

/* Queues an answer; `body` NULL is "204 No Content". */
void http_answer(struct http_connection *connection, int status, const char *body);

/* Reads or writes what it can without waiting; -1: the peer is gone. */
int http_read(struct http_connection *connection);
int http_flush(struct http_connection *connection);

void http_close(struct http_connection *connection);

#endif
