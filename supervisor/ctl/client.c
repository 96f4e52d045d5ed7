/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the daemon's socket (by -s, else by run_dir of the settings), asks, and hands the answer on
 * line by line. All commands but `check` go through here.
 */
#include "ctl/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "config/load.h"

static int find_socket(const struct ctl *ctl, char **ret, struct error *err)
{
	struct settings settings = { 0 };
	struct problems problems = { 0 };
	int result;

	if (ctl->socket_path) {
		*ret = xstrdup(ctl->socket_path);
		return 0;
	}
	result = settings_load(ctl->settings_path, &settings, &problems);
	if (result < 0) {
		fputs(strbuf_text(&problems.text), stderr);
		error_set(err,
			  "%s: cannot tell where stokerd listens (mend it, or name the "
			  "socket with -s)",
			  ctl->settings_path);
	} else {
		*ret = protocol_socket_path(settings.run_dir);
		settings_reset(&settings);
	}
	problems_reset(&problems);
	return result;
}

static const char *remedy_of(int number)
{
	switch (number) {
	case ENOENT:
	case ECONNREFUSED:
		return " (is it running? systemctl status stokerd)";
	case EACCES:
	case EPERM:
		return " (try: sudo stokerctl ...)";
	default:
		return "";
	}
}

static int dial(const char *path, int *ret, struct error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return error_errno(err, errno, "cannot make a socket");
	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(err, "%s: too long for the name of a socket", path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set(err, "cannot reach stokerd at %s: %s%s", path, strerror(errno),
				 remedy_of(errno));
	*ret = take_fd(&fd);
	return 0;
}

/* 1: *ret_done ends the answer; 0: go on. */
static int take_answer(const char *line, size_t length, answer_fn *fn, void *data,
		       json_t **ret_done, struct error *err)
{
	_cleanup_json_ json_t *object = NULL;
	const char *key, *refusal;
	json_t *value;

	if (json_parse(line, length, "answer", &object, err) < 0)
		return -1;
	if (!json_is_object(object))
		return error_set(err, "stokerd answered with something else than an object");
	refusal = json_string_or(object, "error", NULL);
	if (refusal)
		return error_set(err, "%s", refusal);
	if (json_bool_or(object, "done", false)) {
		if (ret_done)
			*ret_done = json_incref(object);
		return 1;
	}
	if (fn)
		json_object_foreach (object, key, value)
			fn(data, key, value);
	return 0;
}

static int take_answers(struct strbuf *in, answer_fn *fn, void *data, json_t **ret_done,
			struct error *err)
{
	for (;;) {
		_cleanup_free_ char *line = NULL;
		size_t length;
		int result = protocol_take_line(in, PROTOCOL_ANSWER_MAX, &line, &length);

		if (result < 0)
			return error_set(err, "stokerd answered with an endless line");
		if (result == 0)
			return 0;
		result = take_answer(line, length, fn, data, ret_done, err);
		if (result != 0)
			return result;
	}
}

static int converse(int fd, const char *request, answer_fn *fn, void *data, json_t **ret_done,
		    struct error *err)
{
	_cleanup_strbuf_ struct strbuf in = { 0 };
	char bytes[65536];
	int result = 0;

	/* A daemon that refuses us may have closed already: what it says comes first. */
	if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0 && errno != EPIPE)
		return error_errno(err, errno, "cannot ask stokerd");
	while (result == 0) {
		ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_errno(err, errno, "cannot read stokerd's answer");
		if (n == 0)
			return error_set(err, "stokerd closed the connection before it was done "
					      "(it was stopped, or its log says why)");
		strbuf_add(&in, bytes, (size_t)n);
		result = take_answers(&in, fn, data, ret_done, err);
	}
	return result < 0 ? -1 : 0;
}

int client_ask(const struct ctl *ctl, const struct request *request, answer_fn *fn, void *data,
	       json_t **ret_done, struct error *err)
{
	_cleanup_free_ char *path = NULL, *line = NULL;
	_cleanup_close_ int fd = -1;

	if (find_socket(ctl, &path, err) < 0 || dial(path, &fd, err) < 0)
		return -1;
	line = protocol_format_request(request);
	return converse(fd, line, fn, data, ret_done, err);
}

static int read_first_line(int fd, struct strbuf *in, struct error *err)
{
	for (;;) {
		_cleanup_free_ char *line = NULL;
		char bytes[4096];
		size_t length;
		ssize_t n;

		if (protocol_take_line(in, PROTOCOL_ANSWER_MAX, &line, &length) > 0)
			return take_answer(line, length, NULL, NULL, NULL, err);
		n = recv(fd, bytes, sizeof(bytes), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_set(err, "stokerd closed the connection without an answer");
		strbuf_add(in, bytes, (size_t)n);
	}
}

int client_open_session(const struct ctl *ctl, const struct request *request, int *ret_fd,
			struct strbuf *ret_in, struct error *err)
{
	_cleanup_free_ char *path = NULL, *line = protocol_format_request(request);
	_cleanup_close_ int fd = -1;

	if (strlen(line) > PROTOCOL_REQUEST_MAX)
		return error_set(err, "the command has more than %d bytes", PROTOCOL_REQUEST_MAX);
	if (find_socket(ctl, &path, err) < 0 || dial(path, &fd, err) < 0)
		return -1;
	if (send(fd, line, strlen(line), MSG_NOSIGNAL) < 0 && errno != EPIPE)
		return error_errno(err, errno, "cannot ask stokerd");
	if (read_first_line(fd, ret_in, err) < 0)
		return -1;
	*ret_fd = take_fd(&fd);
	return 0;
}

int client_tell(const struct ctl *ctl, const struct request *request)
{
	struct error err = { 0 };

	return client_ask(ctl, request, NULL, NULL, NULL, &err) < 0 ? ctl_fail(&err) : EXIT_DONE;
}

int request_init(struct request *ret, enum protocol_command command, const struct ctl *ctl,
		 struct error *err)
{
	*ret = (struct request){
		.command = command,
		.follow = ctl->is_following,
		.lines = ctl->lines,
		.timeout_ms = ctl->timeout_ms,
	};
	if (ctl->arg_count == 0)
		return 0;
	if (strlen(ctl->args[0]) > PROTOCOL_NAME_MAX)
		return error_set(err, "there is no instance of such a long name");
	memcpy(ret->name, ctl->args[0], strlen(ctl->args[0]) + 1);
	return 0;
}
