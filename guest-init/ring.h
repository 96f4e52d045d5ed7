/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log frames that wait for the host: a ring of whole frames (protocol.h), so that what is dropped
 * when the host stays away is always a whole one, and is counted.
 */
#ifndef STOKER_GUEST_INIT_RING_H
#define STOKER_GUEST_INIT_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest-init/protocol.h"

struct ring {
	uint8_t *bytes; /* borrowed */
	size_t capacity;
	size_t start, used;
	size_t sent;			/* of the oldest frame */
	uint64_t dropped[STREAM_COUNT]; /* payload bytes */
};

/* Bytes of payload that one more frame may have now. */
size_t ring_room(const struct ring *ring);

/* False when there is no room. `length` is 1..FRAME_PAYLOAD_MAX. */
bool ring_put(struct ring *ring, enum log_stream stream, const void *bytes, size_t length);

/* Puts it even so, at the cost of the oldest frames. Not while one is half sent. */
void ring_force(struct ring *ring, enum log_stream stream, const void *bytes, size_t length);

/* What to write next: a run of bytes, 0 when all is sent. */
size_t ring_peek(const struct ring *ring, const void **ret_bytes);
void ring_advance(struct ring *ring, size_t written);

/* The frame that was being sent will be sent from its start again. */
void ring_rewind(struct ring *ring);

#endif
