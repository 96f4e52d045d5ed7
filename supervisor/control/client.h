/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One client of the control socket, between server.c, which moves bytes and enforces the limits,
 * and commands.c, logs.c and images.c, which know what the commands answer.
 *
 * A command never writes more than it is asked for: `more` is called while the client's queue has
 * room, so what waits for a slow reader is bounded, whatever the size of the answer.
 */
#ifndef STOKER_CONTROL_CLIENT_H
#define STOKER_CONTROL_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "control/events.h"
#include "control/peer.h"
#include "control/protocol.h"
#include "control/server.h"
#include "control/tail.h"
#include "image/catalog.h"

/* What the commands may use of the server. */
struct control {
	struct loop *loop;
	const struct settings *settings;
	struct roster *roster;
	const struct control_handlers *handlers;
	void *data;
	struct events events;
	void (*wake)(struct control *control); /* server.c: some client has something to say */
};

/* The state of the command that runs for a client; zero when none does. */
struct job {
	struct request request;
	uint64_t next_event; /* events, reload: its number */
	uint64_t live_event; /* likewise: what is missing from here on was lost to this client */
	size_t next_index;   /* status, reload: into the roster's list ... */
	char *last_name;     /* ... which may have changed since: who came last. Owned */
	json_t *touched;     /* reload: object with a member per instance that changed. Owned */
	uint64_t until_ms;   /* reload, stats: when to stop waiting */
	bool is_waiting;     /* reload: not settled yet; stats: not all have answered */
	uint64_t asked_ms;   /* stats */
	bool has_settled;
	struct tail *tail;	 /* logs; owned */
	bool is_now;		 /* logs: what was there has been sent */
	struct catalog *catalog; /* image list; owned */
	struct pull *pull;	 /* image pull; owned */
	struct session *session; /* exec; owned */
};

struct client {
	struct control *control;       /* borrowed */
	struct peer peer;	       /* who asks */
	const struct command *command; /* NULL: waits for a request */
	struct job job;
	struct strbuf out;
};

enum progress {
	PROGRESS_WAIT,	/* nothing to say now; ask again at the next tick or event */
	PROGRESS_AGAIN, /* said something, and has more */
	PROGRESS_DONE,	/* client_done was called */
	PROGRESS_OVER,	/* and the connection can be used for nothing else */
};

struct command {
	/* -1: the error becomes the answer. */
	int (*start)(struct client *client, struct error *err);
	/* NULL when start has said everything but the end. */
	enum progress (*more)(struct client *client);
	/* Takes what it can of what the client sends meanwhile. -1: nonsense, the client has to go.
	 * NULL: that waits, and is the next request. */
	int (*input)(struct client *client, struct strbuf *in);
};

extern const struct command control_commands[COMMAND_COUNT];

/* Sends some of the instances that are asked for and that the client may see, {key: describe()}
 * each. PROGRESS_DONE: none is left; the caller ends the answer. */
enum progress client_send_instances(struct client *client, const char *key,
				    json_t *(*describe)(const struct job *job,
							const struct instance_status *status));

/* -1: there is no instance of the name that was asked for. */
int client_find_named(const struct client *client, struct error *err);

/* stats.c */
int stats_start(struct client *client, struct error *err);
enum progress stats_more(struct client *client);

/* guards.c */
int guard_start(struct client *client, struct error *err);

/* logs.c */
int logs_start(struct client *client, struct error *err);
enum progress logs_more(struct client *client);

/* images.c */
int image_list_start(struct client *client, struct error *err);
enum progress image_list_more(struct client *client);
int image_inspect_start(struct client *client, struct error *err);
int image_fetch_start(struct client *client, struct error *err);
enum progress image_fetch_more(struct client *client);
int image_prune_start(struct client *client, struct error *err);
struct pull *pull_free(struct pull *pull); /* ends it; NULL is fine; returns NULL */

/* exec.c */
int exec_command_start(struct client *client, struct error *err);
enum progress exec_command_more(struct client *client);
int exec_command_input(struct client *client, struct strbuf *in);
struct session *session_free(struct session *session); /* ends it; NULL is fine; returns NULL */

/* volumes.c */
int volume_list_start(struct client *client, struct error *err);
int volume_prune_start(struct client *client, struct error *err);

void job_reset(struct job *job);

/* Queues one line, {key: value}; takes the reference. */
void client_send(struct client *client, const char *key, json_t *value);

/* Queues {"error":"..."}, which ends the answer. */
void client_fail(struct client *client, const struct error *err);

/* Queues {"done":true} with the members of `more` (taken; may be NULL). */
void client_done(struct client *client, json_t *more);

#endif
