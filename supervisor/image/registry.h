/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One repository of one registry, by the OCI distribution specification 1.1: GETs with tokens,
 * redirects, resumption and retries. fetch.c decides what to ask for and verifies what came.
 */
#ifndef STOKER_IMAGE_REGISTRY_H
#define STOKER_IMAGE_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/strv.h"
#include "loop/http.h"
#include "model/reference.h"

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
	const struct reference *reference; /* host and repository */
	const struct strv *insecure;	   /* hosts that may be spoken to without TLS */
	uint32_t retries;
};

/* The options' pointers must outlive it. */
struct registry *registry_new(const struct registry_options *options);
struct registry *registry_free(struct registry *registry); /* every get must be gone */

/* GET /v2/REPOSITORY/`what`, where `what` is "manifests/TAG" or "blobs/DIGEST". */
struct registry_get *registry_get(struct registry *registry, const char *what, const char *accept,
				  const struct registry_sink *sink, registry_fn *fn, void *data);
struct registry_get *registry_get_free(struct registry_get *get); /* ends it; fn will not fire */

#endif
