/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: accepts clients, takes their requests line by line, and lets the commands
 * (client.h) fill each client's queue as fast as that client reads it. Every quantity a client can
 * drive is bounded here: how many there are, how long a request is, how much waits to be read, how
 * long nothing happens.
 */
#include "control/server.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "control/access.h"
#include "control/client.h"
#include "control/listen.h"
#include "control/protocol.h"

enum {
	CLIENTS_MAX = 32,
	CLIENTS_OF_USER_MAX = 8,		/* that is not root ... */
	CLIENTS_OF_USERS_MAX = CLIENTS_MAX / 2, /* ... and of all of them */
	QUEUE_HIGH_BYTES = 64 * 1024,		/* a command is asked for more below this */
	IDLE_MAX_MS = 60 * 1000,		/* without a request */
	STUCK_MAX_MS = 30 * 1000,		/* with answers that nobody reads */
	TICK_MS = 100,				/* how often running commands look again */
};

struct connection {
	struct client client;
	struct server *server;
	struct connection *next;
	int fd;
	struct watch *watch; /* owned */
	struct strbuf in;
	uint64_t moved_ms;   /* when bytes last went either way */
	bool is_read_closed; /* the client has nothing more to ask */
};

struct server {
	struct control control;
	struct connection *connections; /* owned list */
	unsigned count;
	struct listener listener;
	struct watch *watch; /* owned */
	struct watch *tick;  /* owned; armed while there are clients */
	struct watch *soon;  /* owned; NULL: no events wait to be passed on */
};

/* --- what the commands call --------------------------------------------------------------------
 */

void client_send(struct client *client, const char *key, json_t *value)
{
	_cleanup_json_ json_t *object = json_object();
	_cleanup_free_ char *line = NULL;

	json_object_set_new(object, key, value ? value : json_null());
	line = json_line(object);
	strbuf_puts(&client->out, line);
	strbuf_putc(&client->out, '\n');
}

void client_done(struct client *client, json_t *more)
{
	_cleanup_json_ json_t *object = json_pack("{s:b}", "done", 1);
	_cleanup_free_ char *line = NULL;

	if (more)
		json_object_update(object, more);
	json_decref(more);
	line = json_line(object);
	strbuf_puts(&client->out, line);
	strbuf_putc(&client->out, '\n');
}

void client_fail(struct client *client, const struct error *err)
{
	client_send(client, "error", protocol_text(err->text, strlen(err->text)));
}

/* --- one connection ----------------------------------------------------------------------------
 */

static void hang_up(struct connection *connection)
{
	struct server *server = connection->server;
	struct connection **at = &server->connections;

	while (*at != connection)
		at = &(*at)->next;
	*at = connection->next;
	server->count--;
	watch_free(connection->watch);
	close(connection->fd);
	job_reset(&connection->client.job);
	peer_reset(&connection->client.peer);
	strbuf_reset(&connection->client.out);
	strbuf_reset(&connection->in);
	free(connection);
}

static void start_request(struct connection *connection, const char *line, size_t length)
{
	struct client *client = &connection->client;
	struct error err = { 0 };

	job_reset(&client->job);
	if (protocol_parse_request(line, length, &client->job.request, &err) < 0 ||
	    access_check(client, &client->job.request, &err) < 0) {
		job_reset(&client->job);
		client_fail(client, &err);
		return;
	}
	client->command = &control_commands[client->job.request.command];
	if (client->command->start(client, &err) < 0)
		client_fail(client, &err);
	else if (client->command->more)
		return;
	else
		client_done(client, NULL);
	client->command = NULL;
	job_reset(&client->job);
}

/* Takes up the next request when none is being answered. False: there is none yet. */
static bool take_request(struct connection *connection)
{
	_cleanup_free_ char *line = NULL;
	size_t length;

	if (protocol_take_line(&connection->in, PROTOCOL_REQUEST_MAX, &line, &length) <= 0)
		return false;
	start_request(connection, line, length);
	return true;
}

/* Lets the command, and those that follow, fill the queue up to its limit. -1: the client is to go.
 */
static int fill(struct connection *connection)
{
	struct client *client = &connection->client;

	while (client->out.length < QUEUE_HIGH_BYTES) {
		if (!client->command) {
			if (!take_request(connection))
				return 0;
			continue;
		}
		if (client->command->input && client->command->input(client, &connection->in) < 0)
			return -1;
		switch (client->command->more(client)) {
		case PROGRESS_WAIT:
			return 0;
		case PROGRESS_AGAIN:
			break;
		case PROGRESS_DONE:
			client->command = NULL;
			job_reset(&client->job);
			break;
		case PROGRESS_OVER:
			client->command = NULL;
			job_reset(&client->job);
			connection->is_read_closed = true;
			strbuf_reset(&connection->in);
			break;
		}
	}
	return 0;
}

/* -1: the client is gone. */
static int flush(struct connection *connection)
{
	struct strbuf *out = &connection->client.out;
	ssize_t n;

	if (out->length == 0)
		return 0;
	n = send(connection->fd, out->data, out->length, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	strbuf_consume(out, (size_t)n);
	if (out->length == 0)
		strbuf_reset(out);
	connection->moved_ms = loop_now_ms();
	return 0;
}

/* Reads while there is room for a request; a client that says more than that while it waits for an
 * answer is left unread. -1: gone, or breaks the limits. */
static int receive(struct connection *connection)
{
	char bytes[PROTOCOL_REQUEST_MAX];
	ssize_t n = recv(connection->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	connection->moved_ms = loop_now_ms();
	if (n == 0)
		connection->is_read_closed = true;
	strbuf_add(&connection->in, bytes, (size_t)n);
	return 0;
}

static void watch_what_is_possible(struct connection *connection)
{
	unsigned events = 0;

	if (!connection->is_read_closed && connection->in.length <= PROTOCOL_REQUEST_MAX)
		events |= LOOP_READ;
	if (connection->client.out.length > 0)
		events |= LOOP_WRITE;
	watch_set_events(connection->watch, events);
}

/* A line that never ends is answered once, and that is the end of it. */
static void refuse_endless_request(struct connection *connection)
{
	struct strbuf *in = &connection->in;
	struct error err;

	if (connection->client.command || in->length <= PROTOCOL_REQUEST_MAX ||
	    memchr(in->data, '\n', PROTOCOL_REQUEST_MAX + 1))
		return;
	error_set(&err, "the request is longer than %d bytes", PROTOCOL_REQUEST_MAX);
	client_fail(&connection->client, &err);
	connection->is_read_closed = true;
	strbuf_reset(in);
}

/* Whoever only closed its sending side gets the answer it waits for, but follows nothing. One whose
 * input waits for its session is not read, so that its end is looked for. */
static bool is_over(const struct connection *connection)
{
	const struct client *client = &connection->client;
	struct pollfd peer = { .fd = connection->fd };

	if (!connection->is_read_closed && !client->job.session)
		return false;
	if (connection->is_read_closed && client->out.length == 0 &&
	    (!client->command || client->job.request.follow || client->job.session))
		return true;
	return poll(&peer, 1, 0) == 1 && (peer.revents & (POLLHUP | POLLERR));
}

/* Moves a connection on by one bounded step; may end it. */
static void pump(struct connection *connection)
{
	if (fill(connection) < 0) {
		hang_up(connection);
		return;
	}
	refuse_endless_request(connection);
	if (flush(connection) < 0 || is_over(connection))
		hang_up(connection);
	else
		watch_what_is_possible(connection);
}

static void on_ready(struct watch *watch, unsigned events, void *data)
{
	struct connection *connection = data;

	(void)watch;
	if ((events & LOOP_READ) && receive(connection) < 0)
		hang_up(connection);
	else
		pump(connection);
}

/* --- all connections ---------------------------------------------------------------------------
 */

static bool has_timed_out(const struct connection *connection, uint64_t now_ms)
{
	uint64_t still_ms = now_ms - connection->moved_ms;

	/* Whoever holds a session may well stop to read for a while. */
	if (connection->client.job.session)
		return false;
	if (connection->client.out.length > 0)
		return still_ms > STUCK_MAX_MS;
	return !connection->client.command && still_ms > IDLE_MAX_MS;
}

static void pump_all(struct server *server)
{
	struct connection *next;

	for (struct connection *at = server->connections; at; at = next) {
		next = at->next;
		if (at->client.command)
			pump(at);
	}
}

static void on_tick(struct watch *watch, unsigned events, void *data)
{
	struct server *server = data;
	struct connection *next;
	uint64_t now_ms = loop_now_ms();

	(void)events;
	for (struct connection *at = server->connections; at; at = next) {
		next = at->next;
		if (has_timed_out(at, now_ms))
			hang_up(at);
	}
	pump_all(server);
	/* Accepting stopped when descriptors had run out. */
	watch_set_events(server->watch, LOOP_READ);
	if (server->connections)
		watch_rearm(watch, TICK_MS);
}

static void on_soon(struct watch *watch, unsigned events, void *data)
{
	struct server *server = data;

	(void)events;
	server->soon = watch_free(watch);
	pump_all(server);
}

/* The roster is in the middle of something: clients are served when it is done. */
static void wake(struct control *control)
{
	struct server *server =
		(struct server *)((char *)control - offsetof(struct server, control));

	if (server->connections && !server->soon)
		server->soon = loop_soon(server->control.loop, on_soon, server);
}

void server_publish(struct server *server, const struct instance_status *status)
{
	if (!server)
		return;
	events_add(&server->control.events, status);
	for (struct connection *at = server->connections; at; at = at->next)
		if (at->client.job.touched)
			json_object_set_new(at->client.job.touched, status->spec->name,
					    json_true());
	wake(&server->control);
}

void server_publish_guard(struct server *server, const char *name, const struct net_event *event)
{
	if (!server)
		return;
	events_add_guard(&server->control.events, name, event);
	wake(&server->control);
}

/* --- accepting ---------------------------------------------------------------------------------
 */

static int check_room(const struct server *server, const struct peer *peer, struct error *err)
{
	unsigned of_users = 0, of_user = 0;

	for (const struct connection *at = server->connections; at; at = at->next) {
		of_users += at->client.peer.uid != 0;
		of_user += at->client.peer.uid == peer->uid;
	}
	if (server->count >= CLIENTS_MAX)
		return error_set(err, "%d clients are connected, no more are served (end some)",
				 CLIENTS_MAX);
	if (peer->uid != 0 && (of_user >= CLIENTS_OF_USER_MAX || of_users >= CLIENTS_OF_USERS_MAX))
		return error_set(err, "too many clients of users are connected (end some)");
	return 0;
}

static void refuse(int fd, const struct error *reason)
{
	struct client client = { 0 };

	client_fail(&client, reason);
	/* Fits into a fresh socket's buffer; should it not, the close says enough. */
	if (send(fd, client.out.data, client.out.length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		errno = 0;
	strbuf_reset(&client.out);
}

static void admit(struct server *server, int fd, const struct peer *peer)
{
	struct connection *connection = xcalloc(1, sizeof(*connection));

	connection->server = server;
	connection->fd = fd;
	connection->client.control = &server->control;
	connection->client.peer = *peer;
	connection->moved_ms = loop_now_ms();
	connection->watch = loop_io(server->control.loop, fd, LOOP_READ, on_ready, connection);
	connection->next = server->connections;
	server->connections = connection;
	server->count++;
	watch_rearm(server->tick, TICK_MS);
}

static void on_connect(struct watch *watch, unsigned events, void *data)
{
	struct server *server = data;
	struct error err = { 0 };
	struct peer peer;
	_cleanup_close_ int fd = accept4(server->listener.fd, NULL, NULL,
					 SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0) {
		/* Out of descriptors or memory: the connection waits, and so must we, or spin. */
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			watch_set_events(watch, 0);
			watch_rearm(server->tick, TICK_MS);
		}
		return;
	}
	if (peer_read(fd, &peer, &err) < 0 || access_admit(&server->control, &peer, &err) < 0 ||
	    check_room(server, &peer, &err) < 0) {
		peer_reset(&peer);
		refuse(fd, &err);
	} else {
		admit(server, take_fd(&fd), &peer);
	}
}

/* --- opening and closing -----------------------------------------------------------------------
 */

int server_open(struct loop *loop, const struct settings *settings, struct roster *roster,
		const struct control_handlers *handlers, void *data, struct server **ret,
		struct error *err)
{
	struct server *server = xcalloc(1, sizeof(*server));

	server->listener.fd = -1;
	server->control = (struct control){
		.loop = loop,
		.settings = settings,
		.roster = roster,
		.handlers = handlers,
		.data = data,
		.wake = wake,
	};
	/* For anybody: see access.h. */
	if (listen_unix(settings->run_dir, PROTOCOL_SOCKET, 0666, &server->listener, err) < 0) {
		server_close(server);
		return -1;
	}
	server->watch = loop_io(loop, server->listener.fd, LOOP_READ, on_connect, server);
	server->tick = loop_timer(loop, TICK_MS, on_tick, server);
	*ret = server;
	return 0;
}

struct server *server_close(struct server *server)
{
	if (!server)
		return NULL;
	while (server->connections) {
		flush(server->connections);
		hang_up(server->connections);
	}
	watch_free(server->watch);
	watch_free(server->tick);
	watch_free(server->soon);
	listen_close(&server->listener);
	events_reset(&server->control.events);
	free(server);
	return NULL;
}
