/* SPDX-License-Identifier: Apache-2.0 */
/* Does time wake anybody up in this guest? */
#ifndef STOKER_GUEST_INIT_TIMER_H
#define STOKER_GUEST_INIT_TIMER_H

#include "guest-init/failure.h"

/* Waits for a timer of one millisecond; -1 when it did not fire. */
int timer_check(struct failure *why);

#endif
