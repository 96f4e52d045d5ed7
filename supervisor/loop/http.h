/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP requests on the loop, over TCP, TLS and unix sockets (libcurl behind it; this is its home).
 *
 * A redirect is handed to the caller like any other answer: what may follow it, and with which
 * headers, is the caller's decision. What the peer sends is capped: the headers at
 * HTTP_HEADERS_MAX bytes, a collected body at `body_max`.
 */
#ifndef STOKER_LOOP_HTTP_H
#define STOKER_LOOP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "base/strv.h"
#include "loop/loop.h"

enum { HTTP_HEADERS_MAX = 64 * 1024 };

struct http;
struct http_request;

struct http_response {
	int status;		/* 200 ...; 0: none arrived */
	struct strv headers;	/* "Name: value", of the final answer only */
	struct strbuf body;	/* what was collected */
	uint64_t body_received; /* bytes, collected or streamed */
};

/* Takes a piece of the body; `response` has status and headers. -1 with err set ends the request
 * with that error. Must not start or free requests. */
typedef int http_body_fn(const struct http_response *response, const void *bytes, size_t length,
			 void *data, struct error *err);

/* Fires exactly once, never from inside a call to this module. err is NULL when a whole answer
 * arrived, whatever its status; else `response` holds what had come until then. The request may be
 * freed and others may be started from inside. */
typedef void http_done_fn(struct http_request *request, const struct http_response *response,
			  const struct error *err, void *data);

struct http_options {
	const char *method;	    /* NULL: GET, or POST with a body */
	const char *url;	    /* http or https */
	const char *unix_socket;    /* path of the socket to connect to instead of the URL's host */
	const struct strv *headers; /* "Name: value"; may be NULL */
	const void *body;
	size_t body_length;
	size_t body_max;	     /* more than this collected is an error; 0: 1 MiB */
	http_body_fn *on_body;	     /* NULL: the body is collected */
	const struct strbuf *ca;     /* PEM: the only authorities believed; NULL: the system's */
	uint32_t connect_timeout_ms; /* 0: 15 s */
	uint32_t stall_timeout_ms;   /* below 1 KiB/s for this long is an error; 0: 30 s */
	uint32_t total_timeout_ms;   /* 0: none */
};

struct http *http_new(struct loop *loop, struct error *err);
struct http *http_free(struct http *http); /* every request must be gone */

/* Everything in `options` is copied. */
int http_start(struct http *http, const struct http_options *options, http_done_fn *fn, void *data,
	       struct http_request **ret, struct error *err);

/* Ends it if it still runs; fn will not fire. NULL is fine; returns NULL. */
struct http_request *http_request_free(struct http_request *request);

/* The value of a header by its case-insensitive name, or NULL. `nth` counts repetitions from 0. */
const char *http_header(const struct http_response *response, const char *name, size_t nth);

/* What `location` means in an answer to a request for `base` (RFC 3986, 5). Only http and https,
 * without user names. The caller frees it; NULL with err set when it is no such URL. */
char *http_url_resolve(const char *base, const char *location, struct error *err);

/* Same scheme, host and port (RFC 6454, 5). URLs that cannot be parsed have no origin in common. */
bool http_url_same_origin(const char *a, const char *b);

/* "host", or "host:port" when the port is not the scheme's own. The caller frees it. */
char *http_url_authority(const char *url);

/* Adds text to a URL's query, everything but unreserved characters percent-encoded. */
void http_url_escape(struct strbuf *url, const char *text);

DEFINE_CLEANUP(struct http, http_free);

#endif
