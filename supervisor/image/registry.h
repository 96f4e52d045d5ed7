/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One repository of one registry, by the OCI distribution specification 1.1: GETs with tokens or
 * passwords, redirects, resumption and retries. fetch.c decides what to ask for and verifies what
 * came.
 */
#ifndef STOKER_IMAGE_REGISTRY_H
#define STOKER_IMAGE_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "image/hosts.h"
#include "loop/http.h"

struct registry;
struct registry_get;

/* Where the bytes of a successful answer go. */
struct registry_sink {
	/* Forget what was written: the bytes start again at 0. */
	int (*restart)(void *data, struct error *err);
	int (*write)(void *data, const void *bytes, size_t length, struct error *err);
	void *data;
};

/* Fires once, never from inside a call; the get is gone afterwards. `content_type` may be NULL.
 * `retry`: asking again later may help. */
typedef void registry_fn(void *data, const char *content_type, const struct error *err, bool retry);

struct registry_options {
	struct loop *loop; /* borrowed, like all here */
	struct http *http;
	const struct hosts *hosts; /* what is known of them: TLS, authorities, credentials */
	const char *name;	   /* of the registry, for `hosts` and messages: "docker.io" */
	const char *authority;	   /* to connect to: "registry-1.docker.io" */
	const char *repository;
	uint32_t retries;
	uint32_t stall_timeout_ms; /* below 1 KiB/s for as long is a failure; 0: 30 s */
};

/* The options' pointers must outlive it. */
struct registry *registry_new(const struct registry_options *options);
struct registry *registry_free(struct registry *registry); /* every get must be gone */

/* GET /v2/REPOSITORY/`what`, where `what` is "manifests/TAG" or "blobs/DIGEST"; the sink holds its
 * first `offset` bytes already. A `what` with "://" in it is a URL elsewhere: nothing that is known
 * of the registry goes there, no token, no credential. */
struct registry_get *registry_get(struct registry *registry, const char *what, const char *accept,
				  uint64_t offset, const struct registry_sink *sink,
				  registry_fn *fn, void *data);
struct registry_get *registry_get_free(struct registry_get *get); /* ends it; fn will not fire */

#endif
