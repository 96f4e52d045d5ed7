/* SPDX-License-Identifier: Apache-2.0 */
/* FRAME_STATS, read for channel_frames.c. */
#ifndef STOKER_GUEST_STATS_H
#define STOKER_GUEST_STATS_H

#include <stddef.h>

#include "base/error.h"
#include "model/stats.h"

/* heard_ms is left to the caller. What is too large is cut to STATS_MAX; -1: no guest says that. */
int stats_decode(const void *payload, size_t length, struct guest_stats *ret, struct error *err);

#endif
