/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's side of images: reference -> verified squashfs. The work is done by stoker-image
 * processes without privileges; the daemon reads nothing but their bounded records, opens files
 * by digest, and publishes (fsync, rename) what was verified.
 */
#ifndef STOKER_IMAGE_IMAGE_H
#define STOKER_IMAGE_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/strv.h"
#include "loop/loop.h"
#include "model/progress.h"
#include "model/settings.h"
#include "model/spec.h"

/* A published image: immutable, shared by all instances that use it. */
struct image {
	char *id;     /* 64 hex digits: digest of config, layers, flattener version, options */
	char *digest; /* "sha256:...": of the manifest */
	char *squashfs_path; /* root-owned, 0444 */
	char *record_path; /* what the image says of entrypoint, environment, user, ...: protocol.h
			      records, for stoker-init; opaque to the daemon */
};

struct image *image_free(struct image *image);
struct image *image_copy(const struct image *image);

struct image_store;
struct image_request;

/* Exactly one of image and err is set. `retry`: trying again later may help (a registry that is
 * down, a worker that was killed); false: it will not (no such image, a digest that lies). Fires
 * once, never from inside a call; the request is gone afterwards. `image` is borrowed. */
typedef void image_fn(void *data, const struct image *image, const struct error *err, bool retry);

/* Opens settings->state_dir/images, creating it, and collects what an earlier run left half-made.
 */
int image_store_open(struct loop *loop, const struct settings *settings, struct image_store **ret,
		     struct error *err);
struct image_store *image_store_close(struct image_store *store); /* cancels all requests */

/* Images for another platform, "os/arch[/variant]", than this host's; NULL: this host's. Before the
 * first request. */
int image_store_set_platform(struct image_store *store, const char *platform, struct error *err);

/* Asks for an image. Requests for one reference under one policy share one job. Images of this host
 * are looked at anew whatever the policy: only PULL_NEVER takes what is here. */
struct image_request *image_request(struct image_store *store, const char *reference,
				    enum pull_policy policy, image_fn *fn, void *data);
void image_request_cancel(struct image_request *request); /* fn will not fire */
void image_request_progress(const struct image_request *request, struct image_progress *ret);

#endif
