/* SPDX-License-Identifier: Apache-2.0 */
/* An image's configuration blob: what it says of its layers, and of the process to run. */
#ifndef STOKER_IMAGE_CONFIG_H
#define STOKER_IMAGE_CONFIG_H

#include <stddef.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "base/strv.h"

enum { IMAGE_CONFIG_MAX = 8 << 20 };

/* Zero-initialise it, and reset it. */
struct image_config {
	struct strv diff_ids; /* 64 hex digits each, bottom layer first */
	struct strbuf record; /* entries of guest-init/protocol.h, for stoker-init */
	struct strbuf notes;  /* the rest, for people: image/notes.h */
};

/* Draws the seed of the JSON library's hash tables, before /dev/urandom is out of reach. */
void image_config_prepare(void);

/* Everything is checked: what stoker-init reads later needs no second look. */
int image_config_parse(const char *bytes, size_t length, struct image_config *ret,
		       struct error *err);
void image_config_reset(struct image_config *config);

#endif
