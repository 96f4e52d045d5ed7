/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's end of the stream to stoker-init: frames of guest-init/protocol.h over a connected
 * descriptor. All that comes in was written by a guest: lengths and types are checked, a frame that
 * is not understood ends the channel, and nothing in it says who the guest is.
 */
#ifndef STOKER_GUEST_CHANNEL_H
#define STOKER_GUEST_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "loop/loop.h"
#include "model/spec.h"
#include "model/stats.h"

enum channel_stream {
	CHANNEL_STDOUT,
	CHANNEL_STDERR,
	CHANNEL_KERNEL,
	CHANNEL_SYSLOG,
	CHANNEL_INIT
};

enum { CHANNEL_KEY_LENGTH = 32 };

/* For guest/health.c: what a guest wrote ends up on operators' terminals. */
void channel_make_printable(char *text);

/* What a guest's connections have in common. */
struct channel_peer {
	uint8_t key[CHANNEL_KEY_LENGTH]; /* random; in the guest's configuration */
	uint64_t log_seen;		 /* place up to which its log was taken; 0: unknown */
};

/* The version that both ends must speak. */
unsigned channel_protocol(void);

struct channel_hello {
	uint32_t protocol;     /* version */
	uint64_t init_us;      /* guest uptime when its kernel had handed over to stoker-init */
	uint64_t boot_us;      /* and when the workload was started; 0: it was not */
	bool workload_running; /* false: see the exit report that follows */
};

/* What the guest's health check has shown so far. */
struct channel_health {
	bool has_succeeded;
	uint32_t failures; /* in a row, that count */
	char message[200]; /* printable */
};

struct channel_exit {
	enum {
		CHANNEL_EXITED,
		CHANNEL_SIGNALLED,
		CHANNEL_OOM,
		CHANNEL_INIT_ERROR,
		CHANNEL_DAEMONISED
	} kind;
	int code;	   /* exit code or signal number */
	char message[200]; /* as struct frame_exit has it; printable */
};

/* None fires from inside a call to the channel, except that all may free it. */
struct channel_callbacks {
	void (*hello)(void *data, const struct channel_hello *hello);
	/* Raw bytes of a stream, at most 64 KiB, not necessarily whole lines. */
	void (*log)(void *data, enum channel_stream stream, const void *bytes, size_t length);
	void (*exited)(void *data, const struct channel_exit *exit);
	/* Closed, or the peer broke the protocol. The channel is dead and waits for channel_free.
	 */
	void (*lost)(void *data, const struct error *why);
	/* At most one a second, of the check that was defined last. */
	void (*health)(void *data, const struct channel_health *health);
	/* The answer to channel_ask_stats. */
	void (*stats)(void *data, const struct guest_stats *stats);
};

struct channel;
struct exec;

/* Owns fd from here on. A guest that has not the peer's key is lost. */
struct channel *channel_new(struct loop *loop, int fd, const struct channel_peer *peer,
			    const struct channel_callbacks *callbacks, void *data);
struct channel *channel_free(struct channel *channel);

/* True since its hello. */
bool channel_is_greeted(const struct channel *channel);

/* The place up to which the guest's log was handed to `log`, for the next connection's peer. */
uint64_t channel_log_seen(const struct channel *channel);

/* Speaks to another callee from now on, and says what waits in `from` (may be NULL), which is
 * freed, for a hello that did not come. */
void channel_hand_over(struct channel *channel, const struct channel_callbacks *callbacks,
		       void *data, struct channel *from);

/* For guest/exec.c: the sessions of this channel, and a frame for one of them. Nothing is sent to a
 * guest that has read nothing of what sixteen sessions may have waiting; signals and sizes, of
 * which a client may send any number, go sooner. */
struct exec **channel_execs(struct channel *channel);
void channel_send_session(struct channel *channel, unsigned type, unsigned number,
			  const void *payload, size_t length);

/* Asks stoker-init to end the workload: its stop signal, then SIGKILL after grace_ms, then power
 * off. `signal` 0 = the image's. */
void channel_stop(struct channel *channel, int signal, uint64_t grace_ms);

/* From now on the guest is checked as the spec says, or no longer; after each hello only. */
void channel_check(struct channel *channel, const struct spec *spec);

/* Replaces the lines that stoker maintains in the guest's /etc/hosts. */
void channel_hosts(struct channel *channel, const char *lines);

/* Time was lost in the guest, which asks for it then; after its hello only. */
void channel_tell_time_lost(struct channel *channel);

/* Unless an answer is awaited; after its hello only. */
void channel_ask_stats(struct channel *channel);

/* From now on, a guest that says nothing for this long, though it is asked to, is lost. 0: no
 * longer. A VMM may live on when its guest has halted, and nothing else tells. */
void channel_watch(struct channel *channel, uint64_t silence_ms);

#endif
