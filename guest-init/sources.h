/* SPDX-License-Identifier: Apache-2.0 */
/* What stoker-init waits for, and the sources of logs among it: the workload's two pipes, /dev/log
 * and /dev/kmsg, which go to the channel at its pace. */
#ifndef STOKER_GUEST_INIT_SOURCES_H
#define STOKER_GUEST_INIT_SOURCES_H

#include <stdbool.h>
#include <stddef.h>

#include "guest-init/channel.h"

/* Also what their events carry. */
enum source {
	SOURCE_SIGNALS,
	SOURCE_CHANNEL,
	SOURCE_STDOUT, /* logs from here on */
	SOURCE_STDERR,
	SOURCE_SYSLOG,
	SOURCE_KERNEL,
	SOURCE_COUNT
};

struct sources {
	struct channel *channel; /* borrowed, as is the next */
	int epoll;
	int fds[SOURCE_COUNT];	   /* owned; -1: closed; the channel's is its own */
	bool paused[SOURCE_COUNT]; /* out of the epoll set */
	void (*hear_kernel)(void *data, const char *record, size_t length);
	void *data;
};

/* `hear_kernel` gets each record of /dev/kmsg before it is logged. */
void sources_init(struct sources *sources, struct channel *channel, int epoll,
		  void (*hear_kernel)(void *data, const char *record, size_t length), void *data);

/* Takes the descriptor; -1 is fine, and is never read. */
void sources_watch(struct sources *sources, enum source source, int fd);

/* Reads once, of a source of logs; of the syslog and the kernel, a number of records. */
void sources_read(struct sources *sources, enum source source);

/* Whether the workload's pipes have writers still. */
bool sources_have_output(const struct sources *sources);

/* Holds up those whose log has no room, until it has some. Before each wait for events. */
void sources_pace(struct sources *sources);

#endif
