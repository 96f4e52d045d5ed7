/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pull on its way, on stderr: bars that are drawn anew on a terminal, one for each layer and one
 * for all; a line now and then elsewhere.
 */
#ifndef STOKER_CTL_METER_H
#define STOKER_CTL_METER_H

#include "base/json.h"
#include "base/strbuf.h"
#include "model/progress.h"

enum { METER_EVERY_MS = 200 }; /* how often it is worth showing */

struct meter;

struct meter *meter_new(void);
void meter_show(struct meter *meter, const struct image_progress *progress);
struct meter *meter_free(struct meter *meter); /* takes the bars away; returns NULL */

/* From the members of model/progress.h in the daemon's answer. The layers stay the meter's. */
void meter_show_json(struct meter *meter, const json_t *object);

/* "12.3/45.0MiB 27%, 5.1MiB/s": what is known of it, the rate left out when it is 0. */
void meter_amount(struct strbuf *out, uint64_t done, uint64_t total, uint64_t rate);

#endif
