/* SPDX-License-Identifier: Apache-2.0 */
/* How a guest says that it is doing: claims of somebody who is not trusted. */
#ifndef STOKER_MODEL_STATS_H
#define STOKER_MODEL_STATS_H

#include <stdint.h>

#include "base/json.h"

/* Numbers are no greater than STATS_MAX, so that JSON can tell them exactly. */
#define STATS_MAX     ((UINT64_C(1) << 53) - 1)
#define STATS_MISSING UINT64_MAX /* a pressure that its kernel does not measure */

struct guest_stats {
	uint64_t heard_ms; /* when, by loop_now_ms(); 0: it has said nothing yet */
	uint64_t uptime_ms;
	uint64_t memory_total, memory_available; /* bytes */
	uint64_t load[3];			 /* hundredths; of 1, 5 and 15 minutes */
	uint64_t tasks;				 /* threads, its kernel's own among them */
	uint64_t disk_total, disk_used;		 /* bytes; of the root's writable layer */
	uint64_t pressure_cpu, pressure_memory, pressure_io; /* hundredths of a percent, of 10 s */
};

/* New reference; without heard_ms, and without what is missing. */
json_t *guest_stats_to_json(const struct guest_stats *stats);

#endif
