/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images on disk, below STATE_DIR/images; image.c decides when, this file does it:
 *
 *   blobs/sha256/HEX           manifests, configs, layers; the fetcher's uid writes here. Layers go
 *                              once their image is published: the squashfs is what counts.
 *   squashfs/ID.sqfs           published images, root's, 0444; there when all the others are
 *            ID.record .notes  what the image says to stoker-init, and to people (image/notes.h)
 *            ID.json           what it was made of: config, layers; the record's time says when the
 *                              image was used last
 *   refs/SHA256-OF-REFERENCE   JSON: reference, manifest, image
 *   tmp/                       what is being built; emptied at start
 */
#ifndef STOKER_IMAGE_STORE_H
#define STOKER_IMAGE_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/strv.h"
#include "image/image.h"
#include "image/oci.h"
#include "model/compression.h"

enum {
	STORE_ID_SIZE = 65, /* 64 digits, NUL */
	STORE_REFERENCE_MAX = 16 * 1024,
};

struct store {
	char *blobs; /* owned, as all paths here */
	char *squashfs;
	char *refs;
	char *tmp;
	int blobs_fd;
	uid_t fetch_uid;
};

/* What stoker-image build writes, on its way into squashfs/. */
enum store_part { STORE_NOTES, STORE_RECORD, STORE_SQUASHFS, STORE_PARTS };

struct store_build {
	char *paths[STORE_PARTS]; /* owned; NULL: published, or not there */
	int fds[STORE_PARTS];	  /* owned; -1: none */
};

/* One that store_abandon may be called on. */
#define STORE_BUILD_NONE ((struct store_build){ .fds = { -1, -1, -1 } })

int store_open(const char *state_dir, uid_t fetch_uid, struct store *ret, struct error *err);
void store_close(struct store *store);

/* What decides the content of the squashfs and of the record, as one id. */
void store_image_id(const char *config_digest, const struct oci_descriptor *layers, size_t count,
		    const struct compression *compression, bool has_verity,
		    char ret[STORE_ID_SIZE]);

bool store_is_id(const char *text);

/* The published image, or NULL. The caller frees it. */
struct image *store_find(const struct store *store, const char *id, const char *manifest_digest);

/* The image that the reference led to the last time, if that is still published. */
struct image *store_find_reference(const struct store *store, const char *reference);
void store_forget_reference(const struct store *store, const char *reference);
int store_write_reference(const struct store *store, const char *reference,
			  const struct image *image, struct error *err);

/* Opens a blob that the fetcher left; a size of 0 is not compared. What is not a plain file of the
 * fetcher's, linked once, is refused: it could be any file of the system. */
int store_open_blob(const struct store *store, const char *digest, uint64_t size, int *ret_fd,
		    struct error *err);
void store_remove_blobs(const struct store *store, const struct strv *digests);

/* Removes half-written blobs, those that can be gone on with after a day; no fetcher may be
 * running.
 */
void store_collect_blobs(const struct store *store);

int store_begin(const struct store *store, struct store_build *ret, struct error *err);
int store_publish(const struct store *store, struct store_build *build, const char *id,
		  struct error *err);
void store_abandon(struct store_build *build); /* whatever is left of it; twice is fine */

/* It is, or was until now, in use: `image prune` goes by that. */
void store_note_use(const struct store *store, const char *id);

/* What a published image was made of; to be written before it is published. */
int store_write_facts(const struct store *store, const char *id, const char *config_digest,
		      const struct oci_descriptor *layers, size_t count, bool has_verity,
		      struct error *err);

/* Whether it was made with a hash tree. */
bool store_has_verity(const struct store *store, const char *id);

#endif
