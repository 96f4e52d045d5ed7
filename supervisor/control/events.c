/* SPDX-License-Identifier: Apache-2.0 */
/* Called by server.c when something happens and by commands.c for clients; guards.c adds what
 * guards tell. */
#include "control/events.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "control/protocol.h"

static void set(json_t *object, const char *key, json_t *value)
{
	json_object_set_new(object, key, value);
}

json_t *events_begin(const struct events *events, uint64_t time_ms, const char *name)
{
	time_t seconds = (time_t)(time_ms / 1000);
	json_t *object = json_object();
	char date[32] = "";
	struct tm utc;

	if (gmtime_r(&seconds, &utc))
		strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &utc);
	set(object, "number", json_integer((json_int_t)events->count + 1));
	set(object, "time", json_string(date));
	set(object, "name", json_string(name));
	return object;
}

void events_end(struct events *events, json_t *object, bool is_drop)
{
	struct event *event = is_drop ? &events->drops[events->drop_count++ % EVENTS_DROPS_KEPT]
				      : &events->changes[events->change_count++ % EVENTS_KEPT];
	_cleanup_json_ json_t *owned = object;
	_cleanup_free_ char *line = json_line(owned);

	free(event->line);
	event->line = xasprintf("{\"event\":%s}\n", line);
	event->number = ++events->count;
}

/* What an event tells: less than a status, for there are many. */
void events_add(struct events *events, const struct instance_status *status)
{
	json_t *object = events_begin(events, (uint64_t)time(NULL) * 1000, status->spec->name);

	set(object, "phase", json_string(phase_name(status->phase)));
	if (status->health != HEALTH_NONE) {
		set(object, "health", json_string(health_name(status->health)));
		set(object, "health_message",
		    protocol_text(status->health_message, strlen(status->health_message)));
	}
	set(object, "reason", json_string(reason_name(status->reason)));
	if (status->reason == REASON_EXITED)
		set(object, "exit_code", json_integer(status->exit_code));
	if (status->reason == REASON_SIGNALLED || status->reason == REASON_VMM_KILLED)
		set(object, "exit_signal", json_integer(status->exit_signal));
	set(object, "restarts", json_integer(status->restarts));
	set(object, "next_start_ms", json_integer((json_int_t)status->next_start_ms));
	set(object, "message", protocol_text(status->message, strlen(status->message)));
	events_end(events, object, false);
}

static void reset_ring(struct event *ring, size_t size)
{
	for (size_t i = 0; i < size; i++)
		free(ring[i].line);
}

void events_reset(struct events *events)
{
	reset_ring(events->changes, EVENTS_KEPT);
	reset_ring(events->drops, EVENTS_DROPS_KEPT);
	*events = (struct events){ 0 };
}

/* Whichever of `best` (may be NULL) and the ring's events comes first, but not before `number`. */
static const struct event *find(const struct event *ring, size_t size, uint64_t number,
				const struct event *best)
{
	for (size_t i = 0; i < size; i++)
		if (ring[i].line && ring[i].number >= number &&
		    (!best || ring[i].number < best->number))
			best = &ring[i];
	return best;
}

const struct event *events_from(const struct events *events, uint64_t number)
{
	const struct event *first = find(events->changes, EVENTS_KEPT, number, NULL);

	return find(events->drops, EVENTS_DROPS_KEPT, number, first);
}
