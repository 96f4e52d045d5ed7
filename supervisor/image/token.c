/* SPDX-License-Identifier: Apache-2.0 */
/* Anonymous and with a password: a GET (docs/spec/auth/token.md). With an identity token: a POST of
 * it as refresh_token (docs/spec/auth/oauth.md). */
#include "image/token.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "image/patience.h"

enum { ANSWER_MAX = 64 * 1024, TIMEOUT_MS = 60000 };

struct token_request {
	struct http_request *request; /* owned */
	bool has_credential;
	token_fn *fn;
	void *data;
};

static void on_answer(struct http_request *http_request, const struct http_response *response,
		      const struct error *err, void *data)
{
	struct token_request *request = data;
	bool is_busy = !err && (response->status == 429 || response->status >= 500);
	_cleanup_free_ char *token = NULL;
	uint64_t lifetime_ms = 0, wait_ms = 0;
	struct error why = { 0 };

	(void)http_request;
	if (err) {
		why = *err;
		error_wrap(&why, "its token server");
	} else if (is_busy) {
		wait_ms = patience_asked_ms(http_header(response, "Retry-After", 0), time(NULL));
		error_set(&why, "its token server: answer %d", response->status);
	} else if (response->status != 200) {
		error_set(&why, "its token server refuses with %d (%s)", response->status,
			  request->has_credential ? "check name and credential"
						  : "check the image's name; no credential is "
						    "known for it");
	} else {
		token = auth_token_parse(strbuf_text(&response->body), response->body.length,
					 &lifetime_ms, &why);
	}
	/* It frees the request, and with it the response. */
	request->fn(request->data, token, lifetime_ms, token ? NULL : &why, err || is_busy,
		    wait_ms);
}

/* Only to the registry's own token server, its neighbour, or the one that the settings name. */
static int check_realm(const struct token_options *options, const struct host *host,
		       const char *realm, struct error *err)
{
	_cleanup_free_ char *authority = http_url_authority(realm);

	if (auth_realm_is_near(options->authority, authority) ||
	    (host->token_server && strcmp(host->token_server, authority) == 0))
		return 0;
	return error_set(err,
			 "its token server '%s' is of another domain and gets no credential "
			 "(token_server in stoker.ini allows it)",
			 authority);
}

static void add_form_field(struct strbuf *form, const char *name, const char *value)
{
	strbuf_printf(form, "&%s=", name);
	http_url_escape(form, value);
}

/* Fills in what is asked: `ask` borrows from the other three. */
static void phrase(const struct credential *credential, const char *realm, const char *query,
		   struct http_options *ask, struct strbuf *text, struct strv *headers)
{
	if (credential && credential->is_identity_token) {
		strbuf_puts(text, query);
		add_form_field(text, "grant_type", "refresh_token");
		add_form_field(text, "client_id", "stoker");
		add_form_field(text, "refresh_token", credential->secret);
		ask->url = realm;
		ask->body = text->data;
		ask->body_length = text->length;
		return;
	}
	strbuf_printf(text, "%s%c%s", realm, strchr(realm, '?') ? '&' : '?', query);
	ask->url = text->data;
	if (credential)
		strv_add_taken(headers, credential_header(credential));
	ask->headers = headers;
}

int token_ask(const struct token_options *options, token_fn *fn, void *data,
	      struct token_request **ret, struct error *err)
{
	const struct host *host = hosts_find(options->hosts, options->registry);
	const struct credential *credential = host && host->credential.user ? &host->credential
									    : NULL;
	_cleanup_free_ char *realm = auth_realm_url(options->challenge, host && host->is_insecure,
						    err);
	_cleanup_free_ char *query = auth_token_query(options->challenge, options->repository);
	_cleanup_strbuf_ struct strbuf text = { 0 };
	_cleanup_strv_ struct strv headers = { 0 };
	struct http_options ask = { .body_max = ANSWER_MAX, .total_timeout_ms = TIMEOUT_MS };
	struct token_request *request;

	if (!realm || (credential && check_realm(options, host, realm, err) < 0))
		return -1;
	phrase(credential, realm, query, &ask, &text, &headers);
	ask.ca = hosts_ca(options->hosts, realm);
	request = xcalloc(1, sizeof(*request));
	request->has_credential = credential != NULL;
	request->fn = fn;
	request->data = data;
	if (http_start(options->http, &ask, on_answer, request, &request->request, err) < 0) {
		token_request_free(request);
		return -1;
	}
	*ret = request;
	return 0;
}

struct token_request *token_request_free(struct token_request *request)
{
	if (!request)
		return NULL;
	http_request_free(request->request);
	free(request);
	return NULL;
}
