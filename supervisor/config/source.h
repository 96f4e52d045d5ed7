/* SPDX-License-Identifier: Apache-2.0 */
/* One file of a configuration: reading it with care, and quoting a line of it. */
#ifndef STOKER_CONFIG_SOURCE_H
#define STOKER_CONFIG_SOURCE_H

#include "config/problems.h"

/* Fills text and length. The message has no place: source->name is for remedies only. */
int source_read(struct source *source, const char *path, struct error *err);

/* The line (from 1) without its break, not terminated; NULL when there is none to quote. */
const char *source_line(const struct source *source, uint32_t line, size_t *ret_length);

/* `name` as seen from the file `beside`: relative names are relative to it. The caller frees it. */
char *source_beside(const char *beside, const char *name);

#endif
