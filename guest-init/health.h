/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The health check (FRAME_HEALTH of protocol.h): one at a time, as the workload's user, in a
 * process session and control group of its own that ends with it. Nothing here blocks; what a
 * result means for the VM is the host's to say.
 */
#ifndef STOKER_GUEST_INIT_HEALTH_H
#define STOKER_GUEST_INIT_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "guest-init/channel.h"
#include "guest-init/config.h"

enum { HEALTH_OUTPUT_MAX = 160 };

struct health {
	struct channel *channel; /* borrowed, as the next */
	const struct config *config;
	int epoll;
	uint64_t token;
	int root;	     /* of the image, where users are looked up; -1: nothing is checked */
	uint64_t started_ms; /* the workload */

	struct frame_health check; /* in the byte order of this machine; kind HEALTH_OFF: none */
	struct list words;	   /* owned; path or command */
	uint64_t next_ms;	   /* when to check again */

	pid_t pid;	      /* 0: no check runs */
	uint64_t deadline_ms; /* of that one */
	bool is_judged;	      /* it was killed: its time was over, or its definition */
	bool is_waited_for;   /* another definition waits for its end */
	int fd;		      /* owned; what it says; -1: none */
	char output[HEALTH_OUTPUT_MAX + 1];
	size_t output_length;

	uint32_t successes, failures; /* as in struct frame_health_result */
	char message[FRAME_MESSAGE_MAX];
	bool is_due;	 /* the host is to hear that */
	bool is_awaited; /* the host has not seen what it was told last */
};

/* Its one event is registered with `epoll`, carrying `token`. */
void health_init(struct health *health, struct channel *channel, const struct config *config,
		 int epoll, uint64_t token);

/* The workload runs, and it is over: what is not judged yet never will be. */
void health_begin(struct health *health, int root, uint64_t now_ms);
void health_end(struct health *health);

/* A frame of the host's; false: a host says no such thing. */
bool health_on_frame(struct health *health, unsigned type, const void *payload, size_t length,
		     uint64_t now_ms);

/* Its descriptor has something to read. */
void health_on_event(struct health *health);

/* Whether that child was its own. */
bool health_on_reaped(struct health *health, pid_t pid, int status, uint64_t now_ms);

/* To be called on every turn of the loop, and at the latest at health_wake_ms (UINT64_MAX: none).
 */
void health_tend(struct health *health, uint64_t now_ms);
uint64_t health_wake_ms(const struct health *health);

/* The host is gone; the check goes on. */
void health_on_gone(struct health *health);

#endif
