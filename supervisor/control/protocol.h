/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words between stokerctl and stokerd: lines of JSON over RUN_DIR/control.sock.
 *
 * A request is one object: {"command":"logs","name":"acme/web","follow":true}. Its answer is any
 * number of objects with one member that says what they are, and ends with {"done":true,...} or
 * {"error":"..."}; then the next request may follow on the same connection.
 *
 *   status [name]              {"daemon":{...}}, {"instance":{...}} each
 *   plan                       {"text":"..."}; with an error: what is wrong with the manifests
 *   reload [timeout_ms]        {"text":"..."}, {"event":{...}} as they happen, {"result":{...}} for
 *                              each instance that was touched; done has "settled"
 *   logs name [lines] [follow] [since_ms]
 *                              {"log":"lines..."} each, {"gap":true} where lines were lost, with
 *                              "follow" {"now":true} before what was not there yet
 *   guard name                 {"guard":{...}}
 *   exec name session          {"session":true}, then the connection speaks frames: see below
 *   stats [name]               {"guest":{...}} each, as they answer:
 * {"name","phase","stats":{...}}, without "stats" where none came restart name pause name resume
 * name events [follow]            {"event":{...}}, {"dropped":N} where the reader was too slow; of
 * an instance, or with "guard" of what the guard of its tap told version {"version":"..."}
 *   image-list                 {"image":{...}} each
 *   image-inspect image        {"image":{...}}
 *   image-pull image           {"progress":{...}} as it goes on, {"image":{...}}
 *   image-prune [dry_run]      {"pruned":{...}}
 *   volume-list                {"volume":{...}} each
 *   volume-prune [dry_run]     {"pruned":{...}} each
 */
#ifndef STOKER_CONTROL_PROTOCOL_H
#define STOKER_CONTROL_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"
#include "base/strbuf.h"

#define PROTOCOL_SOCKET "control.sock"

enum {
	PROTOCOL_REQUEST_MAX = 32768,	/* bytes of a request line */
	PROTOCOL_ANSWER_MAX = 16 << 20, /* bytes of an answer line: a plan of the largest fleet */
	PROTOCOL_NAME_MAX = 128,	/* bytes of an instance's name */
	PROTOCOL_IMAGE_MAX = 1024,	/* bytes of the name of an image */
	PROTOCOL_LINES_MAX = 100000,	/* of a log, asked for at once */
};

enum protocol_command {
	COMMAND_STATUS,
	COMMAND_PLAN,
	COMMAND_RELOAD,
	COMMAND_LOGS,
	COMMAND_GUARD,
	COMMAND_EXEC,
	COMMAND_STATS,
	COMMAND_RESTART,
	COMMAND_PAUSE,
	COMMAND_RESUME,
	COMMAND_EVENTS,
	COMMAND_VERSION,
	COMMAND_IMAGE_LIST,
	COMMAND_IMAGE_INSPECT,
	COMMAND_IMAGE_PULL,
	COMMAND_IMAGE_PRUNE,
	COMMAND_VOLUME_LIST,
	COMMAND_VOLUME_PRUNE,
	COMMAND_COUNT,
};

struct request {
	enum protocol_command command;
	char name[PROTOCOL_NAME_MAX + 1];   /* "" when none was given */
	char image[PROTOCOL_IMAGE_MAX + 1]; /* a reference or a digest */
	bool is_dry_run;
	bool follow;
	uint64_t lines;	     /* 0 = from the beginning of what is kept */
	uint64_t since_ms;   /* of a log, since 1970; 0 = any time will do */
	uint64_t timeout_ms; /* 0 = do not wait */
	json_t *session;     /* owned; exec: an object, see control/exec.c */
};

void request_reset(struct request *request);

/*
 * The frames of a session, in both directions: this header in the host's own byte order, then
 * `length` bytes. The session ends with SESSION_END, or with the connection.
 */
struct session_header {
	uint32_t length; /* to the daemon, at most SESSION_INPUT_MAX */
	uint32_t type;	 /* enum session_type */
};

enum { SESSION_INPUT_MAX = 2048, SESSION_MESSAGE_MAX = 200 };

enum session_type {
	/* To the daemon. */
	SESSION_INPUT = 1, /* empty: the end of it */
	SESSION_RESIZE,	   /* struct session_size */
	SESSION_SIGNAL,	   /* uint32_t: its number */

	/* To the client. */
	SESSION_STDOUT,
	SESSION_STDERR,
	SESSION_ENDED, /* struct session_end */
};

struct session_size {
	uint16_t rows, columns;
};

enum session_how { SESSION_EXITED, SESSION_SIGNALLED, SESSION_FAILED };

struct session_end {
	uint32_t how;			   /* enum session_how */
	int32_t code;			   /* exit code or signal */
	char message[SESSION_MESSAGE_MAX]; /* SESSION_FAILED: what; NUL-terminated */
};

/* RUN_DIR/control.sock; the caller frees it. */
char *protocol_socket_path(const char *run_dir);

const char *protocol_command_name(enum protocol_command command);

/* Strict: an unknown command, a member the command does not have, a wrong type or a missing name
 * are errors. `line` has no newline. */
int protocol_parse_request(const char *line, size_t length, struct request *ret, struct error *err);

/* The line for a request, newline included; the caller frees it. */
char *protocol_format_request(const struct request *request);

/* Takes the first whole line, without its newline, out of `in`. 1: *ret_line is the caller's;
 * 0: not there yet; -1: longer than `max`. */
int protocol_take_line(struct strbuf *in, size_t max, char **ret_line, size_t *ret_length);

/* A JSON string of bytes that need not be UTF-8: what is not, becomes '?'. New reference. */
json_t *protocol_text(const char *bytes, size_t length);

#endif
