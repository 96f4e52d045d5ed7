/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests as text and as values; server.c reads what stokerctl writes. One table says which
 * members each command has, and both directions go by it.
 */
#include "control/protocol.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

enum {
	HAS_NAME = 1,
	NEEDS_NAME = 2,
	HAS_FOLLOW = 4,
	HAS_LINES = 8,
	HAS_TIMEOUT = 16,
	NEEDS_IMAGE = 32,
	HAS_DRY_RUN = 64,
	NEEDS_SESSION = 128,
	HAS_SINCE = 256,
};

static const struct {
	const char *name;
	unsigned members;
} commands[COMMAND_COUNT] = {
	[COMMAND_STATUS] = { "status", HAS_NAME },
	[COMMAND_PLAN] = { "plan", 0 },
	[COMMAND_RELOAD] = { "reload", HAS_TIMEOUT },
	[COMMAND_LOGS] = { "logs", HAS_NAME | NEEDS_NAME | HAS_FOLLOW | HAS_LINES | HAS_SINCE },
	[COMMAND_GUARD] = { "guard", HAS_NAME | NEEDS_NAME },
	[COMMAND_EXEC] = { "exec", HAS_NAME | NEEDS_NAME | NEEDS_SESSION },
	[COMMAND_STATS] = { "stats", HAS_NAME },
	[COMMAND_RESTART] = { "restart", HAS_NAME | NEEDS_NAME },
	[COMMAND_PAUSE] = { "pause", HAS_NAME | NEEDS_NAME },
	[COMMAND_RESUME] = { "resume", HAS_NAME | NEEDS_NAME },
	[COMMAND_EVENTS] = { "events", HAS_FOLLOW },
	[COMMAND_VERSION] = { "version", 0 },
	[COMMAND_IMAGE_LIST] = { "image-list", 0 },
	[COMMAND_IMAGE_INSPECT] = { "image-inspect", NEEDS_IMAGE },
	[COMMAND_IMAGE_PULL] = { "image-pull", NEEDS_IMAGE },
	[COMMAND_IMAGE_PRUNE] = { "image-prune", HAS_DRY_RUN },
	[COMMAND_VOLUME_LIST] = { "volume-list", 0 },
	[COMMAND_VOLUME_PRUNE] = { "volume-prune", HAS_DRY_RUN },
};

enum { TIMEOUT_MAX_MS = 24 * 3600 * 1000 };

char *protocol_socket_path(const char *run_dir)
{
	return xasprintf("%s/" PROTOCOL_SOCKET, run_dir);
}

const char *protocol_command_name(enum protocol_command command)
{
	return commands[command].name;
}

static int set_name(const json_t *value, struct request *request, struct error *err)
{
	const char *name = json_string_value(value);

	if (!name || !*name)
		return error_set(err, "'name' is not the name of an instance (tenant/vm)");
	/* json_string_length would differ from strlen had the parser allowed NUL bytes. */
	if (strlen(name) > PROTOCOL_NAME_MAX)
		return error_set(err, "'name' is longer than %d bytes", PROTOCOL_NAME_MAX);
	memcpy(request->name, name, strlen(name) + 1);
	return 0;
}

static int set_image(const json_t *value, struct request *request, struct error *err)
{
	const char *image = json_string_value(value);

	if (!image || !*image)
		return error_set(err, "'image' is not the name of an image");
	if (strlen(image) > PROTOCOL_IMAGE_MAX)
		return error_set(err, "'image' is longer than %d bytes", PROTOCOL_IMAGE_MAX);
	memcpy(request->image, image, strlen(image) + 1);
	return 0;
}

/* Its members are looked at by the command. */
static int set_session(const json_t *value, struct request *request, struct error *err)
{
	if (!json_is_object(value))
		return error_set(err, "'session' is not an object");
	request->session = json_incref((json_t *)value);
	return 0;
}

static int set_bool(const char *key, const json_t *value, bool *ret, struct error *err)
{
	if (!json_is_boolean(value))
		return error_set(err, "'%s' is not true or false", key);
	*ret = json_is_true(value);
	return 0;
}

static int set_number(const char *key, const json_t *value, uint64_t max, uint64_t *ret,
		      struct error *err)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
	    (uint64_t)json_integer_value(value) > max)
		return error_set(err, "'%s' is not a number from 0 to %llu", key,
				 (unsigned long long)max);
	*ret = (uint64_t)json_integer_value(value);
	return 0;
}

static int set_member(const char *key, const json_t *value, struct request *request,
		      struct error *err)
{
	unsigned members = commands[request->command].members;

	if (strcmp(key, "command") == 0)
		return 0;
	if (strcmp(key, "name") == 0 && (members & HAS_NAME))
		return set_name(value, request, err);
	if (strcmp(key, "lines") == 0 && (members & HAS_LINES))
		return set_number(key, value, PROTOCOL_LINES_MAX, &request->lines, err);
	if (strcmp(key, "since_ms") == 0 && (members & HAS_SINCE))
		return set_number(key, value, INT64_MAX, &request->since_ms, err);
	if (strcmp(key, "timeout_ms") == 0 && (members & HAS_TIMEOUT))
		return set_number(key, value, TIMEOUT_MAX_MS, &request->timeout_ms, err);
	if (strcmp(key, "image") == 0 && (members & NEEDS_IMAGE))
		return set_image(value, request, err);
	if (strcmp(key, "follow") == 0 && (members & HAS_FOLLOW))
		return set_bool(key, value, &request->follow, err);
	if (strcmp(key, "dry_run") == 0 && (members & HAS_DRY_RUN))
		return set_bool(key, value, &request->is_dry_run, err);
	if (strcmp(key, "session") == 0 && (members & NEEDS_SESSION))
		return set_session(value, request, err);
	return error_set(err, "'%s' has no member '%s'", commands[request->command].name, key);
}

static int find_command(const char *name, enum protocol_command *ret, struct error *err)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(commands[i].name, name) == 0) {
			*ret = (enum protocol_command)i;
			return 0;
		}
	return error_set(err, "unknown command '%s' (are stokerctl and stokerd of one version?)",
			 name);
}

static int check_needs(const struct request *request, struct error *err)
{
	unsigned members = commands[request->command].members;
	const char *command = commands[request->command].name;

	if ((members & NEEDS_NAME) && !request->name[0])
		return error_set(err, "'%s' needs the name of an instance", command);
	if ((members & NEEDS_IMAGE) && !request->image[0])
		return error_set(err, "'%s' needs the name of an image", command);
	if ((members & NEEDS_SESSION) && !request->session)
		return error_set(err, "'%s' needs a session", command);
	return 0;
}

int protocol_parse_request(const char *line, size_t length, struct request *ret, struct error *err)
{
	_cleanup_json_ json_t *object = NULL;
	struct request request = { 0 };
	const char *command, *key;
	json_t *value;

	if (json_parse(line, length, "request", &object, err) < 0)
		return -1;
	if (!json_is_object(object))
		return error_set(err, "the request is not an object");
	if (json_get_string(object, "command", &command, err) < 0 ||
	    find_command(command, &request.command, err) < 0)
		return -1;
	json_object_foreach (object, key, value)
		if (set_member(key, value, &request, err) < 0) {
			request_reset(&request);
			return -1;
		}
	if (check_needs(&request, err) < 0) {
		request_reset(&request);
		return -1;
	}
	*ret = request;
	return 0;
}

void request_reset(struct request *request)
{
	json_decref(request->session);
	*request = (struct request){ 0 };
}

char *protocol_format_request(const struct request *request)
{
	unsigned members = commands[request->command].members;
	_cleanup_json_ json_t *object = json_object();
	_cleanup_free_ char *text = NULL;

	json_object_set_new(object, "command", json_string(commands[request->command].name));
	if ((members & HAS_NAME) && request->name[0])
		json_object_set_new(object, "name",
				    protocol_text(request->name, strlen(request->name)));
	if (members & NEEDS_IMAGE)
		json_object_set_new(object, "image",
				    protocol_text(request->image, strlen(request->image)));
	if (members & NEEDS_SESSION)
		json_object_set(object, "session", request->session);
	if (members & HAS_DRY_RUN)
		json_object_set_new(object, "dry_run", json_boolean(request->is_dry_run));
	if (members & HAS_FOLLOW)
		json_object_set_new(object, "follow", json_boolean(request->follow));
	if (members & HAS_LINES)
		json_object_set_new(object, "lines", json_integer((json_int_t)request->lines));
	if ((members & HAS_SINCE) && request->since_ms)
		json_object_set_new(object, "since_ms",
				    json_integer((json_int_t)request->since_ms));
	if (members & HAS_TIMEOUT)
		json_object_set_new(object, "timeout_ms",
				    json_integer((json_int_t)request->timeout_ms));
	text = json_line(object);
	return xasprintf("%s\n", text);
}

int protocol_take_line(struct strbuf *in, size_t max, char **ret_line, size_t *ret_length)
{
	const char *end = in->length ? memchr(in->data, '\n', in->length) : NULL;
	size_t length = end ? (size_t)(end - in->data) : in->length;

	if (length > max)
		return -1;
	if (!end)
		return 0;
	*ret_line = xmemdup(in->data, length + 1);
	(*ret_line)[length] = '\0';
	*ret_length = length;
	strbuf_consume(in, length + 1);
	return 1;
}

/* Length of the well-formed UTF-8 sequence at `at` (RFC 3629), 0 when there is none. */
static size_t utf8_length(const unsigned char *at, size_t left)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t length;

	if (at[0] < 0x80)
		return 1;
	if (at[0] < 0xc2 || at[0] > 0xf4)
		return 0;
	length = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
	if (length > left)
		return 0;
	/* Overlong forms, surrogates and what lies beyond U+10FFFF show in the second byte. */
	if (at[0] == 0xe0)
		low = 0xa0;
	if (at[0] == 0xed)
		high = 0x9f;
	if (at[0] == 0xf0)
		low = 0x90;
	if (at[0] == 0xf4)
		high = 0x8f;
	if (at[1] < low || at[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	return length;
}

json_t *protocol_text(const char *bytes, size_t length)
{
	_cleanup_free_ char *clean = xmemdup(bytes, length);

	for (size_t i = 0; i < length;) {
		size_t n = clean[i] ? utf8_length((unsigned char *)clean + i, length - i) : 0;

		if (n == 0)
			clean[i++] = '?';
		i += n;
	}
	return json_stringn(clean, length);
}
