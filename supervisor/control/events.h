/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happened lately, as lines for clients: server.c adds, commands.c reads. Drops of guards have
 * a place of their own, for guests make them: they push out nothing else. Private to control/.
 */
#ifndef STOKER_CONTROL_EVENTS_H
#define STOKER_CONTROL_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "model/status.h"
#include "net/net.h"

enum { EVENTS_KEPT = 512, EVENTS_DROPS_KEPT = 128 };

struct event {
	uint64_t number; /* from 1, with no gap; 0: none is here yet */
	char *line;	 /* {"event":{...}} and a newline; owned */
};

/* Zero-initialise it. */
struct events {
	struct event changes[EVENTS_KEPT]; /* rings, both */
	struct event drops[EVENTS_DROPS_KEPT];
	uint64_t change_count, drop_count; /* how many there ever were; the next one's place */
	uint64_t count;			   /* of both; the last one's number */
};

void events_add(struct events *events, const struct instance_status *status);
void events_add_guard(struct events *events, const char *name, const struct net_event *event);

/* The members that all events begin with; events_end takes the object back and keeps it. */
json_t *events_begin(const struct events *events, uint64_t time_ms, const char *name);
void events_end(struct events *events, json_t *object, bool is_drop);

/* The first that is kept of this number and later ones; NULL: none yet. */
const struct event *events_from(const struct events *events, uint64_t number);

void events_reset(struct events *events);

#endif
