/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logs are forwarded over it. Each connection has a multi handle of its own: libcurl closes idle
 * connections of a handle that it thinks it has too many of, and this one always looks idle to it.
 * Once the connection is made, libcurl watches its socket no longer, and we do.
 */
#include "loop/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "loop/multi.h"

enum {
	SILENT_MAX_MS = 30000, /* bytes that the peer's kernel has not acknowledged */
	PROBE_AFTER_S = 30,    /* of idling, whether the peer is there at all */
};

struct connection {
	struct multi_transfer transfer; /* the first: it is found by it */
	struct loop *loop;		/* borrowed, as is the next */
	const struct connection_callbacks *callbacks;
	void *data;
	struct multi *multi;
	struct watch *soon;  /* owned; tells what came of connecting, outside of libcurl */
	struct watch *watch; /* owned; NULL: not connected */
	CURLcode code;
	char detail[CURL_ERROR_SIZE];
};

static void explain(const struct connection *connection, CURLcode code, struct error *err)
{
	error_set(err, "%s", connection->detail[0] ? connection->detail : curl_easy_strerror(code));
}

/* --- once it is made ------------------------------------------------------------------------- */

/* Drops what the peer said. -1: it is over. */
static int drain(struct connection *connection, struct error *err)
{
	char bytes[4096];

	/* A peer that says much holds up nobody: the rest is for the next turn. */
	for (int i = 0; i < 4; i++) {
		size_t length = 0;
		CURLcode code = curl_easy_recv(connection->transfer.easy, bytes, sizeof(bytes),
					       &length);

		if (code == CURLE_AGAIN)
			return 0;
		if (code == CURLE_OK && length == 0)
			return error_set(err, "it closed the connection");
		if (code != CURLE_OK) {
			explain(connection, code, err);
			return -1;
		}
	}
	return 0;
}

static void on_socket(struct watch *watch, unsigned events, void *data)
{
	struct connection *connection = data;
	struct error err;

	if (events & LOOP_READ && drain(connection, &err) < 0) {
		connection->watch = watch_free(watch);
		connection->callbacks->lost(connection->data, &err);
		return;
	}
	if (!(events & LOOP_WRITE))
		return;
	watch_set_events(watch, LOOP_READ);
	connection->callbacks->ready(connection->data);
}

/* A peer whose host has gone must not keep us waiting for a quarter of an hour. */
static void set_patience(int fd)
{
	int on = 1, idle = PROBE_AFTER_S;
	unsigned silent = SILENT_MAX_MS;

	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silent, sizeof(silent));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
}

ssize_t connection_send(struct connection *connection, const void *bytes, size_t length,
			struct error *err)
{
	size_t sent = 0;
	CURLcode code;

	if (!connection->watch)
		return 0;
	connection->detail[0] = '\0';
	code = curl_easy_send(connection->transfer.easy, bytes, length, &sent);
	if (code == CURLE_OK && sent > 0)
		return (ssize_t)sent;
	if (code == CURLE_OK || code == CURLE_AGAIN) {
		watch_set_events(connection->watch, LOOP_READ | LOOP_WRITE);
		return 0;
	}
	explain(connection, code, err);
	return -1;
}

/* --- connecting ------------------------------------------------------------------------------ */

static void on_soon(struct watch *watch, unsigned events, void *data)
{
	struct connection *connection = data;
	curl_socket_t fd = CURL_SOCKET_BAD;
	struct error err;

	(void)events;
	connection->soon = watch_free(watch);
	if (connection->code == CURLE_OK)
		curl_easy_getinfo(connection->transfer.easy, CURLINFO_ACTIVESOCKET, &fd);
	if (fd == CURL_SOCKET_BAD) {
		explain(connection, connection->code, &err);
		connection->callbacks->lost(connection->data, &err);
		return;
	}
	set_patience(fd);
	connection->watch = loop_io(connection->loop, fd, LOOP_READ, on_socket, connection);
	connection->callbacks->ready(connection->data);
}

/* Its user may free the connection, which is forbidden here. */
static void on_done(struct multi_transfer *transfer, CURLcode code)
{
	struct connection *connection = (struct connection *)transfer;

	connection->code = code;
	connection->soon = loop_soon(connection->loop, on_soon, connection);
}

static void set_blob(CURL *easy, CURLoption option, const struct strbuf *text)
{
	struct curl_blob blob = { .flags = CURL_BLOB_COPY };

	if (!text)
		return;
	blob.data = text->data;
	blob.len = text->length;
	curl_easy_setopt(easy, option, &blob);
}

static void set_tls(CURL *easy, const struct connection_options *options)
{
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	/* It is no HTTP that is spoken. */
	curl_easy_setopt(easy, CURLOPT_SSL_ENABLE_ALPN, 0L);
	if (options->ca) {
		curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	}
	set_blob(easy, CURLOPT_CAINFO_BLOB, options->ca);
	set_blob(easy, CURLOPT_SSLCERT_BLOB, options->certificate);
	set_blob(easy, CURLOPT_SSLKEY_BLOB, options->key);
}

static void set_options(struct connection *connection, const struct connection_options *options)
{
	bool is_ip6 = strchr(options->host, ':') != NULL;
	_cleanup_free_ char *url = xasprintf("%s://%s%s%s:%u", options->has_tls ? "https" : "http",
					     is_ip6 ? "[" : "", options->host, is_ip6 ? "]" : "",
					     options->port);
	CURL *easy = connection->transfer.easy;

	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	/* Freed while a name is being resolved: does not wait for the thread that does it. */
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, connection->detail);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)options->connect_timeout_ms);
	if (options->has_tls)
		set_tls(easy, options);
}

int connection_open(struct loop *loop, const struct connection_options *options,
		    const struct connection_callbacks *callbacks, void *data,
		    struct connection **ret, struct error *err)
{
	struct connection *connection = xcalloc(1, sizeof(*connection));

	connection->loop = loop;
	connection->callbacks = callbacks;
	connection->data = data;
	connection->multi = multi_new(loop, err);
	if (!connection->multi) {
		connection_free(connection);
		return -1;
	}
	connection->transfer = (struct multi_transfer){ curl_easy_init(), on_done };
	if (connection->transfer.easy)
		set_options(connection, options);
	if (!connection->transfer.easy ||
	    multi_add(connection->multi, &connection->transfer) != CURLM_OK) {
		connection_free(connection);
		return error_set(err, "libcurl has no handle to give");
	}
	*ret = connection;
	return 0;
}

struct connection *connection_free(struct connection *connection)
{
	if (!connection)
		return NULL;
	watch_free(connection->soon);
	/* Before the socket is closed. */
	watch_free(connection->watch);
	if (connection->transfer.easy)
		multi_remove(connection->multi, &connection->transfer);
	curl_easy_cleanup(connection->transfer.easy);
	multi_free(connection->multi);
	free(connection);
	return NULL;
}
