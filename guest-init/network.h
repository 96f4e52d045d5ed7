/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Static addresses over raw rtnetlink (rtnetlink(7)): no tool of the image's is needed. The network
 * is routed: own addresses are /32 and /128, everything else goes to the gateway on the link.
 */
#ifndef STOKER_GUEST_INIT_NETWORK_H
#define STOKER_GUEST_INIT_NETWORK_H

#include "guest-init/config.h"
#include "guest-init/failure.h"

/* Raises lo, and eth0 when there are addresses. */
int network_up(const struct config *config, struct failure *why);

#endif
