/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by image/build.c with a blob whose digest fits; feeds the image record that goes into the
 * guest. Format: the OCI image specification's config.md, and Docker's image.json, which agree on
 * all that is used here. Fields that are absent, null or empty are left out of the record.
 */
#include "image/config.h"

#include <ctype.h>
#include <endian.h>
#include <stdbool.h>
#include <string.h>

#include "base/json.h"
#include "guest-init/protocol.h"
#include "image/layerstream.h"
#include "image/notes.h"

enum { USER_MAX = 256, DIRECTORY_MAX = 4095, SIGNAL_MAX = 16, ID_DIGITS_MAX = 10 };

#define ID_MAX 4294967294ULL /* the last one, -1, means "leave it" to the kernel */

/* --- checks ------------------------------------------------------------------------------------
 */

static bool is_printable(const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] <= 0x20 || text[i] == 0x7f)
			return false;
	return true;
}

/* A number must be one that the kernel takes as it stands: one that wraps around may become root's
 * (CVE-2024-40635). Anything else is a name, to be found in the image. */
static int check_user_part(const char *text, size_t length, const char *user, struct error *err)
{
	unsigned long long id = 0;

	if (length == 0)
		return error_set(err, "user '%s': an empty name", user);
	if (!is_printable(text, length) || memchr(text, '/', length))
		return error_set(err, "user '%s': not a name or number", user);
	for (size_t i = 0; i < length; i++) {
		if (!isdigit((unsigned char)text[i])) {
			if (text[0] == '-' || text[0] == '+')
				return error_set(err, "user '%s': not a name or number", user);
			return 0;
		}
		if (i < ID_DIGITS_MAX)
			id = id * 10 + (unsigned long long)(text[i] - '0');
	}
	if (length > ID_DIGITS_MAX || id > ID_MAX)
		return error_set(err, "user '%s': a number beyond %llu", user, ID_MAX);
	return 0;
}

static int check_user(const char *user, struct error *err)
{
	const char *colon = strchr(user, ':');

	if (strlen(user) > USER_MAX)
		return error_set(err, "user: longer than %d bytes", USER_MAX);
	if (!colon)
		return check_user_part(user, strlen(user), user, err);
	if (check_user_part(user, (size_t)(colon - user), user, err) < 0)
		return -1;
	if (strchr(colon + 1, ':'))
		return error_set(err, "user '%s': not a name or number", user);
	return check_user_part(colon + 1, strlen(colon + 1), user, err);
}

/* Paths into /proc reach whatever the process has open when it gets there (CVE-2024-21626). */
static int check_directory(const char *what, const char *path, struct error *err)
{
	bool first = true;

	if (path[0] != '/')
		return error_set(err, "%s '%.200s': not absolute", what, path);
	if (strlen(path) > DIRECTORY_MAX)
		return error_set(err, "%s: longer than %d bytes", what, DIRECTORY_MAX);
	for (const char *at = path + strspn(path, "/"); *at; at += strspn(at, "/")) {
		size_t length = strcspn(at, "/");

		if (length == 2 && memcmp(at, "..", 2) == 0)
			return error_set(err, "%s '%.200s': has '..' in it", what, path);
		if (first && length == 4 && memcmp(at, "proc", 4) == 0)
			return error_set(err, "%s '%.200s': lies in /proc", what, path);
		first = first && length == 1 && at[0] == '.';
		at += length;
	}
	return 0;
}

static int check_working_dir(const char *path, struct error *err)
{
	return check_directory("working directory", path, err);
}

static int check_stop_signal(const char *name, struct error *err)
{
	size_t length = strlen(name);

	if (length > SIGNAL_MAX || strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-") != length)
		return error_set(err, "stop signal '%.32s': not the name or number of one", name);
	return 0;
}

static int check_variable(const char *text, struct error *err)
{
	const char *equals = strchr(text, '=');

	if (!equals || equals == text)
		return error_set(err, "environment '%.100s': not NAME=VALUE", text);
	return 0;
}

/* --- the record --------------------------------------------------------------------------------
 */

static int add_entry(struct strbuf *record, uint32_t tag, const char *text, struct error *err)
{
	size_t length = strlen(text);
	struct config_entry head = { .tag = htole32(tag), .length = htole32((uint32_t)length) };

	if (length > CONFIG_ENTRY_MAX)
		return error_set(err, "a value of %zu bytes (%d are allowed)", length,
				 CONFIG_ENTRY_MAX);
	if (record->length + sizeof(head) + length > CONFIG_FILE_MAX)
		return error_set(err, "more than %d bytes in all", CONFIG_FILE_MAX);
	strbuf_add(record, &head, sizeof(head));
	strbuf_add(record, text, length);
	return 0;
}

static bool is_absent(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return !value || json_is_null(value);
}

static int add_list(struct strbuf *record, const json_t *config, const char *key, uint32_t tag,
		    struct error *err)
{
	_cleanup_strv_ struct strv list = { 0 };

	if (is_absent(config, key))
		return 0;
	if (json_get_strv(config, key, &list, err) < 0)
		return -1;
	STRV_EACH (text, &list) {
		if (tag == CONFIG_ENVIRONMENT && check_variable(text, err) < 0)
			return -1;
		if (add_entry(record, tag, text, err) < 0)
			return error_wrap(err, "'%s'", key);
	}
	return 0;
}

static int add_string(struct strbuf *record, const json_t *config, const char *key, uint32_t tag,
		      int (*check)(const char *, struct error *), struct error *err)
{
	const char *text;

	if (is_absent(config, key))
		return 0;
	if (json_get_string(config, key, &text, err) < 0)
		return -1;
	if (text[0] == '\0')
		return 0;
	if (check(text, err) < 0)
		return -1;
	return add_entry(record, tag, text, err);
}

/* {"/data": {}, ...}. What cannot be a directory in the image is left out: image inspect shows it.
 */
static int add_volumes(struct strbuf *record, const json_t *config, struct error *err)
{
	const char *path;
	json_t *value;

	json_object_foreach (json_object_get(config, "Volumes"), path, value) {
		if (check_directory("volume", path, NULL) == 0 &&
		    add_entry(record, CONFIG_VOLUME_PATH, path, err) < 0)
			return -1;
	}
	return 0;
}

static int make_record(const json_t *config, struct strbuf *record, struct error *err)
{
	if (add_list(record, config, "Entrypoint", CONFIG_ENTRYPOINT, err) < 0 ||
	    add_list(record, config, "Cmd", CONFIG_COMMAND, err) < 0 ||
	    add_list(record, config, "Env", CONFIG_ENVIRONMENT, err) < 0 ||
	    add_string(record, config, "User", CONFIG_USER, check_user, err) < 0 ||
	    add_string(record, config, "WorkingDir", CONFIG_WORKING_DIR, check_working_dir, err) <
		    0 ||
	    add_string(record, config, "StopSignal", CONFIG_STOP_SIGNAL, check_stop_signal, err) <
		    0)
		return -1;
	return add_volumes(record, config, err);
}

/* --- the document ------------------------------------------------------------------------------
 */

static int parse_diff_ids(const json_t *document, struct strv *ret, struct error *err)
{
	const char *prefix = "sha256:";
	_cleanup_strv_ struct strv list = { 0 };

	if (json_get_strv(json_object_get(document, "rootfs"), "diff_ids", &list, err) < 0)
		return error_wrap(err, "'rootfs'");
	STRV_EACH (text, &list) {
		const char *hex = text + strlen(prefix);

		if (strncmp(text, prefix, strlen(prefix)) != 0 || strlen(hex) != DIGEST_HEX ||
		    strspn(hex, "0123456789abcdef") != DIGEST_HEX)
			return error_set(err, "'%.100s' is not a diffID (sha256:, 64 hex digits)",
					 text);
		strv_add(ret, hex);
	}
	return 0;
}

static int parse_document(const json_t *document, struct image_config *ret, struct error *err)
{
	const json_t *config = json_object_get(document, "config");

	if (!json_is_object(document))
		return error_set(err, "not a JSON object");
	if (strcmp(json_string_or(document, "os", "linux"), "linux") != 0)
		return error_set(err, "made for '%.32s', not for linux",
				 json_string_or(document, "os", ""));
	if (parse_diff_ids(document, &ret->diff_ids, err) < 0)
		return -1;
	notes_make(document, &ret->notes);
	if (is_absent(document, "config"))
		return 0;
	if (!json_is_object(config))
		return error_set(err, "'config' is not an object");
	return make_record(config, &ret->record, err);
}

void image_config_prepare(void)
{
	json_object_seed(0);
}

int image_config_parse(const char *bytes, size_t length, struct image_config *ret,
		       struct error *err)
{
	struct image_config parsed = { 0 };
	_cleanup_json_ json_t *document = NULL;

	if (length > IMAGE_CONFIG_MAX)
		return error_set(err, "image config: larger than %d bytes", IMAGE_CONFIG_MAX);
	if (json_parse(bytes, length, "image config", &document, err) < 0)
		return -1;
	if (parse_document(document, &parsed, err) < 0) {
		image_config_reset(&parsed);
		return error_wrap(err, "image config");
	}
	image_config_reset(ret);
	*ret = parsed;
	return 0;
}

void image_config_reset(struct image_config *config)
{
	strv_reset(&config->diff_ids);
	strbuf_reset(&config->record);
	strbuf_reset(&config->notes);
}
