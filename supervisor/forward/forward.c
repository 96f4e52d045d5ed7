/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by instance/logfile for each line that a VM's log takes, and by the daemon. The queue is
 * emptied in turns of a bounded length, so that neither a quick target nor a slow one holds up the
 * loop. What goes wrong is logged once, and so is when it is over.
 */
#include "forward/forward.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "forward/outlet.h"
#include "forward/queue.h"
#include "model/target.h"

enum {
	QUEUE_BYTES = 4 << 20,
	TURN_MESSAGES = 256,
	DELAY_MIN_MS = 100,
	DELAY_MAX_MS = 60000,
	GOOD_AFTER_MS = 10000, /* it held for so long: the next delay is the shortest again */
};

struct forward {
	const struct settings *settings; /* borrowed */
	struct loop *loop;		 /* borrowed */
	struct target target;
	const struct outlet_driver *driver;
	struct outlet_context context;
	struct outlet *outlet; /* owned; NULL: none now, the timer brings the next */
	struct watch *retry;   /* owned; NULL: it is not waited for */
	struct watch *turn;    /* owned; NULL: none is due */
	struct queue *queue;   /* owned */
	char hostname[MESSAGE_HOSTNAME_MAX + 1];
	struct forward_counts counts;
	uint64_t lost_unsaid;
	uint64_t delay_ms;
	uint64_t opened_ms; /* loop_now_ms of the outlet */
	bool is_failing;    /* and the log says so */
};

static void queue_line(struct forward *forward, const struct forward_line *line)
{
	_cleanup_strbuf_ struct strbuf bytes = { 0 };
	struct message message;

	message_parse(line, &message);
	forward->driver->encode(&message, forward->hostname, &bytes);
	if (!queue_push(forward->queue, message.tenant, bytes.data, bytes.length)) {
		forward->counts.lost++;
		if (!forward->lost_unsaid++)
			log_warning("[log] forward = %s: lines are lost: more of them wait than "
				    "there is room for (the files in log_dir have them)",
				    forward->settings->log_forward);
	}
	message_reset(&message);
}

/* The target hears of what it did not get, as soon as it takes all that waited. */
static void tell_losses(struct forward *forward)
{
	char text[96];
	struct timespec now;
	struct forward_line line = { .name = "stokerd", .stream = "stoker", .text = text };

	clock_gettime(CLOCK_REALTIME, &now);
	line.time_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	line.length = (size_t)snprintf(text, sizeof(text), "%llu lines of guests were lost",
				       (unsigned long long)forward->lost_unsaid);
	log_warning("[log] forward = %s: takes lines again; %llu were lost",
		    forward->settings->log_forward, (unsigned long long)forward->lost_unsaid);
	forward->lost_unsaid = 0;
	queue_line(forward, &line);
}

/* --- the outlet ------------------------------------------------------------------------------ */

static void pump(struct forward *forward);

static void open_outlet(struct forward *forward);

static void on_retry(struct watch *watch, unsigned events, void *data)
{
	struct forward *forward = data;

	(void)events;
	forward->retry = watch_free(watch);
	open_outlet(forward);
}

static void fail(struct forward *forward, const struct error *why)
{
	forward->counts.is_up = false;
	if (forward->outlet && loop_now_ms() - forward->opened_ms >= GOOD_AFTER_MS)
		forward->delay_ms = 0;
	forward->outlet = forward->driver->free(forward->outlet);
	forward->delay_ms = forward->delay_ms ? forward->delay_ms * 2 : DELAY_MIN_MS;
	if (forward->delay_ms > DELAY_MAX_MS)
		forward->delay_ms = DELAY_MAX_MS;
	if (!forward->is_failing)
		log_warning("[log] forward = %s: %s (lines wait, and it is tried again)",
			    forward->settings->log_forward, why->text);
	forward->is_failing = true;
	watch_free(forward->retry);
	forward->retry = loop_timer(forward->loop, forward->delay_ms, on_retry, forward);
}

static void open_outlet(struct forward *forward)
{
	struct error err;

	forward->opened_ms = loop_now_ms();
	if (forward->driver->open(&forward->context, &forward->outlet, &err) < 0)
		fail(forward, &err);
	else
		pump(forward);
}

static void on_ready(void *data)
{
	struct forward *forward = data;

	forward->counts.is_up = true;
	pump(forward);
}

static void on_lost(void *data, const struct error *why)
{
	fail(data, why);
}

/* --- the queue ------------------------------------------------------------------------------- */

static void on_turn(struct watch *watch, unsigned events, void *data)
{
	struct forward *forward = data;

	(void)events;
	forward->turn = watch_free(watch);
	pump(forward);
}

static void took_one(struct forward *forward)
{
	queue_pop(forward->queue);
	forward->counts.lines++;
	forward->counts.is_up = true;
	if (forward->is_failing && !forward->lost_unsaid)
		log_info("[log] forward = %s: takes lines again", forward->settings->log_forward);
	forward->is_failing = false;
	if (forward->lost_unsaid && !queue_count(forward->queue))
		tell_losses(forward);
}

/* False: there is more, and the target would take it. */
static bool pump_some(struct forward *forward, size_t limit)
{
	const void *bytes;
	struct error err;
	size_t length;

	while ((bytes = queue_first(forward->queue, &length))) {
		int result;

		if (!limit--)
			return false;
		result = forward->driver->send(forward->outlet, bytes, length, &err);
		if (result < 0)
			fail(forward, &err);
		if (result <= 0)
			break;
		took_one(forward);
	}
	return true;
}

static void pump(struct forward *forward)
{
	if (forward->outlet && !forward->turn && !pump_some(forward, TURN_MESSAGES))
		forward->turn = loop_soon(forward->loop, on_turn, forward);
}

void forward_add(struct forward *forward, const struct forward_line *line)
{
	if (!forward)
		return;
	queue_line(forward, line);
	pump(forward);
}

/* --- its life -------------------------------------------------------------------------------- */

static const struct outlet_driver *driver_of(enum target_kind kind)
{
	switch (kind) {
	case TARGET_SYSLOG:
		return &outlet_syslog;
	case TARGET_JOURNAL:
		return &outlet_journal;
	case TARGET_UDP:
		return &outlet_udp;
	case TARGET_TCP:
		return &outlet_tcp;
	case TARGET_TLS:
		return &outlet_tls;
	case TARGET_OFF:
		break;
	}
	return NULL;
}

int forward_open(struct loop *loop, const struct settings *settings, struct forward **ret,
		 struct error *err)
{
	struct forward *forward;
	struct target target;

	*ret = NULL;
	if (target_parse(settings->log_forward, &target, err) < 0)
		return -1;
	if (target.kind == TARGET_OFF)
		return 0;
	forward = xcalloc(1, sizeof(*forward));
	forward->settings = settings;
	forward->loop = loop;
	forward->target = target;
	forward->driver = driver_of(target.kind);
	forward->context = (struct outlet_context){ .loop = loop,
						    .settings = settings,
						    .target = &forward->target,
						    .ready = on_ready,
						    .lost = on_lost,
						    .data = forward };
	forward->queue = queue_new(QUEUE_BYTES);
	message_hostname(forward->hostname);
	open_outlet(forward);
	*ret = forward;
	return 0;
}

void forward_reopen(struct forward *forward)
{
	if (!forward)
		return;
	message_hostname(forward->hostname);
	forward->outlet = forward->driver->free(forward->outlet);
	forward->retry = watch_free(forward->retry);
	forward->delay_ms = 0;
	forward->is_failing = false;
	open_outlet(forward);
}

void forward_count(const struct forward *forward, struct forward_counts *ret)
{
	*ret = forward->counts;
}

struct forward *forward_close(struct forward *forward)
{
	if (!forward)
		return NULL;
	if (forward->outlet)
		pump_some(forward, SIZE_MAX);
	if (queue_count(forward->queue))
		log_warning("[log] forward = %s: %zu lines still wait and are lost",
			    forward->settings->log_forward, queue_count(forward->queue));
	forward->outlet = forward->driver->free(forward->outlet);
	watch_free(forward->retry);
	watch_free(forward->turn);
	queue_free(forward->queue);
	free(forward);
	return NULL;
}
