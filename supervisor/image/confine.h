/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walls around a stoker-image process. Called once, after start-up and before the first byte of
 * a stranger is read; whatever cannot be had is an error, and then the process must end. From here
 * on a forbidden system call kills the whole process (SIGSYS).
 */
#ifndef STOKER_IMAGE_CONFINE_H
#define STOKER_IMAGE_CONFINE_H

#include "base/error.h"

/* For `stoker-image build`: the descriptors it holds, memory and threads; no file system, no
 * network, no new executable memory. */
int confine_build(struct error *err);

/* For `stoker-image fetch`: TCP and UDP, the trees of the directories among the descriptors it was
 * started with (3 to 63) for reading and writing, and the resolver's and TLS library's own files
 * for reading. No unix sockets, no children. Call it when every such descriptor is open and the TLS
 * library is initialised. */
int confine_fetch(struct error *err);

#endif
