/* SPDX-License-Identifier: Apache-2.0 */
/* What every stokerd that changes something does first, before its loop is there. */
#ifndef STOKER_STARTUP_H
#define STOKER_STARTUP_H

#include "base/error.h"
#include "model/settings.h"

/* Drops privileges, raises limits, makes the directories, and takes the lock of the run directory,
 * which *ret_lock_fd holds until it is closed or the process ends. Another stokerd there: -1. */
int startup_prepare(const struct settings *settings, int *ret_lock_fd, struct error *err);

#endif
