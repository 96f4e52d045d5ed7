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
#include "image/catalog.h"
#include "image/prune.h"
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

/* Who needs images: calls tell with the name of an instance and the id of the image that it has,
 * the reference that it or its manifest names, or both; once or more for each. */
typedef void image_user_fn(void *tell_data, const char *who, const char *id, const char *reference);
typedef void image_users_fn(void *data, image_user_fn *tell, void *tell_data);

/* Without it nobody needs any but the one who asked. */
void image_store_set_users(struct image_store *store, image_users_fn *fn, void *data);

/* An instance that has this image lets go of it. */
void image_store_note_use(const struct image_store *store, const struct image *image);

/* All images and who uses them; catalog_reset releases it. */
int image_store_list(const struct image_store *store, struct catalog *ret, struct error *err);

/* One of them with all that is known of it; new reference. */
json_t *image_store_describe(const struct image_store *store, const struct catalog_image *image);

/* Removes what the settings' image_keep, image_keep_for and image_min_free do not keep, but nothing
 * that is used or wanted; and blobs that belong to no image, unless something that is wanted is not
 * here yet. The report is filled in also when it fails half-way. */
int image_store_prune(const struct image_store *store, bool is_dry_run, struct prune_report *report,
		      struct error *err);

/* Asks for an image. Requests for one reference under one policy share one job. Images of this host
 * are looked at anew whatever the policy: only PULL_NEVER takes what is here. */
struct image_request *image_request(struct image_store *store, const char *reference,
				    enum pull_policy policy, image_fn *fn, void *data);

/* Whether the image was made with a hash tree. */
bool image_has_verity(const struct image_store *store, const struct image *image);

/* Compares the image with its hash tree, all of it, in a confined process; requests for one image
 * share that. A difference is an error without `retry`. */
struct image_request *image_request_check(struct image_store *store, const struct image *image,
					  image_fn *fn, void *data);
void image_request_cancel(struct image_request *request); /* fn will not fire */
void image_request_progress(const struct image_request *request, struct image_progress *ret);

#endif
