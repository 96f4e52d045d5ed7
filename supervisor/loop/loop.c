/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libev's home. A watch that is freed inside a callback stays allocated until that callback has
 * returned: the dispatcher counts its depth and reclaims the dead when it is back at zero.
 */
#include "loop/loop.h"

#include <assert.h>
#include <ev.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"

enum watch_kind { WATCH_IO, WATCH_TIMER, WATCH_SIGNAL };

struct loop {
	struct ev_loop *ev;
	unsigned depth;	    /* callbacks that have not returned yet */
	unsigned live;	    /* watches that exist */
	struct watch *dead; /* freed inside a callback; linked by `next_dead` */
};

struct watch {
	union {
		struct ev_io io;
		struct ev_timer timer;
		struct ev_signal signal;
	} ev;
	enum watch_kind kind;
	struct loop *loop; /* borrowed */
	watch_fn *fn;
	void *data;
	struct watch *next_dead;
};

struct loop *loop_new(struct error *err)
{
	struct loop *loop = xcalloc(1, sizeof(*loop));

	loop->ev = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
	if (!loop->ev) {
		free(loop);
		error_set(err, "cannot create an event loop (no epoll, or out of descriptors)");
		return NULL;
	}
	return loop;
}

struct loop *loop_free(struct loop *loop)
{
	if (!loop)
		return NULL;
	assert(loop->live == 0);
	ev_loop_destroy(loop->ev);
	free(loop);
	return NULL;
}

void loop_run(struct loop *loop)
{
	ev_run(loop->ev, 0);
}

void loop_stop(struct loop *loop)
{
	ev_break(loop->ev, EVBREAK_ALL);
}

uint64_t loop_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void bury(struct loop *loop)
{
	while (loop->dead) {
		struct watch *watch = loop->dead;

		loop->dead = watch->next_dead;
		free(watch);
	}
}

static void dispatch(struct watch *watch, unsigned events)
{
	struct loop *loop = watch->loop;

	loop->depth++;
	watch->fn(watch, events, watch->data);
	if (--loop->depth == 0)
		bury(loop);
}

static void on_io(struct ev_loop *ev, struct ev_io *io, int revents)
{
	(void)ev;
	dispatch(io->data,
		 (revents & EV_READ ? LOOP_READ : 0u) | (revents & EV_WRITE ? LOOP_WRITE : 0u));
}

static void on_timer(struct ev_loop *ev, struct ev_timer *timer, int revents)
{
	(void)ev;
	(void)revents;
	dispatch(timer->data, 0);
}

static void on_signal(struct ev_loop *ev, struct ev_signal *number, int revents)
{
	(void)ev;
	(void)revents;
	dispatch(number->data, 0);
}

static struct watch *watch_new(struct loop *loop, enum watch_kind kind, watch_fn *fn, void *data)
{
	struct watch *watch = xcalloc(1, sizeof(*watch));

	watch->kind = kind;
	watch->loop = loop;
	watch->fn = fn;
	watch->data = data;
	loop->live++;
	return watch;
}

static int ev_events(unsigned events)
{
	return (events & LOOP_READ ? EV_READ : 0) | (events & LOOP_WRITE ? EV_WRITE : 0);
}

struct watch *loop_io(struct loop *loop, int fd, unsigned events, watch_fn *fn, void *data)
{
	struct watch *watch = watch_new(loop, WATCH_IO, fn, data);

	ev_io_init(&watch->ev.io, on_io, fd, ev_events(events));
	watch->ev.io.data = watch;
	if (events)
		ev_io_start(loop->ev, &watch->ev.io);
	return watch;
}

struct watch *loop_timer(struct loop *loop, uint64_t after_ms, watch_fn *fn, void *data)
{
	struct watch *watch = watch_new(loop, WATCH_TIMER, fn, data);

	ev_timer_init(&watch->ev.timer, on_timer, 0.0, 0.0);
	watch->ev.timer.data = watch;
	watch_rearm(watch, after_ms);
	return watch;
}

struct watch *loop_soon(struct loop *loop, watch_fn *fn, void *data)
{
	return loop_timer(loop, 0, fn, data);
}

struct watch *loop_signal(struct loop *loop, int number, watch_fn *fn, void *data)
{
	struct watch *watch = watch_new(loop, WATCH_SIGNAL, fn, data);

	ev_signal_init(&watch->ev.signal, on_signal, number);
	watch->ev.signal.data = watch;
	ev_signal_start(loop->ev, &watch->ev.signal);
	return watch;
}

void watch_set_events(struct watch *watch, unsigned events)
{
	struct ev_loop *ev = watch->loop->ev;

	assert(watch->kind == WATCH_IO);
	ev_io_stop(ev, &watch->ev.io);
	ev_io_set(&watch->ev.io, watch->ev.io.fd, ev_events(events));
	if (events)
		ev_io_start(ev, &watch->ev.io);
}

void watch_rearm(struct watch *watch, uint64_t after_ms)
{
	struct ev_loop *ev = watch->loop->ev;

	assert(watch->kind == WATCH_TIMER);
	ev_timer_stop(ev, &watch->ev.timer);
	/* libev counts from the time it last woke up; a long callback would shorten the delay. */
	ev_now_update(ev);
	ev_timer_set(&watch->ev.timer, (double)after_ms / 1000.0, 0.0);
	ev_timer_start(ev, &watch->ev.timer);
}

struct watch *watch_free(struct watch *watch)
{
	struct loop *loop;

	if (!watch)
		return NULL;
	loop = watch->loop;
	switch (watch->kind) {
	case WATCH_IO:
		ev_io_stop(loop->ev, &watch->ev.io);
		break;
	case WATCH_TIMER:
		ev_timer_stop(loop->ev, &watch->ev.timer);
		break;
	case WATCH_SIGNAL:
		ev_signal_stop(loop->ev, &watch->ev.signal);
		break;
	}
	loop->live--;
	if (loop->depth > 0) {
		watch->next_dead = loop->dead;
		loop->dead = watch;
	} else {
		free(watch);
	}
	return NULL;
}
