/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an upper layer says, kept until the layers below it are known: entries are merged bottom
 * layer first, but read top layer first (image/flatten.c).
 */
#ifndef STOKER_IMAGE_RECORD_H
#define STOKER_IMAGE_RECORD_H

#include "base/cleanup.h"
#include "base/error.h"
#include "image/merge.h"

#define RECORD_BYTES_MAX (512ULL << 20) /* of all layers together */

struct record;

/* `bytes` is what all records together hold; it must outlive the record. */
struct record *record_new(uint64_t *bytes);
struct record *record_free(struct record *record);

/* Keeps a copy of an entry and of all that it points to. */
int record_add(struct record *record, const struct merge_entry *entry, struct error *err);

/* The entries in their order; stops at the first that fails, and returns what it returned. */
typedef int record_fn(void *data, const struct merge_entry *entry, struct error *err);
int record_each(const struct record *record, record_fn *fn, void *data, struct error *err);

#endif
