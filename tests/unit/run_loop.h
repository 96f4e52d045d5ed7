/* SPDX-License-Identifier: Apache-2.0 */
/* For tests that are client and loop in one thread. */
#ifndef STOKER_TESTS_RUN_LOOP_H
#define STOKER_TESTS_RUN_LOOP_H

#include <stdint.h>

#include "loop/loop.h"

static inline void run_loop_ends(struct watch *watch, unsigned events, void *data)
{
	(void)watch, (void)events;
	loop_stop(data);
}

/* Lets whatever waits in the loop happen, for so many milliseconds. */
static inline void run_loop_for(struct loop *loop, uint64_t ms)
{
	struct watch *timer = loop_timer(loop, ms, run_loop_ends, loop);

	loop_run(loop);
	watch_free(timer);
}

#endif
