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
#include <time.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "image/auth.h"
#include "image/patience.h"
#include "image/token.h"
#include "loop/loop.h"

enum {
	REDIRECTS_MAX = 5,
	TOKENS_MAX = 2, /* per answer that was worth something: a second 401 in a row is final */
	ERROR_BODY_MAX = 64 * 1024,
	FORGIVEN_AFTER = 16 << 20, /* bytes since the last failure: then the count starts anew */
};

struct registry {
	struct registry_options options;
	const struct host *host; /* borrowed; NULL: nothing is known of it */
	char *base;		 /* "https://host/v2/repository/" */
	char *authorization;	 /* header: the last token, or the password; NULL before */
	uint64_t expires_ms;	 /* of the token, by loop_now_ms */
};

struct registry_get {
	struct registry *registry;
	char *home; /* the URL at the registry, or elsewhere */
	bool is_elsewhere;
	char *redirect; /* where it sent us; NULL: nowhere */
	char *accept;
	struct registry_sink sink;
	registry_fn *fn;
	void *data;
	struct http_request *request; /* owned; the one in flight */
	struct token_request *token;  /* owned; being asked for */
	struct watch *timer;	      /* owned; the wait before the next try */
	uint64_t offset;	      /* bytes in the sink */
	uint64_t failed_at;	      /* the offset of the last failure */
	uint32_t failures, redirects, tokens;
	bool is_body_started;
	bool is_sink_failed; /* disk full, too many bytes: asking again is no remedy */
	bool is_range_wrong;
};

static void get_send(struct registry_get *get);

struct registry *registry_new(const struct registry_options *options)
{
	struct registry *registry = xcalloc(1, sizeof(*registry));

	registry->options = *options;
	registry->host = hosts_find(options->hosts, options->name);
	registry->base = xasprintf("%s://%s/v2/%s/",
				   registry->host && registry->host->is_insecure ? "http" : "https",
				   options->authority, options->repository);
	return registry;
}

struct registry *registry_free(struct registry *registry)
{
	if (!registry)
		return NULL;
	free(registry->base);
	free(registry->authorization);
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
	if (!get->is_elsewhere)
		error_wrap(err, "registry '%s'", get->registry->options.name);
	else
		error_wrap(err, "'%.200s'", get->home);
	get_finish(get, NULL, err, retry);
}

static void on_wait_over(struct watch *watch, unsigned events, void *data)
{
	struct registry_get *get = data;

	(void)events;
	get->timer = watch_free(watch);
	get_send(get);
}

/* What broke may work the next time: waits and asks for the rest, from the registry itself, because
 * a redirect's signature may have expired. `err` says why; it is final when patience ends. */
static void get_retry(struct registry_get *get, uint64_t wanted_wait_ms, struct error *err)
{
	uint64_t wait_ms;

	if (get->offset >= get->failed_at + FORGIVEN_AFTER)
		get->failures = 0;
	get->failed_at = get->offset;
	if (get->failures++ >= get->registry->options.retries) {
		get_fail(get, err, true);
		return;
	}
	wait_ms = patience_backoff_ms(get->failures);
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

/* --- tokens and passwords --------------------------------------------------------------------- */

static const struct credential *credential_of(const struct registry *registry)
{
	return registry->host && registry->host->credential.user ? &registry->host->credential
								 : NULL;
}

static void on_token(void *data, const char *token, uint64_t lifetime_ms, const struct error *err,
		     bool retry, uint64_t wait_ms)
{
	struct registry_get *get = data;
	struct registry *registry = get->registry;
	struct error why;

	if (!token) {
		why = *err;
		get->token = token_request_free(get->token);
		if (retry)
			get_retry(get, wait_ms, &why);
		else
			get_fail(get, &why, false);
		return;
	}
	free(registry->authorization);
	registry->authorization = xasprintf("Authorization: Bearer %s", token);
	registry->expires_ms = loop_now_ms() + lifetime_ms;
	get->token = token_request_free(get->token);
	get_send(get);
}

static int use_password(struct registry *registry, struct error *err)
{
	const struct credential *credential = credential_of(registry);

	if (!credential)
		return error_set(err, "it wants a user's name and a password, and no credential is "
				      "known for it");
	if (credential->is_identity_token)
		return error_set(err, "it wants a password, and its credential is an identity "
				      "token");
	free(registry->authorization);
	registry->authorization = credential_header(credential);
	registry->expires_ms = UINT64_MAX;
	return 0;
}

/* A Bearer challenge in any of the headers, else a Basic one. */
static int find_challenge(const struct http_response *response, struct auth_challenge *ret,
			  struct error *err)
{
	int result = error_set(err, "it refuses with 401 and does not say what it wants");
	const char *header;

	for (size_t i = 0; (header = http_header(response, "WWW-Authenticate", i)); i++) {
		struct auth_challenge challenge;

		if (ret->is_bearer ||
		    auth_challenge_parse(header, &challenge, result < 0 ? err : NULL) < 0)
			continue;
		*ret = challenge;
		result = 0;
	}
	return result;
}

static int authorize(struct registry_get *get, const struct http_response *response,
		     struct error *err)
{
	const struct registry_options *options = &get->registry->options;
	struct auth_challenge challenge = { 0 };
	struct token_options ask = { .http = options->http,
				     .hosts = options->hosts,
				     .registry = options->name,
				     .authority = options->authority,
				     .repository = options->repository,
				     .challenge = &challenge };
	int result = find_challenge(response, &challenge, err);

	if (result == 0 && !challenge.is_bearer)
		result = use_password(get->registry, err);
	else if (result == 0)
		result = token_ask(&ask, on_token, get, &get->token, err);
	auth_challenge_reset(&challenge);
	return result;
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
	if (get->is_elsewhere) {
		error_set(&why, "it refuses with 401, and nothing is sent there to convince it");
		get_fail(get, &why, false);
		return;
	}
	if (get->tokens++ >= TOKENS_MAX) {
		error_set(&why, "it refuses with 401 what it asked for (%s)",
			  credential_of(get->registry)
				  ? "check the image's name and the credential"
				  : "is the image's name right? no credential is known for it");
		get_fail(get, &why, false);
		return;
	}
	if (authorize(get, response, &why) < 0)
		get_fail(get, &why, false);
	else if (!get->token)
		get_send(get);
}

/* An https address never leads to plain http, and plain http only where it is allowed. */
static bool redirect_allowed(const struct registry_get *get, const char *url)
{
	_cleanup_free_ char *authority = http_url_authority(url);

	if (strncmp(url, "https://", 8) == 0)
		return true;
	return strncmp(get->redirect ? get->redirect : get->home, "http://", 7) == 0 &&
	       hosts_is_insecure(get->registry->options.hosts, authority);
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

/* What was asked for, for messages. */
static const char *name_of(const struct registry_get *get)
{
	return get->is_elsewhere ? "" : get->home + strlen(get->registry->base);
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
		error_set(&why, "no such image: '%s' (check name and tag)", name_of(get));
		if (get->is_elsewhere)
			error_set(&why, "nothing is there (answer 404)");
		why.number = ENOENT;
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
		error_set(&why, "answer %d to '%s'", status, name_of(get));
		/* 403 from a signed URL: see on_unauthorized. */
		if (status == 408 || status == 429 || status >= 500 ||
		    (status == 403 && get->redirect))
			get_retry(get,
				  patience_asked_ms(http_header(response, "Retry-After", 0),
						    time(NULL)),
				  &why);
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
	struct registry *registry = get->registry;
	struct http_options ask = { .url = url,
				    .headers = &headers,
				    .on_body = on_body,
				    .ca = hosts_ca(registry->options.hosts, url),
				    .stall_timeout_ms = registry->options.stall_timeout_ms };
	struct error err;

	get->request = http_request_free(get->request);
	get->is_body_started = false;
	get->is_range_wrong = false;
	if (get->accept)
		strv_addf(&headers, "Accept: %s", get->accept);
	if (loop_now_ms() >= registry->expires_ms)
		free(take_ptr(registry->authorization));
	/* It is for the registry alone (CVE-2020-15157). */
	if (registry->authorization && !get->is_elsewhere &&
	    http_url_same_origin(url, registry->base))
		strv_add(&headers, registry->authorization);
	if (get->offset > 0)
		strv_addf(&headers, "Range: bytes=%llu-", (unsigned long long)get->offset);
	if (http_start(registry->options.http, &ask, on_answer, get, &get->request, &err) < 0)
		get_retry(get, 0, &err);
}

struct registry_get *registry_get(struct registry *registry, const char *what, const char *accept,
				  uint64_t offset, const struct registry_sink *sink,
				  registry_fn *fn, void *data)
{
	struct registry_get *get = xcalloc(1, sizeof(*get));

	get->registry = registry;
	get->is_elsewhere = strstr(what, "://") != NULL;
	get->home = get->is_elsewhere ? xstrdup(what) : xasprintf("%s%s", registry->base, what);
	get->offset = get->failed_at = offset;
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
	token_request_free(get->token);
	watch_free(get->timer);
	free(get->home);
	free(get->redirect);
	free(get->accept);
	free(get);
	return NULL;
}
