/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket, RUN_DIR/control.sock: stokerctl asks here. Everybody can connect; who is
 * heard, and in what, is decided by peer.h and access.h. Requests and answers are lines of JSON,
 * see control/protocol.h. A slow or silent client holds up nobody.
 */
#ifndef STOKER_CONTROL_SERVER_H
#define STOKER_CONTROL_SERVER_H

#include "base/error.h"
#include "base/json.h"
#include "instance/roster.h"
#include "loop/loop.h"
#include "model/settings.h"
#include "model/status.h"

/* What the daemon offers to its clients beyond the roster. */
struct control_handlers {
	/* Loads the manifests and plans, without effects. Text as `stokerd -n` prints it; on
	 * invalid manifests -1, with all problems in *ret_text. The caller frees *ret_text. */
	int (*plan)(void *data, char **ret_text);
	/* Loads, plans and starts to apply; as above, and what `status` warns of comes first. */
	int (*reload)(void *data, char **ret_text);
	/* Members of the daemon's own for `status`: version, uptime, last reload and its error,
	 * what forwarding of logs does, and warnings that hold until somebody mends the host or its
	 * settings. */
	json_t *(*describe)(void *data);
	/* What holds now, for who may do what; NULL: nothing was valid yet. */
	const struct fleet *(*fleet)(void *data);
};

struct server;

/* Listens. The caller holds the lock of the run directory: a socket that is there is a dead
 * daemon's and is replaced. */
int server_open(struct loop *loop, const struct settings *settings, struct roster *roster,
		const struct control_handlers *handlers, void *data, struct server **ret,
		struct error *err);
struct server *server_close(struct server *server);

/* Remembers a change (the newest few hundred) and passes it on to those who follow. The daemon
 * calls it from its roster_fn; it never calls back into the roster. NULL is fine: nobody to tell
 * yet. */
void server_publish(struct server *server, const struct instance_status *status);

/* The same of what a guard tells of the named instance's tap. */
void server_publish_guard(struct server *server, const char *name, const struct net_event *event);

#endif
