/* SPDX-License-Identifier: Apache-2.0 */
/* The image fetcher asks registries with it; drivers of VMMs ask over unix sockets. */
#include "loop/http.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "loop/multi.h"

enum {
	BODY_MAX_DEFAULT = 1 << 20,
	CONNECT_TIMEOUT_MS = 15000,
	STALL_TIMEOUT_MS = 30000,
	STALL_BYTES_PER_SECOND = 1024,
};

struct http {
	struct multi *multi; /* owned */
	unsigned requests;
};

struct http_request {
	struct multi_transfer transfer; /* the first: it is found by it */
	struct http *http;
	struct curl_slist *headers;
	char *body;
	struct http_response response;
	size_t header_bytes;
	size_t body_max;
	http_body_fn *on_body;
	http_done_fn *fn;
	void *data;
	struct error error; /* of our own making, when a callback ended the transfer */
	bool has_error;
	char detail[CURL_ERROR_SIZE];
};

struct http *http_new(struct loop *loop, struct error *err)
{
	struct multi *multi = multi_new(loop, err);
	struct http *http;

	if (!multi)
		return NULL;
	http = xcalloc(1, sizeof(*http));
	http->multi = multi;
	return http;
}

struct http *http_free(struct http *http)
{
	if (!http)
		return NULL;
	assert(http->requests == 0);
	multi_free(http->multi);
	free(http);
	return NULL;
}

/* --- one request ----------------------------------------------------------------------------- */

static void on_done(struct multi_transfer *transfer, CURLcode code)
{
	struct http_request *request = (struct http_request *)transfer;
	struct error err;
	long status = 0;
	bool failed = request->has_error || code != CURLE_OK;

	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	multi_remove(request->http->multi, transfer);
	request->response.status = (int)status;
	if (request->has_error)
		err = request->error;
	else if (failed)
		error_set(&err, "%s",
			  request->detail[0] ? request->detail : curl_easy_strerror(code));
	request->fn(request, &request->response, failed ? &err : NULL, request->data);
}

/* To be returned by a callback: libcurl ends the transfer. request->error is set. */
static size_t fail(struct http_request *request)
{
	request->has_error = true;
	return CURL_WRITEFUNC_ERROR;
}

/* Called with one line at a time, CR LF included; never more than 100 KiB. */
static size_t on_header(char *line, size_t size, size_t count, void *data)
{
	struct http_request *request = data;
	struct http_response *response = &request->response;
	size_t length = size * count, given = length;

	request->header_bytes += length;
	if (request->header_bytes > HTTP_HEADERS_MAX) {
		error_set(&request->error, "the answer's headers exceed %d bytes",
			  HTTP_HEADERS_MAX);
		return fail(request);
	}
	if (memchr(line, '\0', length)) {
		error_set(&request->error, "a NUL byte in the answer's headers");
		return fail(request);
	}
	while (length > 0 && strchr("\r\n \t", line[length - 1]))
		length--;
	/* A status line starts an answer: what an interim one (RFC 9110, 15.2) said is void. */
	if (length >= 5 && strncmp(line, "HTTP/", 5) == 0)
		strv_reset(&response->headers);
	else if (length > 0)
		strv_add_taken(&response->headers, xstrndup(line, length));
	return given;
}

static size_t on_data(char *bytes, size_t size, size_t count, void *data)
{
	struct http_request *request = data;
	struct http_response *response = &request->response;
	size_t length = size * count;
	long status = 0;

	curl_easy_getinfo(request->transfer.easy, CURLINFO_RESPONSE_CODE, &status);
	response->status = (int)status;
	response->body_received += length;
	if (request->on_body) {
		if (request->on_body(response, bytes, length, request->data, &request->error) < 0)
			return fail(request);
		return length;
	}
	if (response->body.length + length > request->body_max) {
		error_set(&request->error, "the answer is larger than the %zu bytes allowed",
			  request->body_max);
		return fail(request);
	}
	strbuf_add(&response->body, bytes, length);
	return length;
}

static void set_method(struct http_request *request, const struct http_options *options)
{
	CURL *easy = request->transfer.easy;

	if (options->method && strcmp(options->method, "HEAD") == 0) {
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
		return;
	}
	if (options->body) {
		request->body = xmemdup(options->body, options->body_length);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
				 (curl_off_t)options->body_length);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body);
	}
	if (options->method)
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, options->method);
}

static void set_authorities(CURL *easy, const struct strbuf *ca)
{
	struct curl_blob blob = { .data = ca->data, .len = ca->length, .flags = CURL_BLOB_COPY };

	curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
	curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
}

static void set_timeouts(CURL *easy, const struct http_options *options)
{
	uint32_t connect = options->connect_timeout_ms;
	uint32_t stall = options->stall_timeout_ms ? options->stall_timeout_ms : STALL_TIMEOUT_MS;

	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
			 (long)(connect ? connect : CONNECT_TIMEOUT_MS));
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long)STALL_BYTES_PER_SECOND);
	/* Whole seconds, rounded up: 0 would mean no limit at all. */
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)((stall + 999) / 1000));
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)options->total_timeout_ms);
}

static void set_options(struct http_request *request, const struct http_options *options)
{
	CURL *easy = request->transfer.easy;

	curl_easy_setopt(easy, CURLOPT_URL, options->url);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	/* One connection per request in flight: a stalled one holds up no other. */
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "stoker/" STOKER_VERSION);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->detail);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, request);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
	if (request->headers)
		curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->headers);
	if (options->unix_socket) {
		curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, options->unix_socket);
		curl_easy_setopt(easy, CURLOPT_PROXY, "");
	}
	if (options->ca)
		set_authorities(easy, options->ca);
	set_method(request, options);
	set_timeouts(easy, options);
}

int http_start(struct http *http, const struct http_options *options, http_done_fn *fn, void *data,
	       struct http_request **ret, struct error *err)
{
	struct http_request *request = xcalloc(1, sizeof(*request));
	CURLMcode code;

	request->http = http;
	request->fn = fn;
	request->data = data;
	request->on_body = options->on_body;
	request->body_max = options->body_max ? options->body_max : BODY_MAX_DEFAULT;
	http->requests++;
	request->transfer = (struct multi_transfer){ curl_easy_init(), on_done };
	if (!request->transfer.easy) {
		http_request_free(request);
		return error_set(err, "libcurl has no handle to give");
	}
	for (size_t i = 0; options->headers && i < options->headers->count; i++)
		request->headers = curl_slist_append(request->headers, options->headers->items[i]);
	set_options(request, options);
	code = multi_add(http->multi, &request->transfer);
	if (code != CURLM_OK) {
		http_request_free(request);
		return error_set(err, "%s: cannot start a request: %s", options->url,
				 curl_multi_strerror(code));
	}
	*ret = request;
	return 0;
}

struct http_request *http_request_free(struct http_request *request)
{
	if (!request)
		return NULL;
	multi_remove(request->http->multi, &request->transfer);
	curl_easy_cleanup(request->transfer.easy);
	curl_slist_free_all(request->headers);
	strv_reset(&request->response.headers);
	strbuf_reset(&request->response.body);
	request->http->requests--;
	free(request->body);
	free(request);
	return NULL;
}

const char *http_header(const struct http_response *response, const char *name, size_t nth)
{
	size_t length = strlen(name);

	STRV_EACH (line, &response->headers) {
		if (strncasecmp(line, name, length) != 0 || line[length] != ':' || nth-- > 0)
			continue;
		line += length + 1;
		return line + strspn(line, " \t");
	}
	return NULL;
}

/* --- URLs ------------------------------------------------------------------------------------ */

static void cleanup_curlu(CURLU **url)
{
	curl_url_cleanup(*url);
}

static CURLU *parse_url(const char *text)
{
	CURLU *url = curl_url();

	if (url && curl_url_set(url, CURLUPART_URL, text, CURLU_DISALLOW_USER) == CURLUE_OK)
		return url;
	curl_url_cleanup(url);
	return NULL;
}

/* The caller frees it with curl_free; NULL when there is none. */
static char *url_part(CURLU *url, CURLUPart part, unsigned flags)
{
	char *text = NULL;

	return curl_url_get(url, part, &text, flags) == CURLUE_OK ? text : NULL;
}

static char *copy_and_free(char *text)
{
	char *copy = xstrdup(text);

	curl_free(text);
	return copy;
}

char *http_url_resolve(const char *base, const char *location, struct error *err)
{
	CLEANUP(cleanup_curlu) CURLU *url = parse_url(base);
	_cleanup_free_ char *scheme = NULL;

	/* Setting a relative URL on a handle resolves it against what is there, curl_url_set(3). */
	if (!url || curl_url_set(url, CURLUPART_URL, location, CURLU_DISALLOW_USER) != CURLUE_OK) {
		error_set(err, "'%.200s' is not a URL to follow", location);
		return NULL;
	}
	scheme = copy_and_free(url_part(url, CURLUPART_SCHEME, 0));
	if (!scheme || (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)) {
		error_set(err, "'%.200s' is neither http nor https", location);
		return NULL;
	}
	return copy_and_free(url_part(url, CURLUPART_URL, 0));
}

static bool parts_equal(CURLU *a, CURLU *b, CURLUPart part)
{
	char *left = url_part(a, part, CURLU_DEFAULT_PORT);
	char *right = url_part(b, part, CURLU_DEFAULT_PORT);
	bool equal = left && right && strcasecmp(left, right) == 0;

	curl_free(left);
	curl_free(right);
	return equal;
}

bool http_url_same_origin(const char *a, const char *b)
{
	CLEANUP(cleanup_curlu) CURLU *left = parse_url(a);
	CLEANUP(cleanup_curlu) CURLU *right = parse_url(b);

	return left && right && parts_equal(left, right, CURLUPART_SCHEME) &&
	       parts_equal(left, right, CURLUPART_HOST) && parts_equal(left, right, CURLUPART_PORT);
}

char *http_url_authority(const char *text)
{
	CLEANUP(cleanup_curlu) CURLU *url = parse_url(text);
	_cleanup_free_ char *host = url ? copy_and_free(url_part(url, CURLUPART_HOST, 0)) : NULL;
	_cleanup_free_ char *port =
		url ? copy_and_free(url_part(url, CURLUPART_PORT, CURLU_NO_DEFAULT_PORT)) : NULL;

	return xasprintf("%s%s%s", host ? host : "", port ? ":" : "", port ? port : "");
}

void http_url_escape(struct strbuf *url, const char *text)
{
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		bool unreserved = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
				  (*c >= '0' && *c <= '9') || strchr("-._~", *c);

		if (unreserved)
			strbuf_putc(url, (char)*c);
		else
			strbuf_printf(url, "%%%02X", *c);
	}
}
