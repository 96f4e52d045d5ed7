/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One get is a small machine: ask; on 401 get a token and ask again; on a redirect ask there; on a
 * broken connection, 429 or 5xx wait and ask for the rest. Each step is one HTTP request, and every
 * answer passes on_answer, where the status decides the next step.
 */
#include "image/registry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/alloc.h"
#include "image/auth.h"

enum {
	REDIRECTS_MAX = 5,
	TOKENS_MAX = 2, /* per answer that was worth something: a second 401 in a row is final */
	BACKOFF_FIRST_MS = 500,
	BACKOFF_MAX_MS = 30000,
	RETRY_AFTER_MAX_S = 60,
	ERROR_BODY_MAX = 64 * 1024,
};

struct registry {
	struct registry_options options;
	bool insecure; /* spoken to without TLS */
	char *base;    /* "https://host/v2/repository/" */
	char *token;   /* the last one given; NULL before */
};

struct registry_get {
	struct registry *registry;
	char *home;	/* the URL at the registry */
	char *redirect; /* where it sent us; NULL: nowhere */
	char *accept;
	struct registry_sink sink;
	registry_fn *fn;
	void *data;
	struct http_request *request; /* owned; the one in flight */
	struct watch *timer;	      /* owned; the wait before the next try */
	uint64_t offset;	      /* bytes in the sink */
	uint32_t failures, redirects, tokens;
	bool is_body_started;
	bool is_sink_failed; /* disk full, too many bytes: asking again is no remedy */
	bool is_range_wrong;
};

static void get_send(struct registry_get *get);

struct registry *registry_new(const struct registry_options *options)
{
	struct registry *registry = xcalloc(1, sizeof(*registry));
	const struct reference *reference = options->reference;

	registry->options = *options;
	registry->insecure = strv_contains(options->insecure, reference->registry);
	registry->base = xasprintf("%s://%s/v2/%s/", registry->insecure ? "http" : "https",
				   reference->host, reference->repository);
	return registry;
}

struct registry *registry_free(struct registry *registry)
{
	if (!registry)
		return NULL;
	free(registry->base);
	free(registry->token);
	free(registry);
	return NULL;
}

/* --- endings --------------------------------------------------------------------------------- */

static void get_finish(struct registry_get *get, const char *content_type, const struct error *err,
		       bool retry)
{
	_cleanup_free_ char *type = xstrdup(content_type); /* it lives in the request */
	registry_fn *fn = get->fn;
	void *data = get->data;

	registry_get_free(get);
	fn(data, type, err, retry);
}

static void get_fail(struct registry_get *get, struct error *err, bool retry)
{
	error_wrap(err, "registry '%s'", get->registry->options.reference->registry);
	get_finish(get, NULL, err, retry);
}

static void on_wait_over(struct watch *watch, unsigned events, void *data)
{
	struct registry_get *get = data;

	(void)events;
	get->timer = watch_free(watch);
	get_send(get);
}

/* Seconds or an HTTP date (RFC 9110, 10.2.3); 0 when there is neither. */
static uint64_t retry_after_ms(const struct http_response *response)
{
	const char *value = http_header(response, "Retry-After", 0);
	struct tm date = { 0 };
	long long seconds;
	char *end;

	if (!value)
		return 0;
	seconds = strtoll(value, &end, 10);
	if (end == value) {
		if (!strptime(value, "%a, %d %b %Y %H:%M:%S GMT", &date))
			return 0;
		seconds = (long long)timegm(&date) - (long long)time(NULL);
	}
	if (seconds < 0)
		return 0;
	return 1000 * (uint64_t)(seconds > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : seconds);
}

/* Half of it fixed, half of it random: hosts that lost a registry together do not return together.
 */
static uint64_t backoff_ms(uint32_t failures)
{
	uint64_t delay = BACKOFF_FIRST_MS;
	uint32_t random = 0;

	while (--failures > 0 && delay < BACKOFF_MAX_MS)
		delay *= 2;
	if (delay > BACKOFF_MAX_MS)
		delay = BACKOFF_MAX_MS;
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = (uint32_t)loop_now_ms();
	return delay / 2 + random % (delay / 2 + 1);
}

/* What broke may work the next time: waits and asks for the rest, from the registry itself, because
 * a redirect's signature may have expired. `err` says why; it is final when patience ends. */
static void get_retry(struct registry_get *get, uint64_t wanted_wait_ms, struct error *err)
{
	uint64_t wait_ms;

	if (get->failures++ >= get->registry->options.retries) {
		get_fail(get, err, true);
		return;
	}
	wait_ms = backoff_ms(get->failures);
	if (wait_ms < wanted_wait_ms)
		wait_ms = wanted_wait_ms;
	get->request = http_request_free(get->request);
	get->redirects = 0;
	free(take_ptr(get->redirect));
	get->timer = loop_timer(get->registry->options.loop, wait_ms, on_wait_over, get);
}

/* --- the body -------------------------------------------------------------------------------- */

static int sink_restart(struct registry_get *get, struct error *err)
{
	if (get->offset > 0 && get->sink.restart(get->sink.data, err) < 0) {
		get->is_sink_failed = true;
		return -1;
	}
	get->offset = 0;
	return 0;
}

/* Before the first byte: does the answer start where we asked it to? */
static int begin_body(struct registry_get *get, const struct http_response *response,
		      struct error *err)
{
	const char *range = http_header(response, "Content-Range", 0);
	char wanted[48];

	get->is_body_started = true;
	if (response->status == 200)
		return sink_restart(get, err);
	snprintf(wanted, sizeof(wanted), "bytes %llu-", (unsigned long long)get->offset);
	if (range && strncmp(range, wanted, strlen(wanted)) == 0)
		return 0;
	get->is_range_wrong = true;
	return error_set(err, "it sends another range than the one asked for");
}

static int on_body(const struct http_response *response, const void *bytes, size_t length,
		   void *data, struct error *err)
{
	struct registry_get *get = data;

	/* The body of a refusal is of no interest, but it must end. */
	if (response->status != 200 && response->status != 206)
		return response->body_received <= ERROR_BODY_MAX
			       ? 0
			       : error_set(err, "the body of its answer %d does not end",
					   response->status);
	if (!get->is_body_started && begin_body(get, response, err) < 0)
		return -1;
	if (get->sink.write(get->sink.data, bytes, length, err) < 0) {
		get->is_sink_failed = true;
		return -1;
	}
	get->offset += length;
	get->tokens = 0;
	return 0;
}

/* --- tokens ---------------------------------------------------------------------------------- */

static void on_token(struct http_request *request, const struct http_response *response,
		     const struct error *err, void *data)
{
	struct registry_get *get = data;
	struct error why;
	char *token;

	(void)request;
	if (err || response->status == 429 || response->status >= 500) {
		if (err)
			why = *err;
		else
			error_set(&why, "answer %d", response->status);
		error_wrap(&why, "its token server");
		get_retry(get, err ? 0 : retry_after_ms(response), &why);
		return;
	}
	if (response->status != 200) {
		error_set(&why,
			  "its token server refuses with %d (check the image's name; credentials "
			  "are not sent)",
			  response->status);
		get_fail(get, &why, false);
		return;
	}
	token = auth_token_parse(strbuf_text(&response->body), response->body.length, &why);
	if (!token) {
		get_fail(get, &why, false);
		return;
	}
	free(get->registry->token);
	get->registry->token = token;
	get_send(get);
}

static int ask_for_token(struct registry_get *get, const struct http_response *response,
			 struct error *err)
{
	const struct registry_options *options = &get->registry->options;
	struct auth_challenge challenge = { 0 };
	struct http_options ask = { .body_max = ERROR_BODY_MAX, .total_timeout_ms = 60000 };
	_cleanup_free_ char *url = NULL;
	const char *header;
	int found = error_set(err, "it refuses with 401 and does not say what it wants");

	for (size_t i = 0; found < 0 && (header = http_header(response, "WWW-Authenticate", i));
	     i++)
		found = auth_challenge_parse(header, &challenge, err);
	if (found < 0)
		return -1;
	url = auth_token_url(&challenge, options->reference->repository, get->registry->insecure,
			     err);
	auth_challenge_reset(&challenge);
	if (!url)
		return -1;
	get->request = http_request_free(get->request);
	ask.url = url;
	return http_start(options->http, &ask, on_token, get, &get->request, err);
}

/* --- answers --------------------------------------------------------------------------------- */

static void on_unauthorized(struct registry_get *get, const struct http_response *response)
{
	struct error why;

	/* From where a redirect led, it means that the signed URL is no longer good. */
	if (get->redirect) {
		error_set(&why, "where it redirects to, the answer is 401");
		get_retry(get, 0, &why);
		return;
	}
	if (get->tokens++ >= TOKENS_MAX) {
		error_set(&why, "it refuses its own token with 401 (is the image's name right? "
				"credentials are not sent)");
		get_fail(get, &why, false);
		return;
	}
	if (ask_for_token(get, response, &why) < 0)
		get_fail(get, &why, false);
}

/* An https address never leads to plain http, and plain http only where it is allowed. */
static bool redirect_allowed(const struct registry_get *get, const char *url)
{
	_cleanup_free_ char *authority = http_url_authority(url);

	if (strncmp(url, "https://", 8) == 0)
		return true;
	return get->registry->insecure &&
	       strncmp(get->redirect ? get->redirect : get->home, "http://", 7) == 0 &&
	       strv_contains(get->registry->options.insecure, authority);
}

static int follow(struct registry_get *get, const struct http_response *response, struct error *err)
{
	const char *location = http_header(response, "Location", 0);
	char *url;

	if (!location)
		return error_set(err, "a redirect to nowhere");
	if (get->redirects++ >= REDIRECTS_MAX)
		return error_set(err, "more than %d redirects in a row", REDIRECTS_MAX);
	url = http_url_resolve(get->redirect ? get->redirect : get->home, location, err);
	if (!url)
		return error_wrap(err, "a redirect");
	if (!redirect_allowed(get, url)) {
		error_set(err, "a redirect to '%.200s', which is without TLS", url);
		free(url);
		return -1;
	}
	free(get->redirect);
	get->redirect = url;
	return 0;
}

static void on_refusal(struct registry_get *get, const struct http_response *response)
{
	int status = response->status;
	struct error why;

	switch (status) {
	case 301:
	case 302:
	case 303:
	case 307:
	case 308:
		if (follow(get, response, &why) < 0)
			get_fail(get, &why, false);
		else
			get_send(get);
		return;
	case 401:
		on_unauthorized(get, response);
		return;
	case 404:
		error_set(&why, "no such image: '%s' (check name and tag)",
			  get->home + strlen(get->registry->base));
		get_fail(get, &why, false);
		return;
	case 416:
		/* It has less than we already got, so one of the two is wrong. */
		error_set(&why, "it refuses to continue at byte %llu",
			  (unsigned long long)get->offset);
		if (sink_restart(get, &why) < 0)
			get_fail(get, &why, true);
		else
			get_retry(get, 0, &why);
		return;
	default:
		error_set(&why, "answer %d to '%s'", status,
			  get->home + strlen(get->registry->base));
		/* 403 from a signed URL: see on_unauthorized. */
		if (status == 408 || status == 429 || status >= 500 ||
		    (status == 403 && get->redirect))
			get_retry(get, retry_after_ms(response), &why);
		else
			get_fail(get, &why, false);
	}
}

static void on_answer(struct http_request *request, const struct http_response *response,
		      const struct error *err, void *data)
{
	struct registry_get *get = data;
	struct error why;

	(void)request;
	if (!err && (response->status == 200 || response->status == 206)) {
		/* An empty body never passed begin_body. */
		if (!get->is_body_started && begin_body(get, response, &why) < 0)
			get_retry(get, 0, &why);
		else
			get_finish(get, http_header(response, "Content-Type", 0), NULL, false);
		return;
	}
	if (!err) {
		on_refusal(get, response);
		return;
	}
	why = *err;
	if (get->is_sink_failed) {
		get_finish(get, NULL, &why, why.number == ENOSPC || why.number == EDQUOT);
		return;
	}
	if (get->is_range_wrong && sink_restart(get, &why) < 0) {
		get_fail(get, &why, true);
		return;
	}
	get_retry(get, 0, &why);
}

/* --- asking ---------------------------------------------------------------------------------- */

static void get_send(struct registry_get *get)
{
	const char *url = get->redirect ? get->redirect : get->home;
	_cleanup_strv_ struct strv headers = { 0 };
	struct http_options ask = { .url = url, .headers = &headers, .on_body = on_body };
	struct error err;

	get->request = http_request_free(get->request);
	get->is_body_started = false;
	get->is_range_wrong = false;
	if (get->accept)
		strv_addf(&headers, "Accept: %s", get->accept);
	/* The token is for the registry alone (CVE-2020-15157). */
	if (get->registry->token && http_url_same_origin(url, get->home))
		strv_addf(&headers, "Authorization: Bearer %s", get->registry->token);
	if (get->offset > 0)
		strv_addf(&headers, "Range: bytes=%llu-", (unsigned long long)get->offset);
	if (http_start(get->registry->options.http, &ask, on_answer, get, &get->request, &err) < 0)
		get_retry(get, 0, &err);
}

struct registry_get *registry_get(struct registry *registry, const char *what, const char *accept,
				  const struct registry_sink *sink, registry_fn *fn, void *data)
{
	struct registry_get *get = xcalloc(1, sizeof(*get));

	get->registry = registry;
	get->home = xasprintf("%s%s", registry->base, what);
	get->accept = xstrdup(accept);
	get->sink = *sink;
	get->fn = fn;
	get->data = data;
	/* From the loop, so that even a failure to start is reported from there. */
	get->timer = loop_soon(registry->options.loop, on_wait_over, get);
	return get;
}

struct registry_get *registry_get_free(struct registry_get *get)
{
	if (!get)
		return NULL;
	http_request_free(get->request);
	watch_free(get->timer);
	free(get->home);
	free(get->redirect);
	free(get->accept);
	free(get);
	return NULL;
}
