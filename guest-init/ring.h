/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log frames that wait for the host: a ring of whole frames (protocol.h), so that what is dropped
 * when the host stays away is always a whole one, and is counted. A frame stays until the host has
 * said that it has it. Places are those of protocol.h.
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
	uint64_t place;			/* of the oldest byte */
	size_t sent;			/* of what is here, to this host */
	size_t held[STREAM_COUNT];	/* of what is here, headers included */
	uint64_t dropped[STREAM_COUNT]; /* payload bytes */
};

/* Bytes of payload that one more frame may have now. */
size_t ring_room(const struct ring *ring);

/* Whether a stream may have `length` bytes more without taking from others what is theirs: it holds
 * at most twice what is left. So one that floods has two thirds of the ring, four have two ninths
 * each, and there is always room for whoever has said little. */
bool ring_is_fair(const struct ring *ring, enum log_stream stream, size_t length);

/* False when there is no room. `length` is 1..FRAME_PAYLOAD_MAX. */
bool ring_put(struct ring *ring, enum log_stream stream, const void *bytes, size_t length);

/* Puts it even so, at the cost of the oldest frames. Not while any was sent. */
void ring_force(struct ring *ring, enum log_stream stream, const void *bytes, size_t length);

/* What to write next: a run of bytes, 0 when all is sent or must wait to be seen. */
size_t ring_peek(const struct ring *ring, const void **ret_bytes);

/* The same, but nothing beyond the frame that was begun: 0 between frames. */
size_t ring_peek_rest(const struct ring *ring, const void **ret_bytes);
void ring_advance(struct ring *ring, size_t written);

/* The host has all frames up to this place: they go. What was not sent it cannot have. */
void ring_seen(struct ring *ring, uint64_t place);

/* Another host: all that is here is sent from its start. Those frames go that this host, by its
 * word, had from an earlier connection. */
void ring_rewind(struct ring *ring, uint64_t seen);

#endif
