/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's wall clock, kept by the host's. Asked for when a host comes, each minute, and when
 * the host says that time was lost (FRAME_CLOCK of protocol.h): a clock drifts, and a VM that is
 * paused knows nothing of it.
 */
#ifndef STOKER_GUEST_INIT_CLOCK_H
#define STOKER_GUEST_INIT_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest-init/channel.h"

struct clock {
	struct channel *channel; /* borrowed */
	uint64_t next_ms;	 /* when to ask; 0: at once */
	uint64_t asked_ns;	 /* CLOCK_MONOTONIC of the last question; 0: it was answered */
};

void clock_init(struct clock *clock, struct channel *channel);

/* FRAME_CLOCK; false: no host says such a thing. */
bool clock_on_frame(struct clock *clock, const void *payload, size_t length, uint64_t now_ms);

/* To be called on every turn of the loop, and at the latest at clock_wake_ms (UINT64_MAX: none). */
void clock_tend(struct clock *clock, uint64_t now_ms);
uint64_t clock_wake_ms(const struct clock *clock);

/* The next host is asked at once. */
void clock_on_gone(struct clock *clock);

/* What an answer is good for. Times in nanoseconds: the question's and the present by
 * CLOCK_MONOTONIC, the present by CLOCK_REALTIME, and what the host said that it is. */
enum clock_verdict {
	CLOCK_ABSURD, /* not within 2020 to 2200 */
	CLOCK_LATE,   /* it was too long under way to tell */
	CLOCK_FINE,   /* no further off than the answer may be */
	CLOCK_SLEW,   /* to be made to go faster or slower for a while */
	CLOCK_STEP,   /* to be set */
};
enum clock_verdict clock_judge(uint64_t asked_ns, uint64_t now_ns, int64_t real_ns,
			       uint64_t told_ns, int64_t *ret_behind_ns);

#endif
