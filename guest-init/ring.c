/* SPDX-License-Identifier: Apache-2.0 */
/* Fed by channel.c from the pipes, /dev/log and /dev/kmsg; drained by it when the host reads. */
#include "guest-init/ring.h"

#include <endian.h>
#include <string.h>

static void copy_in(struct ring *ring, const void *bytes, size_t length)
{
	size_t at = (ring->start + ring->used) % ring->capacity;
	size_t first = ring->capacity - at < length ? ring->capacity - at : length;

	memcpy(ring->bytes + at, bytes, first);
	memcpy(ring->bytes, (const uint8_t *)bytes + first, length - first);
	ring->used += length;
}

/* The header of the frame that begins so far behind the oldest byte. */
static struct frame_header header_at(const struct ring *ring, size_t offset)
{
	struct frame_header header;
	uint8_t *to = (uint8_t *)&header;

	for (size_t i = 0; i < sizeof(header); i++)
		to[i] = ring->bytes[(ring->start + offset + i) % ring->capacity];
	return header;
}

/* The oldest frame, headers included. */
static size_t first_size(const struct ring *ring)
{
	return sizeof(struct frame_header) + le32toh(header_at(ring, 0).length);
}

static void pop(struct ring *ring)
{
	size_t size = first_size(ring);

	ring->held[le16toh(header_at(ring, 0).stream)] -= size;
	ring->start = (ring->start + size) % ring->capacity;
	ring->used -= size;
	ring->place += size;
}

size_t ring_room(const struct ring *ring)
{
	size_t left = ring->capacity - ring->used;

	if (left <= sizeof(struct frame_header))
		return 0;
	left -= sizeof(struct frame_header);
	return left < FRAME_PAYLOAD_MAX ? left : FRAME_PAYLOAD_MAX;
}

bool ring_is_fair(const struct ring *ring, enum log_stream stream, size_t length)
{
	size_t left = ring->capacity - ring->used, size = sizeof(struct frame_header) + length;

	return size <= left && ring->held[stream] + size <= 2 * (left - size);
}

bool ring_put(struct ring *ring, enum log_stream stream, const void *bytes, size_t length)
{
	struct frame_header header = { .length = htole32((uint32_t)length),
				       .type = htole16(FRAME_LOG),
				       .stream = htole16((uint16_t)stream) };

	if (length > ring_room(ring))
		return false;
	copy_in(ring, &header, sizeof(header));
	copy_in(ring, bytes, length);
	ring->held[stream] += sizeof(header) + length;
	return true;
}

void ring_force(struct ring *ring, enum log_stream stream, const void *bytes, size_t length)
{
	while (ring->used && length > ring_room(ring)) {
		struct frame_header header = header_at(ring, 0);

		ring->dropped[le16toh(header.stream)] += le32toh(header.length);
		pop(ring);
	}
	if (!ring_put(ring, stream, bytes, length))
		ring->dropped[stream] += length;
}

size_t ring_peek(const struct ring *ring, const void **ret_bytes)
{
	size_t at = (ring->start + ring->sent) % ring->capacity;
	size_t end = ring->used < LOG_WINDOW ? ring->used : LOG_WINDOW;
	size_t left = end > ring->sent ? end - ring->sent : 0;

	*ret_bytes = ring->bytes + at;
	return ring->capacity - at < left ? ring->capacity - at : left;
}

size_t ring_peek_rest(const struct ring *ring, const void **ret_bytes)
{
	size_t end = 0, length = ring_peek(ring, ret_bytes);

	while (end < ring->sent)
		end += sizeof(struct frame_header) + le32toh(header_at(ring, end).length);
	return length < end - ring->sent ? length : end - ring->sent;
}

void ring_advance(struct ring *ring, size_t written)
{
	ring->sent += written;
}

/* Drops the oldest frames that end at `place` or before. */
static void drop_until(struct ring *ring, uint64_t place, size_t limit)
{
	size_t dropped = 0;

	while (ring->used) {
		size_t size = first_size(ring);

		if (size > limit - dropped || ring->place + size > place)
			break;
		pop(ring);
		dropped += size;
	}
}

void ring_seen(struct ring *ring, uint64_t place)
{
	size_t before = ring->used;

	drop_until(ring, place, ring->sent);
	ring->sent -= before - ring->used;
}

void ring_rewind(struct ring *ring, uint64_t seen)
{
	ring->sent = 0;
	drop_until(ring, seen, ring->used);
}
