/* SPDX-License-Identifier: Apache-2.0 */
/* When a tap gets the flood shield, and when it loses it. For keep.c; no state but the caller's. */
#ifndef STOKER_NET_SHIELD_H
#define STOKER_NET_SHIELD_H

#include <stdbool.h>
#include <stdint.h>

enum {
	SHIELD_RAISE_ABOVE = 20000, /* hostile frames a second: some 1 % of a processor */
	SHIELD_RAISE_TICKS = 3,	    /* in a row */
	SHIELD_LOWER_BELOW = 2000,
	SHIELD_LOWER_TICKS = 10,
};

enum shield_step { SHIELD_STAY, SHIELD_RAISE, SHIELD_LOWER };

/* Zero-initialise it. */
struct shield {
	bool is_up;
	unsigned ticks; /* in a row that speak for the other state */
};

/* Once a tick, with what the shield would drop or drops. A step is taken as done. */
enum shield_step shield_decide(struct shield *shield, uint64_t hostile_per_second);

#endif
