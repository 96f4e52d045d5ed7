/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the images are up to, on the last line of a terminal: for a stokerd that was started by
 * hand. Without a terminal on stderr nothing is shown; stokerctl status tells the same at any time.
 */
#ifndef STOKER_PROGRESS_H
#define STOKER_PROGRESS_H

#include "instance/roster.h"
#include "loop/loop.h"

struct progress;

/* The roster is borrowed. NULL when stderr is no terminal. */
struct progress *progress_new(struct loop *loop, const struct roster *roster);
struct progress *progress_free(struct progress *progress); /* NULL is fine; returns NULL */

/* An instance began to wait for its image: shows progress until none does. NULL is fine. */
void progress_start(struct progress *progress);

#endif
