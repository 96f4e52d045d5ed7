/* SPDX-License-Identifier: Apache-2.0 */
/* The body of a channel, shared by channel.c, which moves bytes, and channel_frames.c, which
 * understands them. */
#ifndef STOKER_GUEST_CHANNEL_INTERNAL_H
#define STOKER_GUEST_CHANNEL_INTERNAL_H

#include "base/strbuf.h"
#include "guest-init/protocol.h"
#include "guest/channel.h"

enum { IN_MAX = sizeof(struct frame_header) + FRAME_PAYLOAD_MAX };

struct channel {
	struct loop *loop; /* borrowed */
	int fd;		   /* owned */
	struct channel_callbacks callbacks;
	void *data;

	struct watch *io;
	struct watch *greeter; /* until the hello */
	struct watch *teller;  /* has to say soon what was seen of the log; NULL: nothing new */
	struct watch *healer;  /* lets the guest tell another result; NULL: it may */
	struct watch *keeper;  /* asks a guest that is silent; NULL: nobody does */

	struct channel_peer peer;
	uint64_t log_told; /* of log_seen, to the guest */
	uint8_t nonce[8];
	bool greeted; /* the hello has come */
	bool exit_seen;
	bool dead;
	size_t skipped;
	bool has_spoken;     /* since the keeper looked last */
	unsigned unanswered; /* pings */
	uint64_t silence_ms;
	bool awaits_stats;

	struct exec *execs;	/* list; exec.c */
	uint32_t health_serial; /* of the definition that was sent last; 0: none */

	uint8_t in[IN_MAX];
	size_t in_length;
	struct strbuf out;     /* being written */
	struct strbuf waiting; /* frames that go out after the hello */

	unsigned depth; /* inside a dispatch: channel_free only marks */
	bool freed;
};

/* The last callback. Returns -1 so that the caller stops looking at the channel. */
int channel_lose(struct channel *channel, const struct error *why);

/* Appends a frame that is nobody's session's; update_events has it written. */
void channel_append(struct strbuf *to, enum frame_type type, const void *payload, size_t length);
void channel_update_events(struct channel *channel);

/* Writes what it can at once. A write that fails is no end yet: what the guest said last may still
 * wait to be read. */
void channel_flush(struct channel *channel);

/* A frame whose length is within its bounds. -1: the channel is lost. */
int channel_on_frame(struct channel *channel, const struct frame_header *header,
		     const uint8_t *payload);

#endif
