/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets at the end of a byte stream, TCP or TLS: each message is preceded by its length and a
 * blank (RFC 6587, section 3.4.1; RFC 5425, section 4.3). One that was sent in part when the
 * connection broke is sent as a whole over the next.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "forward/outlet.h"
#include "loop/connection.h"

enum { CONNECT_TIMEOUT_MS = 15000, PEM_MAX = 1 << 20 };

struct outlet {
	struct connection_callbacks callbacks;
	struct connection *connection; /* owned */
	size_t sent;		       /* of the message that is offered */
};

static struct outlet *outlet_free(struct outlet *outlet)
{
	if (!outlet)
		return NULL;
	connection_free(outlet->connection);
	free(outlet);
	return NULL;
}

static int open_connection(const struct outlet_context *context, struct connection_options *options,
			   struct outlet **ret, struct error *err)
{
	struct outlet *outlet = xcalloc(1, sizeof(*outlet));

	options->host = context->target->host;
	options->port = context->target->port;
	options->connect_timeout_ms = CONNECT_TIMEOUT_MS;
	outlet->callbacks = (struct connection_callbacks){ context->ready, context->lost };
	if (connection_open(context->loop, options, &outlet->callbacks, context->data,
			    &outlet->connection, err) < 0) {
		outlet_free(outlet);
		return -1;
	}
	*ret = outlet;
	return 0;
}

static int tcp_open(const struct outlet_context *context, struct outlet **ret, struct error *err)
{
	struct connection_options options = { 0 };

	return open_connection(context, &options, ret, err);
}

/* Read at each connection: they are renewed while we run. */
static int read_pem(const char *path, bool is_secret, struct strbuf *ret,
		    const struct strbuf **ret_option, struct error *err)
{
	if (!path)
		return 0;
	if (fs_read_owned(path, PEM_MAX, is_secret, ret, err) < 0)
		return error_wrap(err, "%s", path);
	*ret_option = ret;
	return 0;
}

static int tls_open(const struct outlet_context *context, struct outlet **ret, struct error *err)
{
	_cleanup_strbuf_ struct strbuf ca = { 0 }, certificate = { 0 }, key = { 0 };
	struct connection_options options = { .has_tls = true };
	const struct settings *settings = context->settings;
	int result = -1;

	if (read_pem(settings->log_forward_ca, false, &ca, &options.ca, err) == 0 &&
	    read_pem(settings->log_forward_cert, false, &certificate, &options.certificate, err) ==
		    0 &&
	    read_pem(settings->log_forward_key, true, &key, &options.key, err) == 0)
		result = open_connection(context, &options, ret, err);
	if (key.length)
		explicit_bzero(key.data, key.length);
	return result;
}

static int outlet_send(struct outlet *outlet, const void *bytes, size_t length, struct error *err)
{
	while (outlet->sent < length) {
		ssize_t n = connection_send(outlet->connection, (const char *)bytes + outlet->sent,
					    length - outlet->sent, err);

		if (n <= 0)
			return (int)n;
		outlet->sent += (size_t)n;
	}
	outlet->sent = 0;
	return 1;
}

static void stream_encode(const struct message *message, const char *hostname, struct strbuf *out)
{
	_cleanup_strbuf_ struct strbuf text = { 0 };

	message_add_rfc5424(message, hostname, MESSAGE_MAX, &text);
	strbuf_printf(out, "%zu ", text.length);
	strbuf_add(out, text.data, text.length);
}

const struct outlet_driver outlet_tcp = {
	.open = tcp_open,
	.send = outlet_send,
	.free = outlet_free,
	.encode = stream_encode,
};

const struct outlet_driver outlet_tls = {
	.open = tls_open,
	.send = outlet_send,
	.free = outlet_free,
	.encode = stream_encode,
};
