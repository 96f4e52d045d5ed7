/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions: programs that an operator of the host starts beside the workload (FRAME_EXEC of
 * protocol.h), each in a process session and control group of its own, with pipes or a terminal.
 * Nothing here blocks: a session whose reader is slow waits for its own credit alone.
 */
#ifndef STOKER_GUEST_INIT_EXEC_H
#define STOKER_GUEST_INIT_EXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "guest-init/channel.h"
#include "guest-init/config.h"

enum exec_end { EXEC_END_INPUT, EXEC_END_OUTPUT, EXEC_END_ERRORS, EXEC_ENDS };

struct exec_session {
	bool is_used;
	uint16_t number; /* the host's */
	bool is_detached, has_terminal;
	pid_t pid; /* 0: it was reaped */
	int status;
	int fds[EXEC_ENDS]; /* owned; -1: closed. A terminal's is the same twice, by dup. */
	bool is_watched[EXEC_ENDS];
	uint32_t credit; /* bytes that it may say */
	uint8_t *input;	 /* owned; EXEC_WINDOW bytes, `input_length` of which wait */
	size_t input_length;
	size_t taken; /* bytes of input that the host may send again, and was not told yet */
	bool input_ends;
	unsigned group; /* its control group's number */
};

struct execs {
	struct channel *channel; /* borrowed, as the next two */
	const struct config *config;
	int epoll;
	uint64_t token; /* of the first event; EXEC_TOKENS of them are its own */
	int root;	/* of the image, where users are looked up; -1: nothing can start */
	unsigned last_group;
	struct exec_session sessions[EXEC_SESSIONS_MAX];
};

enum { EXEC_TOKENS = EXEC_SESSIONS_MAX * EXEC_ENDS };

void exec_init(struct execs *execs, struct channel *channel, const struct config *config, int epoll,
	       uint64_t token);

/* A frame of the host's; false: a host says no such thing. */
bool exec_on_frame(struct execs *execs, unsigned type, uint16_t number, const void *payload,
		   size_t length);

void exec_on_event(struct execs *execs, uint64_t token);

/* Whether that child was one of its own. */
bool exec_on_reaped(struct execs *execs, pid_t pid, int status);

/* To be called on every turn of the loop: what waited for room may have it now. */
void exec_tend(struct execs *execs);

/* The host is gone, and with it whoever asked: all end but those that were detached. */
void exec_on_gone(struct execs *execs);

#endif
