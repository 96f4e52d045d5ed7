/* SPDX-License-Identifier: Apache-2.0 */
/* Copies a directory with all that is in it, as cp -a: owners, modes, times, attributes. */
#ifndef STOKER_GUEST_INIT_COPY_H
#define STOKER_GUEST_INIT_COPY_H

#include "guest-init/failure.h"

/* From the directory `from`, on one file system, into the empty directory `to`, which gets its
 * owner and mode. Of a file with several names each becomes one of its own. */
int copy_tree(int from, int to, struct failure *why);

#endif
