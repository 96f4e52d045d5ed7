/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's end of the stream to the host: virtserialport "stoker.0" where there is one, else
 * vsock. Logs wait in a ring while the host is away, and the host's verbs come out as callbacks.
 * Nothing here blocks.
 */
#ifndef STOKER_GUEST_INIT_CHANNEL_H
#define STOKER_GUEST_INIT_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest-init/protocol.h"
#include "guest-init/ring.h"

enum {
	CHANNEL_RING_SIZE = LOG_WINDOW,
	CHANNEL_IN_SIZE = sizeof(struct frame_header) + FRAME_PAYLOAD_MAX,
	CHANNEL_SESSIONS_SIZE = 48 << 10,
	CHANNEL_CONTROL_SIZE = sizeof(struct frame_header) + sizeof(struct frame_exit),
};

/* What the host asks for. */
struct channel_verbs {
	void (*stop)(void *data, int signal, uint64_t grace_ms);
	void (*hosts)(void *data, const char *lines); /* NUL-terminated */
	void (*exit_seen)(void *data);
	/* A frame of a session, FRAME_EXEC to FRAME_EXEC_KILL. False: no host says such a thing. */
	bool (*session)(void *data, unsigned type, uint16_t number, const void *payload,
			size_t length);
	/* A frame of the health check, FRAME_HEALTH or FRAME_HEALTH_SEEN; likewise. */
	bool (*health)(void *data, unsigned type, const void *payload, size_t length);
	/* FRAME_CLOCK; likewise. */
	bool (*clock)(void *data, const void *payload, size_t length);
	void (*stats)(void *data); /* FRAME_STATS is wanted */
	void (*gone)(void *data);  /* the host that had asked for all that */
	void *data;
};

enum channel_backend { BACKEND_NONE, BACKEND_PORT, BACKEND_VSOCK };

struct channel {
	struct channel_verbs verbs;
	int epoll; /* borrowed */
	uint64_t epoll_token;
	int fd; /* -1: not connected */
	uint64_t next_connect_ms;
	enum channel_backend backend;

	bool greeted; /* a host listens on this connection */
	bool is_pong_due;
	uint8_t nonce[8];

	uint8_t key[CHANNEL_KEY_SIZE];
	bool running;
	uint64_t init_us, boot_us;
	bool has_exit, exit_sent;
	struct frame_exit exit;

	struct ring ring;
	uint8_t ring_bytes[CHANNEL_RING_SIZE];
	uint8_t control[CHANNEL_CONTROL_SIZE]; /* hello or exit report, before any more logs */
	size_t control_length, control_sent;
	uint8_t sessions[CHANNEL_SESSIONS_SIZE]; /* frames of sessions, which go before logs */
	size_t sessions_length, sessions_sent;
	uint8_t in[CHANNEL_IN_SIZE + 1]; /* and a NUL */
	size_t in_length;
};

/* Events of its descriptor are registered with `epoll`, carrying `token`. */
void channel_init(struct channel *channel, int epoll, uint64_t token,
		  const struct channel_verbs *verbs);

/* Connects when it is not connected, and writes what it can. To be called on every turn of the
 * loop, and each CHANNEL_TEND_MS while channel_wants_tending. */
enum { CHANNEL_TEND_MS = 100 };
void channel_tend(struct channel *channel, uint64_t now_ms);
bool channel_wants_tending(const struct channel *channel);

/* To be called when its descriptor has an event. */
void channel_on_event(struct channel *channel, uint32_t events);

/* What hellos say, see struct frame_hello. */
void channel_set_begun(struct channel *channel, uint64_t init_us);
void channel_set_running(struct channel *channel, bool running, uint64_t boot_us);

/* What a hello proves itself with; before the first call of channel_tend. */
void channel_set_key(struct channel *channel, const uint8_t key[CHANNEL_KEY_SIZE]);

/* Takes the bytes. When the host is away they push out the oldest; when the host is slow and
 * channel_has_room is false they are counted as dropped. */
void channel_log(struct channel *channel, enum log_stream stream, const void *bytes, size_t length);
void channel_say(struct channel *channel, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* False: the host is there but slower than what this stream says, so its writers have to wait. */
bool channel_has_room(const struct channel *channel, enum log_stream stream);

/* Bytes of payload that a session may send now. */
size_t channel_session_room(const struct channel *channel);

/* A frame of a session; `length` is no more than there is room for. */
void channel_session_send(struct channel *channel, enum frame_type type, uint16_t number,
			  const void *payload, size_t length);

/* The exit report, sent after all logs, and again to each host that greets. */
void channel_report(struct channel *channel, const struct frame_exit *report);

#endif
