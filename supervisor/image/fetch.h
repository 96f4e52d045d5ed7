/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run of `stoker-image fetch`: reference -> verified blobs in the cache, told over the report
 * pipe. fetch.c knows what an image consists of; an origin knows where the pieces lie.
 */
#ifndef STOKER_IMAGE_FETCH_H
#define STOKER_IMAGE_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "base/strv.h"
#include "image/hosts.h"
#include "image/oci.h"
#include "model/reference.h"
#include "model/settings.h"

enum { FETCH_PROGRESS_MS = 100 };

struct fetch {
	struct reference reference; /* owned */
	struct hosts hosts;	    /* owned: what is known of registries */
	struct strv mirrors;	    /* owned: "host[:port][/path]", to be asked first */
	struct oci_platform platform;
	uint32_t retries;
	uint32_t stall_timeout_ms; /* 0: the default of http.h */
	bool allows_foreign;	   /* layers may come from the URLs that their manifest names */
	int report;		   /* pipe to the daemon */
	int cache;		   /* directory of blobs */
	int source;		   /* the layout's directory or the archive; -1 for a registry */
	bool retry;		   /* of the error being handed up: trying again later may help */

	const struct origin *origin;
	void *state; /* the origin's own */

	uint64_t done, total;		   /* bytes of layers that were missing */
	const struct oci_document *layers; /* borrowed; NULL before they are known */
	struct {
		uint64_t done, told;
	} layer[REPORT_LAYERS_MAX];
	uint64_t told;		   /* of `done` */
	uint64_t last_progress_ms; /* of CLOCK_MONOTONIC */
};

/* One way to get at an image. Contents are verified by fetch.c and blob.c, not here. */
struct origin {
	/* Called before anything of a stranger is read, and before the process is confined. */
	int (*open)(struct fetch *fetch, struct error *err);
	void (*close)(struct fetch *fetch);

	/* The document that the reference names (want NULL), or one by descriptor. *ret_type: the
	 * media type by which it came, owned by the caller, or NULL. */
	int (*document)(struct fetch *fetch, const struct oci_descriptor *want, struct strbuf *ret,
			char **ret_type, struct error *err);

	/* Instead of `document`, for an origin without manifests: config (already in the cache)
	 * and layers, and a digest that stands for the manifest's. */
	int (*resolve)(struct fetch *fetch, struct oci_document *ret,
		       char ret_digest[OCI_DIGEST_SIZE], struct error *err);

	/* Brings blobs, none of which is in the cache, into the cache; the first ones first. */
	int (*blobs)(struct fetch *fetch, const struct oci_descriptor *const *wants, size_t count,
		     struct error *err);
};

extern const struct origin origin_registry;
extern const struct origin origin_layout;
extern const struct origin origin_oci_archive;
extern const struct origin origin_docker_archive;

/* Adds to the bytes of that blob that are here (negative: they were worth nothing) and tells the
 * daemon, once in FETCH_PROGRESS_MS. What is no layer is not counted. */
void fetch_progress(struct fetch *fetch, const struct oci_descriptor *blob, int64_t bytes);

/* Tells what was not told yet: of a download that stands still nobody else would. */
void fetch_tell_progress(struct fetch *fetch);

int fetch_main(int argc, char **argv);

#endif
