/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long to wait before the next start, and whether there is one: pure decisions, no clock.
 */
#ifndef STOKER_INSTANCE_BACKOFF_H
#define STOKER_INSTANCE_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

#include "model/settings.h"
#include "model/spec.h"
#include "model/status.h"

struct backoff {
	uint64_t delay_ms; /* of the last wait; 0 = none yet */
	uint32_t failures; /* ends in a row, without a long enough run between them */
};

/* Call at each end of a run, with how long it was in PHASE_RUNNING. */
void backoff_ended(struct backoff *backoff, uint64_t ran_ms, const struct settings *settings);

/* The next delay: doubles from restart_min_ms to restart_max_ms. */
uint64_t backoff_next_ms(struct backoff *backoff, const struct settings *settings);

enum verdict { VERDICT_AGAIN, VERDICT_REST, VERDICT_FAILED };

/* What the restart policy says of a run that ended by itself. A workload that exited with 0 has
 * done its work for `on-failure`; everything else is a failure. */
enum verdict restart_verdict(const struct spec *spec, enum reason reason, int exit_code,
			     uint32_t failures);

#endif
