/* SPDX-License-Identifier: Apache-2.0 */
/* Anonymous bearer tokens: from the registry's 401 to the value of the Authorization header. */
#include "image/auth.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/strbuf.h"
#include "loop/http.h"

enum { TOKEN_MAX = 32 * 1024 };

/* --- WWW-Authenticate ------------------------------------------------------------------------ */

static bool is_token_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static const char *skip(const char *at, const char *set)
{
	return at + strspn(at, set);
}

/* A token or a quoted string; NULL at anything else. */
static const char *read_value(const char *at, char **ret)
{
	struct strbuf text = { 0 };

	if (*at != '"') {
		const char *start = at;

		while (is_token_char(*at) || *at == '/' || *at == ':' || *at == '=')
			at++;
		*ret = xstrndup(start, (size_t)(at - start));
		return at;
	}
	for (at++; *at && *at != '"'; at++) {
		if (*at == '\\' && at[1])
			at++;
		strbuf_putc(&text, *at);
	}
	*ret = strbuf_take(&text);
	return *at == '"' ? at + 1 : NULL;
}

static void keep_param(struct auth_challenge *challenge, const char *name, size_t length,
		       char *value)
{
	const struct {
		const char *name;
		char **to;
	} known[] = {
		{ "realm", &challenge->realm },
		{ "service", &challenge->service },
		{ "scope", &challenge->scope },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strlen(known[i].name) != length || strncasecmp(known[i].name, name, length) ||
		    *known[i].to)
			continue;
		*known[i].to = value;
		return;
	}
	free(value);
}

/* Commas separate challenges and parameters alike: a word followed by "=" is a parameter, any other
 * word starts a challenge. */
static bool scan(const char *at, struct auth_challenge *challenge)
{
	bool is_bearer = false;

	for (;;) {
		const char *word = at = skip(at, " \t,"), *after;
		size_t length;
		char *value = NULL;

		while (is_token_char(*at))
			at++;
		length = (size_t)(at - word);
		if (length == 0)
			return *at == '\0';
		after = skip(at, " \t");
		if (*after != '=') {
			if (is_bearer)
				return true;
			is_bearer = length == 6 && strncasecmp(word, "Bearer", length) == 0;
			continue;
		}
		at = read_value(skip(after + 1, " \t"), &value);
		if (is_bearer)
			keep_param(challenge, word, length, value);
		else
			free(value);
		if (!at)
			return false;
	}
}

int auth_challenge_parse(const char *header, struct auth_challenge *ret, struct error *err)
{
	struct auth_challenge challenge = { 0 };

	if (!scan(header, &challenge) || !challenge.realm) {
		auth_challenge_reset(&challenge);
		return error_set(err, "it asks for authentication by '%.120s', not by a token",
				 header);
	}
	*ret = challenge;
	return 0;
}

void auth_challenge_reset(struct auth_challenge *challenge)
{
	free(challenge->realm);
	free(challenge->service);
	free(challenge->scope);
	*challenge = (struct auth_challenge){ 0 };
}

/* --- tokens ---------------------------------------------------------------------------------- */

char *auth_token_url(const struct auth_challenge *challenge, const char *repository, bool insecure,
		     struct error *err)
{
	_cleanup_free_ char *realm = http_url_resolve(challenge->realm, challenge->realm, err);
	_cleanup_free_ char *scope = xasprintf("repository:%s:pull", repository);
	struct strbuf url = { 0 };

	if (!realm) {
		error_wrap(err, "the token server");
		return NULL;
	}
	if (strncmp(realm, "https://", 8) != 0 && !insecure) {
		error_set(err, "it names a token server without TLS, '%.200s'", realm);
		return NULL;
	}
	strbuf_puts(&url, realm);
	strbuf_putc(&url, strchr(realm, '?') ? '&' : '?');
	if (challenge->service) {
		strbuf_puts(&url, "service=");
		http_url_escape(&url, challenge->service);
		strbuf_putc(&url, '&');
	}
	strbuf_puts(&url, "scope=");
	http_url_escape(&url, challenge->scope ? challenge->scope : scope);
	return strbuf_take(&url);
}

char *auth_token_parse(const char *bytes, size_t length, struct error *err)
{
	_cleanup_json_ json_t *root = NULL;
	const char *token;

	if (json_parse(bytes, length, "token", &root, err) < 0)
		return NULL;
	token = json_string_or(root, "token", json_string_or(root, "access_token", ""));
	if (!*token || strlen(token) > TOKEN_MAX) {
		error_set(err, "the token server's answer holds no token");
		return NULL;
	}
	/* It goes into a header: neither blank nor line end may come with it. */
	for (const char *c = token; *c; c++) {
		if (*c <= 0x20 || *c > 0x7e) {
			error_set(err, "the token server's answer is not fit for a header");
			return NULL;
		}
	}
	return xstrdup(token);
}
