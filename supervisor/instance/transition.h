/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of an instance as one table: in this phase, on this event, go to that phase and do this.
 * What is not in the table does not happen: the event is ignored and said at debug level.
 */
#ifndef STOKER_INSTANCE_TRANSITION_H
#define STOKER_INSTANCE_TRANSITION_H

#include "model/status.h"

struct instance;

enum event {
	EVENT_NONE,
	EVENT_START,	    /* it should run: created, or its policy changed */
	EVENT_HOST_REFUSED, /* no VM may start on this host as it is */
	EVENT_IMAGE_READY,
	EVENT_IMAGE_DELAYED, /* no image now; trying again may help */
	EVENT_IMAGE_REFUSED, /* no image, and trying again will not help */
	EVENT_STARTED,	     /* the VMM runs */
	EVENT_START_FAILED,
	EVENT_GUEST_READY, /* the guest said hello */
	EVENT_CHANNEL_LOST,
	EVENT_UNHEALTHY, /* and its manifest says that it is not to go on */
	EVENT_TIMEOUT,	 /* the one timer; its meaning is the phase's */
	EVENT_PAUSE,	 /* an operator's, as the next */
	EVENT_RESUME,
	EVENT_CYCLE,  /* stop, then start again: replaced or restarted by an operator */
	EVENT_REMOVE, /* stop and forget */
	/* The VMM ended. By the restart policy: */
	EVENT_GONE_AGAIN,  /* it is to start again, after a delay */
	EVENT_GONE_FINAL,  /* leave it so */
	EVENT_GONE_FAILED, /* that was once too often */
	/* Because an operator said so: */
	EVENT_GONE_CYCLE,  /* it is to start again, at once */
	EVENT_GONE_REMOVE, /* forget it */
	EVENT_COUNT,
};

/* Does what the transition asks for and may raise one further event. */
typedef enum event action_fn(struct instance *instance);

struct transition {
	enum phase next;
	action_fn *act; /* NULL: there is no such transition */
};

const struct transition *transition_find(enum phase phase, enum event event);

const char *event_name(enum event event);

#endif
