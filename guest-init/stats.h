/* SPDX-License-Identifier: Apache-2.0 */
/* How the guest is doing, for FRAME_STATS of protocol.h. */
#ifndef STOKER_GUEST_INIT_STATS_H
#define STOKER_GUEST_INIT_STATS_H

#include "guest-init/protocol.h"

/* `root` is the workload's; -1: there is none. What cannot be told is 0, of pressures
 * STATS_UNKNOWN. In the byte order of the wire. */
void stats_read(int root, struct frame_stats *ret);

#endif
