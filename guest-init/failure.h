/* SPDX-License-Identifier: Apache-2.0 */
/* Why the guest cannot run its workload: one line, which becomes the message of the exit report. */
#ifndef STOKER_GUEST_INIT_FAILURE_H
#define STOKER_GUEST_INIT_FAILURE_H

#include "guest-init/protocol.h"

struct failure {
	char text[FRAME_MESSAGE_MAX];
};

/* Sets the text; returns -1. */
int failure_set(struct failure *why, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
