/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions in a guest, over its channel (FRAME_EXEC of guest-init/protocol.h): a program beside the
 * workload, with an input, what it says, and an end. Both directions have credit, so that a reader
 * that is slow holds up its own session only, and what waits for it is bounded.
 */
#ifndef STOKER_GUEST_EXEC_H
#define STOKER_GUEST_EXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/strv.h"
#include "guest/channel.h"

struct exec_request {
	struct strv command, environment; /* owned, as the next two; "KEY=value" */
	char *user, *working_dir;	  /* NULL: the workload's */
	bool has_terminal, has_input;
	bool is_detached; /* it ends at once, and the program goes on */
	uint16_t rows, columns;
};

void exec_request_reset(struct exec_request *request);

struct exec_callbacks {
	/* Never more than was granted: EXEC_FIRST_CREDIT, and what exec_grant added. */
	void (*output)(void *data, bool is_error, const void *bytes, size_t length);
	/* exec_room has grown. */
	void (*room)(void *data);
	/* The last one. Of kind CHANNEL_INIT_ERROR, it did not begin or was lost: see the message.
	 * May fire from inside the channel_free of its channel. */
	void (*ended)(void *data, const struct channel_exit *how);
};

enum { EXEC_FIRST_CREDIT = 32 << 10 };

struct exec;

/* -1: the guest has too many already, or the request is too long for a frame. */
int exec_start(struct channel *channel, const struct exec_request *request,
	       const struct exec_callbacks *callbacks, void *data, struct exec **ret,
	       struct error *err);

/* What was not over is ended in the guest. NULL is fine; returns NULL. */
struct exec *exec_free(struct exec *exec);

/* Bytes of input that it takes now; exec_input with no bytes is the end of it. */
size_t exec_room(const struct exec *exec);
void exec_input(struct exec *exec, const void *bytes, size_t length);

void exec_grant(struct exec *exec, size_t bytes);
void exec_signal(struct exec *exec, int number);
void exec_resize(struct exec *exec, uint16_t rows, uint16_t columns);

/* --- for channel.c: a frame of the guest's; -1 when no guest sends that --- */

int exec_on_output(struct exec *list, unsigned number, bool is_error, const void *bytes,
		   size_t length, struct error *err);
int exec_on_room(struct exec *list, unsigned number, uint32_t bytes, struct error *err);
int exec_on_end(struct exec *list, unsigned number, const struct channel_exit *how,
		struct error *err);

/* All of them have ended. */
void exec_lose_all(struct exec **list);

#endif
