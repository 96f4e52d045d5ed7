/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an image's config says to people: ports, volumes, labels, history. Written by stoker-image
 * as entries of guest-init/protocol.h, with tags of their own, and read by the daemon, which takes
 * neither a length nor a text on trust.
 */
#ifndef STOKER_IMAGE_NOTES_H
#define STOKER_IMAGE_NOTES_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/strbuf.h"

enum note {
	NOTE_CREATED = 128, /* RFC 3339 */
	NOTE_PLATFORM,	    /* "linux/amd64" */
	NOTE_AUTHOR,
	NOTE_PORT,    /* "80/tcp" */
	NOTE_VOLUME,  /* "/var/lib/data" */
	NOTE_LABEL,   /* "name=value" */
	NOTE_HISTORY, /* what made a layer, or changed the config; oldest first */
	NOTE_CUT,     /* empty: there is more, which is not shown */
};

enum {
	NOTES_MAX = 256 << 10, /* bytes of all */
	NOTE_MAX = 4096,       /* bytes of one; a longer one ends in "..." */
};

/* In the worker: out of a whole config document. What is not as the specification has it is left
 * out, for nothing depends on it. */
void notes_make(const json_t *document, struct strbuf *ret);

/* `text` is neither terminated nor printable. */
typedef void notes_fn(void *data, uint32_t tag, const char *text, size_t length);

/* Calls fn for each entry of a file of notes, or of an image record. -1: it cannot be read, or is
 * not made of entries; fn may have been called before that was found. */
int notes_read(const char *path, notes_fn *fn, void *data, struct error *err);

/* A new string of JSON: bytes beyond printable ASCII as \xNN, backslashes
 * doubled, so that two different values never look alike. */
json_t *notes_text(const char *text, size_t length);

#endif
