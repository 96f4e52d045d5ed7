/* SPDX-License-Identifier: Apache-2.0 */
/* Pure text: nothing here opens a file or starts a program. */
#include "image/credential.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/strbuf.h"

static const char identity_user[] = "<token>";

void credential_reset(struct credential *credential)
{
	free(credential->user);
	free(credential->secret);
	*credential = (struct credential){ 0 };
}

void credential_entry_reset(struct credential_entry *entry)
{
	credential_reset(&entry->credential);
	free(entry->helper);
	free(entry->server);
	*entry = (struct credential_entry){ 0 };
}

/* --- base64 (RFC 4648, 4) ----------------------------------------------------------------------
 */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static char *encode(const char *text)
{
	size_t length = strlen(text);
	struct strbuf out = { 0 };

	for (size_t i = 0; i < length; i += 3) {
		uint32_t bits = 0;

		for (size_t j = 0; j < 3; j++)
			bits = bits << 8 | (i + j < length ? (unsigned char)text[i + j] : 0);
		for (size_t j = 0; j < 4; j++)
			strbuf_putc(&out,
				    i + j > length ? '=' : alphabet[bits >> (18 - 6 * j) & 63]);
	}
	return strbuf_take(&out);
}

/* NULL when it is not base64, padded or not, or holds a NUL byte. */
static char *decode(const char *text)
{
	struct strbuf out = { 0 };
	uint32_t bits = 0;
	unsigned count = 0;

	for (; *text && *text != '='; text++) {
		const char *at = strchr(alphabet, *text);

		if (!at)
			break;
		bits = bits << 6 | (uint32_t)(at - alphabet);
		count += 6;
		if (count < 8)
			continue;
		count -= 8;
		strbuf_putc(&out, (char)(bits >> count));
	}
	if (text[strspn(text, "=")] || (out.data && strlen(out.data) != out.length)) {
		strbuf_reset(&out);
		return NULL;
	}
	return strbuf_take(&out);
}

/* --- one credential -------------------------------------------------------------------------- */

/* What goes into a header or a form must not end it. */
static bool is_plain(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return false;
	return true;
}

/* It goes to the fetcher as JSON, which has no other bytes. */
static bool is_utf8(const char *text)
{
	_cleanup_json_ json_t *string = json_string(text);

	return string != NULL;
}

static int set_credential(struct credential *ret, const char *user, const char *secret,
			  bool is_identity_token, struct error *err)
{
	if (!*secret)
		return error_set(err, "an empty secret");
	if (!is_plain(user) || !is_plain(secret))
		return error_set(err, "a control character in user or secret");
	if (!is_utf8(user) || !is_utf8(secret))
		return error_set(err, "user or secret is not UTF-8");
	if (strchr(user, ':'))
		return error_set(err, "a colon in the user's name");
	if (strlen(user) + strlen(secret) > CREDENTIAL_TEXT_MAX / 4)
		return error_set(err, "longer than %d bytes", CREDENTIAL_TEXT_MAX / 4);
	ret->user = xstrdup(user);
	ret->secret = xstrdup(secret);
	/* The name by which helpers and the fetcher know one, wherever it stands. */
	ret->is_identity_token = is_identity_token || strcmp(user, identity_user) == 0;
	return 0;
}

char *credential_format(const struct credential *credential)
{
	_cleanup_json_ json_t *object = json_object();

	json_object_set_new(
		object, "Username",
		json_string(credential->is_identity_token ? identity_user : credential->user));
	json_object_set_new(object, "Secret", json_string(credential->secret));
	return json_line(object);
}

int credential_parse(const char *bytes, size_t length, struct credential *ret, struct error *err)
{
	static const char none[] = "credentials not found";
	struct credential credential = { 0 };
	_cleanup_json_ json_t *root = NULL;
	const char *user, *secret;

	/* The helpers' words, credentials/error.go; what follows differs from one to the other. */
	if (length >= strlen(none) && memcmp(bytes, none, strlen(none)) == 0) {
		*ret = credential;
		return 0;
	}
	if (length == 0)
		return error_set(err, "the helper says nothing");
	if (json_parse(bytes, length, "answer", &root, NULL) < 0) {
		_cleanup_free_ char *line = xstrndup(bytes, length < 200 ? length : 200);

		line[strcspn(line, "\r\n")] = '\0';
		return error_set(err, "the helper says '%s'", line);
	}
	if (json_get_string(root, "Username", &user, err) < 0 ||
	    json_get_string(root, "Secret", &secret, err) < 0)
		return error_wrap(err, "the helper's answer");
	if (set_credential(&credential, user, secret, strcmp(user, identity_user) == 0, err) < 0)
		return error_wrap(err, "the helper's answer");
	*ret = credential;
	return 0;
}

char *credential_header(const struct credential *credential)
{
	_cleanup_free_ char *plain = xasprintf("%s:%s", credential->user, credential->secret);
	_cleanup_free_ char *encoded = encode(plain);

	return xasprintf("Authorization: Basic %s", encoded);
}

/* --- the file -------------------------------------------------------------------------------- */

static bool is_hub(const char *registry)
{
	return strcmp(registry, "docker.io") == 0;
}

/* An entry of "auths": auth (base64 of user:password), identitytoken, or the two in clear. */
static int read_auth(const json_t *entry, struct credential *ret, struct error *err)
{
	const char *auth = json_string_or(entry, "auth", "");
	const char *token = json_string_or(entry, "identitytoken", "");
	const char *user = json_string_or(entry, "username", "");
	const char *password = json_string_or(entry, "password", "");
	_cleanup_free_ char *decoded = NULL;
	char *colon;

	if (*token)
		return set_credential(ret, identity_user, token, true, err);
	if (!*auth)
		return *user ? set_credential(ret, user, password, false, err) : 0;
	decoded = decode(auth);
	colon = decoded ? strchr(decoded, ':') : NULL;
	if (!colon)
		return error_set(err, "'auth' is not user:password in base64");
	*colon = '\0';
	return set_credential(ret, decoded, colon + 1, false, err);
}

/* The most specific key of an object for the repository; NULL: none. *ret_key is the caller's. */
static const json_t *look_up(const json_t *object, const char *registry, const char *repository,
			     char **ret_key)
{
	char *key = xasprintf("%s/%s", registry, repository);
	const json_t *found = json_object_get(object, key);

	while (!found && strchr(key, '/')) {
		*strrchr(key, '/') = '\0';
		found = json_object_get(object, key);
	}
	if (!found && is_hub(registry)) {
		free(key);
		key = xstrdup("https://index.docker.io/v1/");
		found = json_object_get(object, key);
	}
	*ret_key = key;
	return found;
}

/* A file's name is made of it. */
static int check_helper(const char *name, struct error *err)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

	if (*name && strlen(name) <= 64 && !name[strspn(name, allowed)])
		return 0;
	return error_set(err, "'%.80s' is not the name of a helper", name);
}

static int find(const json_t *root, const char *registry, const char *repository,
		struct credential_entry *entry, struct error *err)
{
	_cleanup_free_ char *key = NULL, *helper_key = NULL;
	const json_t *auth = look_up(json_object_get(root, "auths"), registry, repository, &key);
	const json_t *own = look_up(json_object_get(root, "credHelpers"), registry, repository,
				    &helper_key);
	const char *helper = json_string_value(own);

	if (!json_is_object(root) || (auth && !json_is_object(auth)) || (own && !helper))
		return error_set(err, "not a file as `docker login` or `podman login` writes it");
	if (!helper)
		helper = json_string_or(root, "credsStore", NULL);
	if (auth && read_auth(auth, &entry->credential, err) < 0)
		return error_wrap(err, "auths: %s", key);
	if (!helper)
		return 0;
	if (check_helper(helper, err) < 0)
		return -1;
	entry->is_needed = own || (auth && !entry->credential.user);
	entry->helper = xstrdup(helper);
	entry->server = xstrdup(is_hub(registry) ? "https://index.docker.io/v1/" : registry);
	return 0;
}

int credential_find(const char *bytes, size_t length, const char *registry, const char *repository,
		    struct credential_entry *ret, struct error *err)
{
	struct credential_entry entry = { 0 };
	_cleanup_json_ json_t *root = NULL;

	if (json_parse(bytes, length, "credentials", &root, err) < 0)
		return -1;
	if (find(root, registry, repository, &entry, err) < 0) {
		credential_entry_reset(&entry);
		return -1;
	}
	*ret = entry;
	return 0;
}
