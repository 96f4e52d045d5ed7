/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `exec` command: joins a client to a session in a guest (guest/exec.h). Its member "session"
 * is
 * {"command":[...], "environment":[...], "user", "working_dir", "terminal":bool, "input":bool,
 * "detached":bool, "rows", "columns"}; all but the first may be missing. Each session is logged,
 * with who asked for what.
 */
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "control/client.h"

enum { LOGGED_MAX = 1500, GRANT_BELOW_BYTES = 16 << 10 };

struct session {
	struct client *client; /* borrowed */
	struct exec *exec;     /* owned; NULL: it has ended */
	char *who;	       /* owned: "acme/web: exec by root (uid 0, pid 17)" */
	size_t owed;	       /* bytes that were said and not granted again */
	bool has_ended;
	struct session_end end;
};

/* --- the request -------------------------------------------------------------------------------
 */

static int read_words(const json_t *object, const char *key, struct strv *ret, struct error *err)
{
	return json_object_get(object, key) ? json_get_strv(object, key, ret, err) : 0;
}

static int read_text(const json_t *object, const char *key, char **ret, struct error *err)
{
	const char *text;

	if (!json_object_get(object, key))
		return 0;
	if (json_get_string(object, key, &text, err) < 0)
		return -1;
	*ret = xstrdup(text);
	return 0;
}

static int read_side(const json_t *object, const char *key, uint16_t *ret, struct error *err)
{
	uint64_t number = json_u64_or(object, key, 0);

	if (number > UINT16_MAX)
		return error_set(err, "'%s' is not a number from 0 to %u", key, UINT16_MAX);
	*ret = (uint16_t)number;
	return 0;
}

static int check_environment(const struct strv *environment, struct error *err)
{
	STRV_EACH (entry, environment)
		if (!strchr(entry, '=') || *entry == '=')
			return error_set(err, "environment '%s' is not KEY=VALUE", entry);
	return 0;
}

static int read_request(const json_t *object, struct exec_request *ret, struct error *err)
{
	if (read_words(object, "command", &ret->command, err) < 0 ||
	    read_words(object, "environment", &ret->environment, err) < 0 ||
	    read_text(object, "user", &ret->user, err) < 0 ||
	    read_text(object, "working_dir", &ret->working_dir, err) < 0 ||
	    read_side(object, "rows", &ret->rows, err) < 0 ||
	    read_side(object, "columns", &ret->columns, err) < 0 ||
	    check_environment(&ret->environment, err) < 0)
		return -1;
	ret->has_terminal = json_bool_or(object, "terminal", false);
	ret->has_input = json_bool_or(object, "input", false);
	ret->is_detached = json_bool_or(object, "detached", false);
	if (!ret->command.count)
		return error_set(err, "'command' is empty");
	if (ret->is_detached && (ret->has_terminal || ret->has_input))
		return error_set(err, "what is detached has neither terminal nor input");
	return 0;
}

/* --- what is logged ----------------------------------------------------------------------------
 */

static char *name_asker(const struct client *client)
{
	const struct peer *peer = &client->peer;
	const struct passwd *user = getpwuid(peer->uid);

	return xasprintf("%s: exec by %s (uid %u, pid %d)", client->job.request.name,
			 user ? user->pw_name : "?", (unsigned)peer->uid, (int)peer->pid);
}

static void log_start(const struct session *session, const struct exec_request *request)
{
	_cleanup_strbuf_ struct strbuf text = { 0 };

	STRV_EACH (word, &request->command)
		strbuf_printf(&text, " %s", word);
	log_info("%s%s%.64s:%.*s%s", session->who, request->user ? " as " : "",
		 request->user ? request->user : "", LOGGED_MAX, strbuf_text(&text),
		 text.length > LOGGED_MAX ? "..." : "");
}

static void log_end(const struct session *session)
{
	const struct session_end *end = &session->end;

	if (end->how == SESSION_FAILED)
		log_info("%s: %s", session->who, end->message);
	else
		log_info("%s: ended by %s %d", session->who,
			 end->how == SESSION_EXITED ? "exit code" : "signal", (int)end->code);
}

/* --- the guest ---------------------------------------------------------------------------------
 */

static void say(struct session *session, enum session_type type, const void *bytes, size_t length)
{
	struct session_header header = { .length = (uint32_t)length, .type = type };

	strbuf_add(&session->client->out, &header, sizeof(header));
	strbuf_add(&session->client->out, bytes, length);
	session->client->control->wake(session->client->control);
}

static void on_output(void *data, bool is_error, const void *bytes, size_t length)
{
	struct session *session = data;

	session->owed += length;
	say(session, is_error ? SESSION_STDERR : SESSION_STDOUT, bytes, length);
}

static void on_room(void *data)
{
	struct session *session = data;

	session->client->control->wake(session->client->control);
}

static void on_ended(void *data, const struct channel_exit *how)
{
	struct session *session = data;
	struct session_end *end = &session->end;

	end->how = how->kind == CHANNEL_EXITED	     ? SESSION_EXITED
		   : how->kind == CHANNEL_INIT_ERROR ? SESSION_FAILED
						     : SESSION_SIGNALLED;
	end->code = how->code;
	_Static_assert(sizeof(end->message) == sizeof(how->message), "one limit");
	memcpy(end->message, how->message, sizeof(end->message));
	session->has_ended = true;
	session->exec = exec_free(session->exec);
	log_end(session);
	say(session, SESSION_ENDED, end, sizeof(*end));
}

struct session *session_free(struct session *session)
{
	if (!session)
		return NULL;
	if (session->exec)
		log_info("%s: ended with its client", session->who);
	exec_free(session->exec);
	free(session->who);
	free(session);
	return NULL;
}

/* --- the client --------------------------------------------------------------------------------
 */

int exec_command_start(struct client *client, struct error *err)
{
	static const struct exec_callbacks callbacks = { on_output, on_room, on_ended };
	struct job *job = &client->job;
	struct exec_request request = { 0 };
	struct session *session = xcalloc(1, sizeof(*session));
	int result;

	session->client = client;
	session->who = name_asker(client);
	job->session = session;
	result = read_request(job->request.session, &request, err);
	if (result == 0)
		result = roster_exec(client->control->roster, job->request.name, &request,
				     &callbacks, session, &session->exec, err);
	if (result == 0) {
		log_start(session, &request);
		client_send(client, "session", json_true());
	}
	exec_request_reset(&request);
	return result;
}

enum progress exec_command_more(struct client *client)
{
	struct session *session = client->job.session;

	if (session->has_ended)
		return PROGRESS_OVER;
	if (session->owed && client->out.length < GRANT_BELOW_BYTES) {
		exec_grant(session->exec, session->owed);
		session->owed = 0;
	}
	return PROGRESS_WAIT;
}

/* 1: taken; 0: it waits for room; -1: nonsense. */
static int take_frame(struct session *session, const struct session_header *header,
		      const char *payload)
{
	struct session_size size;
	uint32_t number;

	if (session->has_ended)
		return 1;
	if (header->type == SESSION_INPUT) {
		if (header->length > exec_room(session->exec))
			return 0;
		exec_input(session->exec, payload, header->length);
	} else if (header->type == SESSION_RESIZE && header->length == sizeof(size)) {
		memcpy(&size, payload, sizeof(size));
		exec_resize(session->exec, size.rows, size.columns);
	} else if (header->type == SESSION_SIGNAL && header->length == sizeof(number)) {
		memcpy(&number, payload, sizeof(number));
		exec_signal(session->exec, (int)(number & 0x7f));
	} else {
		return -1;
	}
	return 1;
}

int exec_command_input(struct client *client, struct strbuf *in)
{
	struct session_header header;
	size_t at = 0;

	while (in->length - at >= sizeof(header)) {
		int result;

		memcpy(&header, in->data + at, sizeof(header));
		if (header.length > SESSION_INPUT_MAX)
			return -1;
		if (in->length - at - sizeof(header) < header.length)
			break;
		result = take_frame(client->job.session, &header, in->data + at + sizeof(header));
		if (result < 0)
			return -1;
		if (result == 0)
			break;
		at += sizeof(header) + header.length;
	}
	if (at)
		strbuf_consume(in, at);
	return 0;
}
