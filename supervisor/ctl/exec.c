/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stokerctl exec: a program in a guest, with this terminal or these streams. Asks as every command
 * does; then the connection speaks the frames of control/protocol.h, until the session ends. Its
 * exit code becomes ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "ctl/client.h"
#include "ctl/print.h"

enum { EXIT_OURS = 125, EXIT_SIGNAL_BASE = 128, CHUNK = 16 << 10 };

struct talk {
	int fd, signals;
	bool has_terminal, wants_input;
	struct strbuf in, out; /* from and to the daemon */
	int exit_code;	       /* -1: not over */
};

/* --- the terminal ------------------------------------------------------------------------------
 */

static struct termios cooked; /* what was there before; for restore(), which atexit calls */
static bool is_raw;

static void restore(void)
{
	if (is_raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &cooked);
	is_raw = false;
}

static int make_raw(struct error *err)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &cooked) < 0)
		return error_set(err, "-t: the standard input is not a terminal");
	raw = cooked;
	cfmakeraw(&raw);
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0)
		return error_errno(err, errno, "cannot set the terminal");
	is_raw = true;
	atexit(restore);
	return 0;
}

static struct session_size window(void)
{
	struct winsize size = { 0 };

	ioctl(STDIN_FILENO, TIOCGWINSZ, &size);
	return (struct session_size){ size.ws_row, size.ws_col };
}

/* --- to the daemon -----------------------------------------------------------------------------
 */

static void put(struct talk *talk, enum session_type type, const void *bytes, size_t length)
{
	struct session_header header = { .length = (uint32_t)length, .type = type };

	strbuf_add(&talk->out, &header, sizeof(header));
	strbuf_add(&talk->out, bytes, length);
}

static void on_input(struct talk *talk)
{
	char bytes[SESSION_INPUT_MAX];
	ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	put(talk, SESSION_INPUT, bytes, n > 0 ? (size_t)n : 0);
	if (n <= 0)
		talk->wants_input = false;
}

/* A size is told; all else is for the program there, but for the end of our own terminal, with
 * which the session is left. */
static void on_signal(struct talk *talk)
{
	struct signalfd_siginfo info;
	struct session_size size;
	uint32_t number;

	if (read(talk->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	number = info.ssi_signo;
	size = window();
	if (number == SIGHUP && talk->has_terminal)
		talk->exit_code = EXIT_SIGNAL_BASE + SIGHUP;
	else if (number != SIGWINCH)
		put(talk, SESSION_SIGNAL, &number, sizeof(number));
	else if (talk->has_terminal)
		put(talk, SESSION_RESIZE, &size, sizeof(size));
}

static int flush_out(struct talk *talk, struct error *err)
{
	ssize_t n = send(talk->fd, talk->out.data, talk->out.length, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR && errno != EPIPE)
		return error_errno(err, errno, "cannot speak to stokerd");
	if (n > 0)
		strbuf_consume(&talk->out, (size_t)n);
	else if (n < 0 && errno == EPIPE) /* what it said last is still to be read */
		strbuf_reset(&talk->out);
	return 0;
}

/* --- from the daemon ---------------------------------------------------------------------------
 */

static void on_end(struct talk *talk, const char *payload)
{
	struct session_end end;
	struct error err;

	memcpy(&end, payload, sizeof(end));
	restore();
	if (end.how == SESSION_EXITED) {
		talk->exit_code = end.code & 0xff;
	} else if (end.how == SESSION_SIGNALLED) {
		talk->exit_code = EXIT_SIGNAL_BASE + (end.code & 0x7f);
	} else {
		error_set(&err, "%.*s", (int)sizeof(end.message) - 1, end.message);
		ctl_fail(&err);
		talk->exit_code = EXIT_OURS;
	}
}

static int take_frame(struct talk *talk, const struct session_header *header, const char *payload,
		      struct error *err)
{
	if (header->type == SESSION_STDOUT || header->type == SESSION_STDERR)
		return fs_write_all(header->type == SESSION_STDOUT ? STDOUT_FILENO : STDERR_FILENO,
				    payload, header->length, err);
	if (header->type != SESSION_ENDED || header->length != sizeof(struct session_end))
		return error_set(err, "stokerd speaks of a session in words that are unknown here "
				      "(are stokerctl and stokerd of one version?)");
	on_end(talk, payload);
	return 0;
}

static int take_frames(struct talk *talk, struct error *err)
{
	struct session_header header;

	while (talk->exit_code < 0 && talk->in.length >= sizeof(header)) {
		memcpy(&header, talk->in.data, sizeof(header));
		if (talk->in.length - sizeof(header) < header.length)
			break;
		if (take_frame(talk, &header, talk->in.data + sizeof(header), err) < 0)
			return -1;
		strbuf_consume(&talk->in, sizeof(header) + header.length);
	}
	return 0;
}

static int on_answer(struct talk *talk, struct error *err)
{
	char bytes[CHUNK];
	ssize_t n = recv(talk->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0)
		return error_errno(err, errno, "cannot hear stokerd");
	if (n == 0)
		return error_set(err, "stokerd closed the connection: the session ended with it");
	strbuf_add(&talk->in, bytes, (size_t)n);
	return take_frames(talk, err);
}

/* Input is read only when all that was read before is on its way: what does not fit waits there. */
static int turn(struct talk *talk, struct error *err)
{
	struct pollfd fds[] = {
		{ .fd = talk->fd, .events = (short)(POLLIN | (talk->out.length ? POLLOUT : 0)) },
		{ .fd = talk->signals, .events = POLLIN },
		{ .fd = talk->wants_input && !talk->out.length ? STDIN_FILENO : -1,
		  .events = POLLIN },
	};

	if (poll(fds, 3, -1) < 0)
		return errno == EINTR ? 0 : error_errno(err, errno, "poll");
	if (fds[1].revents)
		on_signal(talk);
	if (fds[2].revents)
		on_input(talk);
	if (talk->exit_code >= 0)
		return 0;
	if (talk->out.length && flush_out(talk, err) < 0)
		return -1;
	return fds[0].revents & (POLLIN | POLLHUP | POLLERR) ? on_answer(talk, err) : 0;
}

/* --- the command -------------------------------------------------------------------------------
 */

static json_t *describe(const struct ctl *ctl)
{
	struct session_size size = window();
	json_t *object = json_object(), *command = json_array(), *environment = json_array();
	const char *term = getenv("TERM");

	for (size_t i = 1; i < ctl->arg_count; i++)
		json_array_append_new(command, protocol_text(ctl->args[i], strlen(ctl->args[i])));
	if (ctl->has_terminal && term && *term)
		json_array_append_new(environment, json_sprintf("TERM=%s", term));
	for (size_t i = 0; i < ctl->environment_count; i++)
		json_array_append_new(environment, protocol_text(ctl->environment[i],
								 strlen(ctl->environment[i])));
	json_object_set_new(object, "command", command);
	json_object_set_new(object, "environment", environment);
	if (ctl->user)
		json_object_set_new(object, "user", json_string(ctl->user));
	if (ctl->working_dir)
		json_object_set_new(object, "working_dir", json_string(ctl->working_dir));
	json_object_set_new(object, "terminal", json_boolean(ctl->has_terminal));
	json_object_set_new(object, "input", json_boolean(ctl->has_input));
	json_object_set_new(object, "detached", json_boolean(ctl->is_detached));
	if (ctl->has_terminal) {
		json_object_set_new(object, "rows", json_integer(size.rows));
		json_object_set_new(object, "columns", json_integer(size.columns));
	}
	return object;
}

/* With a terminal, what its keys mean is decided there. */
static int watch_signals(void)
{
	static const int numbers[] = {
		SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH
	};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		sigaddset(&set, numbers[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int converse(const struct ctl *ctl, const struct request *request, struct talk *talk,
		    struct error *err)
{
	if (ctl->has_terminal && !isatty(STDIN_FILENO))
		return error_set(err, "-t: the standard input is not a terminal");
	if (client_open_session(ctl, request, &talk->fd, &talk->in, err) < 0)
		return -1;
	talk->signals = watch_signals();
	if (talk->signals < 0)
		return error_errno(err, errno, "signalfd");
	/* Without -i nobody passes keys on: ^C is to be a signal. */
	if (ctl->has_terminal && ctl->has_input && make_raw(err) < 0)
		return -1;
	if (take_frames(talk, err) < 0)
		return -1;
	while (talk->exit_code < 0)
		if (turn(talk, err) < 0)
			return -1;
	return 0;
}

int ctl_exec(const struct ctl *ctl)
{
	struct talk talk = { .fd = -1,
			     .signals = -1,
			     .has_terminal = ctl->has_terminal,
			     .wants_input = ctl->has_input,
			     .exit_code = -1 };
	struct error err = { 0 };
	struct request request;
	int result;

	if (request_init(&request, COMMAND_EXEC, ctl, &err) < 0) {
		ctl_fail(&err);
		return EXIT_OURS;
	}
	request.session = describe(ctl);
	result = converse(ctl, &request, &talk, &err);
	restore();
	if (result < 0) {
		ctl_fail(&err);
		talk.exit_code = EXIT_OURS;
	}
	if (talk.fd >= 0)
		close(talk.fd);
	if (talk.signals >= 0)
		close(talk.signals);
	strbuf_reset(&talk.in);
	strbuf_reset(&talk.out);
	request_reset(&request);
	return talk.exit_code;
}
