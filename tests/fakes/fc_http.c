/* SPDX-License-Identifier: Apache-2.0 */
/* See fc_http.h. Texts that are no JSON although they look like it are those of the original. */
#include "tests/fakes/fc_http.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/fakes/fc_schema.h"

void http_answer(struct http_connection *connection, int status, const char *body)
{
	struct strbuf *out = &connection->out;

	strbuf_printf(out, "HTTP/1.1 %d \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n",
		      status);
	if (body)
		strbuf_printf(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
			      strlen(body));
	strbuf_puts(out, "\r\n");
	if (body)
		strbuf_puts(out, body);
}

/* The line feed inside the string is theirs. */
static enum http_progress refuse(struct http_connection *connection, const char *why)
{
	struct strbuf body = { 0 };

	strbuf_printf(&body,
		      "{ \"error\": \"%s\nAll previous unanswered requests will be dropped.\" }",
		      why);
	http_answer(connection, 400, strbuf_text(&body));
	strbuf_reset(&body);
	connection->is_deaf = true;
	return HTTP_BAD;
}

/* NULL, or what is wrong with "PUT /logger HTTP/1.1". */
static const char *parse_line(const char *line, size_t length, struct http_request *ret)
{
	static const char *const methods[] = { "GET", "PUT", "PATCH", "DELETE" };
	const char *space = memchr(line, ' ', length);
	const char *second = space ? memchr(space + 1, ' ', length - (size_t)(space + 1 - line))
				   : NULL;
	size_t method_length = space ? (size_t)(space - line) : 0;
	bool known = false;

	if (!second || length >= HTTP_LINE_MAX)
		return "Invalid request.";
	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++)
		if (strlen(methods[i]) == method_length && !memcmp(methods[i], line, method_length))
			known = true;
	if (!known)
		return "Invalid HTTP Method: Unsupported HTTP method.";
	if (second == space + 1)
		return "Invalid URI: Empty URI not allowed.";
	snprintf(ret->method, sizeof(ret->method), "%.*s", (int)method_length, line);
	snprintf(ret->path, sizeof(ret->path), "%.*s", (int)(second - space - 1), space + 1);
	if (strncmp(second, " HTTP/1.", 8) != 0)
		return "Invalid HTTP Version: Unsupported HTTP version.";
	return NULL;
}

/* The two headers that matter. */
static const char *parse_header(const char *line, size_t length, size_t *body_length,
				bool *expects_continue)
{
	static const char content_length[] = "content-length:", expect[] = "expect:";
	char value[32];

	if (!memchr(line, ':', length))
		return "Invalid header. Reason: Header is incorrectly formatted. Key: ?";
	if (length > strlen(expect) && !strncasecmp(line, expect, strlen(expect)))
		*expects_continue = true;
	if (length < strlen(content_length) ||
	    strncasecmp(line, content_length, strlen(content_length)) != 0)
		return NULL;
	line += strlen(content_length);
	length -= strlen(content_length);
	for (; length && *line == ' '; length--)
		line++;
	snprintf(value, sizeof(value), "%.*s", (int)length, line);
	if (!length || length > 10 || strspn(value, "0123456789") != length)
		return "Invalid header. Reason: Invalid value. Key:Content-Length; Value: ?";
	*body_length = strtoul(value, NULL, 10);
	return NULL;
}

enum http_progress http_next(struct http_connection *connection, struct http_request *ret)
{
	const char *text = strbuf_text(&connection->in), *at = text, *end;
	bool expects_continue = false;
	size_t body_length = 0;
	const char *why = NULL;
	char large[128];

	if (connection->is_deaf || !connection->in.length)
		return HTTP_MORE;
	for (; (end = strstr(at, "\r\n")) && end != at && !why; at = end + 2)
		why = at == text ? parse_line(at, (size_t)(end - at), ret)
				 : parse_header(at, (size_t)(end - at), &body_length,
						&expects_continue);
	if (why)
		return refuse(connection, why);
	if (!end && connection->in.length - (size_t)(at - text) >= HTTP_LINE_MAX)
		return refuse(connection, "Invalid request.");
	if (!end)
		return HTTP_MORE;
	if (body_length > FC_BODY_MAX) {
		snprintf(large, sizeof(large),
			 "Request payload with size %zu is larger than the limit of %d allowed by "
			 "server.",
			 body_length, FC_BODY_MAX);
		return refuse(connection, large);
	}
	ret->body = end + 2;
	ret->body_length = body_length;
	ret->size = (size_t)(ret->body - text) + body_length;
	if (connection->in.length >= ret->size)
		return HTTP_READY;
	if (expects_continue && !connection->continued)
		http_answer(connection, 100, NULL);
	connection->continued = expects_continue;
	return HTTP_MORE;
}

void http_drop(struct http_connection *connection, const struct http_request *request)
{
	strbuf_consume(&connection->in, request->size);
	connection->continued = false;
}

int http_read(struct http_connection *connection)
{
	char bytes[16384];

	for (;;) {
		ssize_t n = recv(connection->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
		if (n == 0)
			return -1;
		if (!connection->is_deaf)
			strbuf_add(&connection->in, bytes, (size_t)n);
	}
}

int http_flush(struct http_connection *connection)
{
	while (connection->out.length) {
		ssize_t n = send(connection->fd, connection->out.data, connection->out.length,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
		strbuf_consume(&connection->out, (size_t)n);
	}
	return 0;
}

void http_close(struct http_connection *connection)
{
	if (connection->fd >= 0)
		close(connection->fd);
	strbuf_reset(&connection->in);
	strbuf_reset(&connection->out);
	*connection = (struct http_connection){ .fd = -1 };
}
