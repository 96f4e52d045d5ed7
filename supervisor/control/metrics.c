/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libmicrohttpd's home. It runs without threads of its own: its epoll descriptor is one watch of
 * the loop, its next timeout one timer, and each turn moves every connection on by one bounded
 * step. exposition.c says what there is to read.
 */
#include "control/metrics.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "control/exposition.h"
#include "control/listen.h"

enum {
	CLIENTS_MAX = 8,
	CLIENT_BYTES = 32 * 1024, /* of memory; a request's headers are less */
	PIECE_BYTES = 16 * 1024,  /* of an answer, at once */
	SILENT_MAX_S = 10,	  /* nothing moved: the connection is ended */
};

struct metrics {
	struct roster *roster; /* borrowed, and so are the next two */
	const struct control_handlers *handlers;
	void *data;
	struct listener listener;
	struct MHD_Daemon *http; /* owned */
	struct watch *watch;	 /* owned; of its epoll descriptor */
	struct watch *timer;	 /* owned */
};

/* --- an answer ----------------------------------------------------------------------------------
 */

struct answer {
	struct exposition exposition;
	struct strbuf text; /* what was not taken yet */
};

static ssize_t on_read(void *data, uint64_t offset, char *to, size_t max)
{
	struct answer *answer = data;
	size_t length;

	(void)offset;
	while (!answer->text.length)
		if (!exposition_more(&answer->exposition, &answer->text))
			return MHD_CONTENT_READER_END_OF_STREAM;
	length = answer->text.length < max ? answer->text.length : max;
	memcpy(to, answer->text.data, length);
	strbuf_consume(&answer->text, length);
	return (ssize_t)length;
}

static void on_answered(void *data)
{
	struct answer *answer = data;

	exposition_reset(&answer->exposition);
	strbuf_reset(&answer->text);
	free(answer);
}

static enum MHD_Result reply(struct MHD_Connection *connection, unsigned status,
			     struct MHD_Response *response)
{
	enum MHD_Result result;

	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, "Content-Type",
				status == MHD_HTTP_OK ? "text/plain; version=0.0.4; charset=utf-8"
						      : "text/plain");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, "Allow", "GET, HEAD");
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response); /* the connection has a reference of its own */
	return result;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned status, const char *text)
{
	return reply(connection, status,
		     MHD_create_response_from_buffer(strlen(text), (void *)text,
						     MHD_RESPMEM_PERSISTENT));
}

static enum MHD_Result expose(struct MHD_Connection *connection, const struct metrics *metrics)
{
	struct answer *answer = xcalloc(1, sizeof(*answer));
	struct MHD_Response *response;

	answer->exposition = (struct exposition){
		.roster = metrics->roster,
		.handlers = metrics->handlers,
		.data = metrics->data,
	};
	response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, PIECE_BYTES, on_read, answer,
						     on_answered);
	if (!response)
		on_answered(answer);
	return reply(connection, MHD_HTTP_OK, response);
}

/* Called once for the headers, when an answer would end the connection, and again for what follows
 * them; what a client uploads is passed over. */
static enum MHD_Result on_request(void *data, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_bytes, void **request)
{
	static int has_headers;

	(void)version, (void)upload;
	if (!*request) {
		*request = &has_headers;
		return MHD_YES;
	}
	if (*upload_bytes) {
		*upload_bytes = 0;
		return MHD_YES;
	}
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET /metrics\n");
	if (strcmp(url, "/metrics") != 0)
		return refuse(connection, MHD_HTTP_NOT_FOUND, "It is /metrics.\n");
	return expose(connection, data);
}

/* --- turns of the loop --------------------------------------------------------------------------
 */

static bool is_full(const struct metrics *metrics)
{
	return MHD_get_daemon_info(metrics->http, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)
		       ->num_connections >= CLIENTS_MAX;
}

static void turn(struct metrics *metrics)
{
	bool was_full = is_full(metrics);
	MHD_UNSIGNED_LONG_LONG after_ms;

	MHD_run(metrics->http);
	/* The library listens again at the beginning of the run after the one that made room. */
	if (was_full && !is_full(metrics))
		MHD_run(metrics->http);
	if (MHD_get_timeout(metrics->http, &after_ms) == MHD_YES)
		watch_rearm(metrics->timer, after_ms);
}

static void on_ready(struct watch *watch, unsigned events, void *data)
{
	(void)watch, (void)events;
	turn(data);
}

static int start(struct metrics *metrics, struct loop *loop, struct error *err)
{
	const union MHD_DaemonInfo *info;

	metrics->http = MHD_start_daemon(
		MHD_USE_EPOLL, 0, NULL, NULL, on_request, metrics, MHD_OPTION_LISTEN_SOCKET,
		metrics->listener.fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CLIENTS_MAX,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CLIENT_BYTES,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)SILENT_MAX_S, MHD_OPTION_END);
	if (!metrics->http)
		return error_set(err, "cannot start a server (out of descriptors or memory)");
	info = MHD_get_daemon_info(metrics->http, MHD_DAEMON_INFO_EPOLL_FD);
	metrics->watch = loop_io(loop, info->epoll_fd, LOOP_READ, on_ready, metrics);
	metrics->timer = loop_timer(loop, 0, on_ready, metrics);
	return 0;
}

static int take_socket(const struct settings *settings, struct listener *ret, struct error *err)
{
	struct endpoint endpoint;

	if (endpoint_parse(settings->metrics_listen, &endpoint) == 0)
		return listen_tcp(&endpoint, ret, err);
	return listen_unix(settings->run_dir, METRICS_SOCKET, 0600, ret, err);
}

int metrics_open(struct loop *loop, const struct settings *settings, struct roster *roster,
		 const struct control_handlers *handlers, void *data, struct metrics **ret,
		 struct error *err)
{
	struct metrics *metrics;

	*ret = NULL;
	if (strcmp(settings->metrics_listen, "off") == 0)
		return 0;
	metrics = xcalloc(1, sizeof(*metrics));
	metrics->roster = roster;
	metrics->handlers = handlers;
	metrics->data = data;
	if (take_socket(settings, &metrics->listener, err) < 0 || start(metrics, loop, err) < 0) {
		metrics_close(metrics);
		return error_wrap(err, "[metrics] listen = %s", settings->metrics_listen);
	}
	*ret = metrics;
	return 0;
}

struct metrics *metrics_close(struct metrics *metrics)
{
	if (!metrics)
		return NULL;
	watch_free(metrics->watch);
	watch_free(metrics->timer);
	if (metrics->http) {
		MHD_stop_daemon(metrics->http);
		metrics->listener.fd = -1; /* it has closed it */
	}
	listen_close(&metrics->listener);
	free(metrics);
	return NULL;
}
