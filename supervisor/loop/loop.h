/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop (libev behind it; this is its home). One thread, one loop.
 *
 * A watch belongs to whoever created it and is stopped by watch_free. A callback may free any
 * watch, its own included: memory is released when the callback has returned.
 */
#ifndef STOKER_LOOP_LOOP_H
#define STOKER_LOOP_LOOP_H

#include <stdint.h>

#include "base/cleanup.h"
#include "base/error.h"

struct loop;
struct watch;

enum { LOOP_READ = 1, LOOP_WRITE = 2 };

/* `events` is what happened (LOOP_READ | LOOP_WRITE), 0 for timers and signals. */
typedef void watch_fn(struct watch *watch, unsigned events, void *data);

struct loop *loop_new(struct error *err);
struct loop *loop_free(struct loop *loop); /* every watch must be gone */

/* Runs until loop_stop. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* Milliseconds of CLOCK_MONOTONIC. */
uint64_t loop_now_ms(void);

/* The descriptor stays the caller's. */
struct watch *loop_io(struct loop *loop, int fd, unsigned events, watch_fn *fn, void *data);

/* Fires once, after at least `after_ms`; watch_rearm starts it again. */
struct watch *loop_timer(struct loop *loop, uint64_t after_ms, watch_fn *fn, void *data);

/* Fires once, as soon as the current callback has returned. */
struct watch *loop_soon(struct loop *loop, watch_fn *fn, void *data);

struct watch *loop_signal(struct loop *loop, int number, watch_fn *fn, void *data);

void watch_set_events(struct watch *watch, unsigned events); /* of an I/O watch; 0 pauses it */
void watch_rearm(struct watch *watch, uint64_t after_ms);    /* of a timer */
struct watch *watch_free(struct watch *watch);		     /* NULL is fine; returns NULL */

DEFINE_CLEANUP(struct loop, loop_free);

#endif
