/* SPDX-License-Identifier: Apache-2.0 */
/* From the registry's 401 to a token; and who may see a credential on the way. */
#include "image/auth.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/strbuf.h"
#include "loop/http.h"

enum { TOKEN_MAX = 32 * 1024, LIFETIME_DEFAULT_S = 60, LIFETIME_MAX_S = 86400 };

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

static bool is_scheme(const char *word, size_t length, const char *scheme)
{
	return strlen(scheme) == length && strncasecmp(word, scheme, length) == 0;
}

/* Commas separate challenges and parameters alike: a word followed by "=" is a parameter, any other
 * word starts a challenge. Keeps the parameters of the first Bearer challenge that has a realm.
 * False: the header is not whole. */
static bool scan(const char *at, struct auth_challenge *challenge, bool *ret_basic)
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
			if (is_bearer && challenge->realm)
				return true;
			auth_challenge_reset(challenge);
			is_bearer = is_scheme(word, length, "Bearer");
			*ret_basic |= is_scheme(word, length, "Basic");
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
	bool is_whole, has_basic = false;

	is_whole = scan(header, &challenge, &has_basic);
	challenge.is_bearer = is_whole && challenge.realm;
	if (!challenge.is_bearer) {
		auth_challenge_reset(&challenge);
		if (!is_whole || !has_basic)
			return error_set(err,
					 "it asks for authentication by '%.120s', not by a token "
					 "or a password",
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

char *auth_realm_url(const struct auth_challenge *challenge, bool insecure, struct error *err)
{
	char *realm = http_url_resolve(challenge->realm, challenge->realm, err);

	if (!realm) {
		error_wrap(err, "the token server");
		return NULL;
	}
	if (strncmp(realm, "https://", 8) != 0 && !insecure) {
		error_set(err, "it names a token server without TLS, '%.200s'", realm);
		free(take_ptr(realm));
	}
	return realm;
}

char *auth_token_query(const struct auth_challenge *challenge, const char *repository)
{
	_cleanup_free_ char *scope = xasprintf("repository:%s:pull", repository);
	struct strbuf query = { 0 };

	if (challenge->service) {
		strbuf_puts(&query, "service=");
		http_url_escape(&query, challenge->service);
		strbuf_putc(&query, '&');
	}
	strbuf_puts(&query, "scope=");
	http_url_escape(&query, challenge->scope ? challenge->scope : scope);
	return strbuf_take(&query);
}

/* Where the labels begin that both names end with. */
static const char *common_suffix(const char *a, const char *b)
{
	const char *at = a + strlen(a), *other = b + strlen(b), *suffix = at;

	while (at > a && other > b && at[-1] == other[-1]) {
		at--;
		other--;
		if ((at == a || at[-1] == '.') && (other == b || other[-1] == '.'))
			suffix = at;
	}
	return suffix;
}

/* "example.com" is somebody's, "co.uk" and "com" are not: two labels, of which the first is longer
 * than three letters, or three. */
static bool is_owned_domain(const char *domain)
{
	size_t first = strcspn(domain, "."), labels = 1;

	for (const char *c = domain; *c; c++)
		labels += *c == '.';
	return labels > 2 || (labels == 2 && first > 3);
}

bool auth_realm_is_near(const char *registry, const char *realm_host)
{
	_cleanup_free_ char *ours = xstrndup(registry, strcspn(registry, ":"));
	_cleanup_free_ char *theirs = xstrndup(realm_host, strcspn(realm_host, ":"));
	bool is_number = ours[strspn(ours, "0123456789.")] == '\0';

	if (strcasecmp(ours, theirs) == 0)
		return *registry != '[' || strcmp(registry, realm_host) == 0;
	return !is_number && is_owned_domain(common_suffix(ours, theirs));
}

char *auth_token_parse(const char *bytes, size_t length, uint64_t *ret_lifetime_ms,
		       struct error *err)
{
	_cleanup_json_ json_t *root = NULL;
	const char *token;
	uint64_t seconds;

	if (json_parse(bytes, length, "token", &root, err) < 0)
		return NULL;
	token = json_string_or(root, "token", "");
	if (!*token)
		token = json_string_or(root, "access_token", "");
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
	seconds = json_u64_or(root, "expires_in", LIFETIME_DEFAULT_S);
	*ret_lifetime_ms = 1000 * (seconds < LIFETIME_MAX_S ? seconds : LIFETIME_MAX_S);
	return xstrdup(token);
}
