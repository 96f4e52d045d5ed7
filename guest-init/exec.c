/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by main.c with the host's frames, the loop's events and the children it reaps. A session
 * is over when its first process was reaped and what it had said is read; what it left running goes
 * with it, by its control group, unless it was detached.
 */
#include "guest-init/exec.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest-init/exec_process.h"

enum {
	OUTPUT_CHUNK = 8 << 10,
	/* For the end of each: nothing else may take that. */
	KEPT_ROOM = EXEC_SESSIONS_MAX * (sizeof(struct frame_header) + sizeof(struct frame_exit)),
};

static size_t slot_of(const struct execs *execs, const struct exec_session *session)
{
	return (size_t)(session - execs->sessions);
}

static struct exec_session *find(struct execs *execs, uint16_t number)
{
	for (size_t i = 0; i < EXEC_SESSIONS_MAX; i++)
		if (execs->sessions[i].is_used && !execs->sessions[i].is_detached &&
		    execs->sessions[i].number == number)
			return &execs->sessions[i];
	return NULL;
}

/* --- watching ------------------------------------------------------------------------------- */

/* Out of the set and not masked: the end of a pipe is told whatever the mask. */
static void watch(struct execs *execs, struct exec_session *session, enum exec_end end, bool wanted)
{
	struct epoll_event event = { .events = end == EXEC_END_INPUT ? EPOLLOUT : EPOLLIN };

	wanted = wanted && session->fds[end] >= 0;
	if (wanted == session->is_watched[end])
		return;
	event.data.u64 = execs->token + slot_of(execs, session) * EXEC_ENDS + end;
	epoll_ctl(execs->epoll, wanted ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, session->fds[end], &event);
	session->is_watched[end] = wanted;
}

static void close_end(struct execs *execs, struct exec_session *session, enum exec_end end)
{
	watch(execs, session, end, false);
	if (session->fds[end] >= 0)
		close(session->fds[end]);
	session->fds[end] = -1;
}

/* --- its end -------------------------------------------------------------------------------- */

static void release(struct execs *execs, struct exec_session *session)
{
	for (int end = 0; end < EXEC_ENDS; end++)
		close_end(execs, session, (enum exec_end)end);
	free(session->input);
	exec_process_forget(session);
	*session = (struct exec_session){ 0 };
}

static void send_end(struct execs *execs, uint16_t number, const struct frame_exit *report)
{
	channel_session_send(execs->channel, FRAME_EXEC_END, number, report, sizeof(*report));
}

static void refuse(struct execs *execs, uint16_t number, const struct failure *why)
{
	struct frame_exit report = { .kind = htole32(EXIT_INIT_ERROR) };

	memcpy(report.message, why->text, sizeof(report.message));
	send_end(execs, number, &report);
}

static void finish(struct execs *execs, struct exec_session *session)
{
	int status = session->status;
	struct frame_exit report = {
		.kind = htole32(WIFEXITED(status) ? EXIT_CODE : EXIT_SIGNAL),
		.code = (int32_t)htole32(
			(uint32_t)(WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status))),
	};

	/* What a detached one started may go on. */
	if (!session->is_detached) {
		send_end(execs, session->number, &report);
		exec_process_kill(session);
	}
	release(execs, session);
}

/* --- moving bytes --------------------------------------------------------------------------- */

static size_t spare_room(const struct execs *execs)
{
	size_t room = channel_session_room(execs->channel);

	return room > KEPT_ROOM ? room - KEPT_ROOM : 0;
}

/* What a detached one says goes to the log. */
static enum log_stream log_stream(enum exec_end end)
{
	return end == EXEC_END_ERRORS ? STREAM_STDERR : STREAM_STDOUT;
}

static size_t output_room(const struct execs *execs, const struct exec_session *session,
			  enum exec_end end)
{
	size_t room;

	if (session->is_detached)
		return channel_has_room(execs->channel, log_stream(end)) ? OUTPUT_CHUNK : 0;
	room = spare_room(execs);
	room = room < session->credit ? room : session->credit;
	return room < OUTPUT_CHUNK ? room : OUTPUT_CHUNK;
}

/* 1: go on; 0: nothing there now, or no room; the end of what is said closes it. */
static int read_output(struct execs *execs, struct exec_session *session, enum exec_end end)
{
	char bytes[OUTPUT_CHUNK];
	size_t room = output_room(execs, session, end);
	ssize_t n;

	if (session->fds[end] < 0 || !room)
		return 0;
	n = read(session->fds[end], bytes, room);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	/* EIO: nobody has the terminal open any more. */
	if (n <= 0) {
		close_end(execs, session, end);
		return 0;
	}
	if (session->is_detached) {
		channel_log(execs->channel, log_stream(end), bytes, (size_t)n);
		return 1;
	}
	session->credit -= (uint32_t)n;
	channel_session_send(execs->channel,
			     end == EXEC_END_ERRORS ? FRAME_EXEC_STDERR : FRAME_EXEC_STDOUT,
			     session->number, bytes, (size_t)n);
	return 1;
}

static void grant(struct execs *execs, struct exec_session *session)
{
	struct frame_credit credit = { .bytes = htole32((uint32_t)session->taken) };

	if (!session->taken || spare_room(execs) < sizeof(credit))
		return;
	channel_session_send(execs->channel, FRAME_EXEC_ROOM, session->number, &credit,
			     sizeof(credit));
	session->taken = 0;
}

static void end_input(struct execs *execs, struct exec_session *session)
{
	char end = 4; /* what a terminal takes for the end of input */

	if (!session->has_terminal)
		close_end(execs, session, EXEC_END_INPUT);
	else if (write(session->fds[EXEC_END_INPUT], &end, 1) == 1)
		session->input_ends = false;
}

static void write_input(struct execs *execs, struct exec_session *session)
{
	ssize_t n;

	if (session->fds[EXEC_END_INPUT] < 0)
		return;
	while (session->input_length) {
		n = write(session->fds[EXEC_END_INPUT], session->input, session->input_length);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) { /* it reads no more; what still comes is dropped */
			close_end(execs, session, EXEC_END_INPUT);
			n = (ssize_t)session->input_length;
		}
		session->taken += (size_t)n;
		session->input_length -= (size_t)n;
		memmove(session->input, session->input + n, session->input_length);
	}
	if (!session->input_length && session->input_ends)
		end_input(execs, session);
}

static void tend(struct execs *execs, struct exec_session *session)
{
	bool is_empty = true;

	write_input(execs, session);
	grant(execs, session);
	if (!session->pid) {
		for (int end = EXEC_END_OUTPUT; end < EXEC_ENDS; end++) {
			while (read_output(execs, session, (enum exec_end)end))
				;
			/* Without room there may be more to read. */
			is_empty = is_empty && (session->fds[end] < 0 ||
						output_room(execs, session, (enum exec_end)end));
		}
		if (is_empty) {
			finish(execs, session);
			return;
		}
	}
	watch(execs, session, EXEC_END_INPUT, session->input_length > 0 || session->input_ends);
	for (int end = EXEC_END_OUTPUT; end < EXEC_ENDS; end++)
		watch(execs, session, (enum exec_end)end,
		      output_room(execs, session, (enum exec_end)end) > 0);
}

void exec_tend(struct execs *execs)
{
	for (size_t i = 0; i < EXEC_SESSIONS_MAX; i++)
		if (execs->sessions[i].is_used)
			tend(execs, &execs->sessions[i]);
}

void exec_on_event(struct execs *execs, uint64_t token)
{
	size_t place = (size_t)(token - execs->token);
	struct exec_session *session = &execs->sessions[place / EXEC_ENDS];
	enum exec_end end = (enum exec_end)(place % EXEC_ENDS);

	/* An earlier event of this turn may have ended it. */
	if (place >= EXEC_TOKENS || !session->is_used)
		return;
	if (end == EXEC_END_INPUT)
		write_input(execs, session);
	else
		read_output(execs, session, end);
}

/* --- starting ------------------------------------------------------------------------------- */

static struct exec_session *take_place(struct execs *execs)
{
	for (size_t i = 0; i < EXEC_SESSIONS_MAX; i++)
		if (!execs->sessions[i].is_used)
			return &execs->sessions[i];
	return NULL;
}

static int start(struct execs *execs, uint16_t number, const void *payload, size_t length,
		 struct config *asked, struct failure *why)
{
	struct exec_session *session = take_place(execs);
	struct frame_exec how;

	if (!session)
		return failure_set(why, "%d sessions run already (end one)", EXEC_SESSIONS_MAX);
	if (execs->root < 0)
		return failure_set(why, "the workload was not started");
	memcpy(&how, payload, sizeof(how));
	if (config_parse((const char *)payload + sizeof(how), length - sizeof(how),
			 CONFIG_FROM_HOST, asked, why) < 0)
		return -1;
	if (!asked->command.count || !*asked->command.items[0])
		return failure_set(why, "nothing to run");
	*session = (struct exec_session){ .is_used = true,
					  .number = number,
					  .is_detached = le32toh(how.flags) & EXEC_DETACHED,
					  .has_terminal = le32toh(how.flags) & EXEC_TTY,
					  .credit = EXEC_WINDOW,
					  .fds = { -1, -1, -1 } };
	session->input = malloc(EXEC_WINDOW);
	if (!session->input || exec_process_start(execs, session, &how, asked, why) < 0) {
		release(execs, session);
		return -1;
	}
	return 0;
}

static void on_start(struct execs *execs, uint16_t number, const void *payload, size_t length)
{
	struct config asked = { 0 };
	struct failure why = { "out of memory" };

	if (start(execs, number, payload, length, &asked, &why) < 0) {
		refuse(execs, number, &why);
	} else {
		struct frame_exec how;
		struct frame_exit report = { .kind = htole32(EXIT_CODE) };

		memcpy(&how, payload, sizeof(how));
		if (le32toh(how.flags) & EXEC_DETACHED)
			send_end(execs, number, &report);
	}
	config_reset(&asked);
}

/* --- the host's frames ---------------------------------------------------------------------- */

static uint32_t number_in(const void *payload)
{
	uint32_t number;

	memcpy(&number, payload, sizeof(number));
	return le32toh(number);
}

static void on_input(struct execs *execs, struct exec_session *session, const void *payload,
		     size_t length)
{
	if (!length) {
		session->input_ends = true;
	} else if (session->fds[EXEC_END_INPUT] < 0) {
		session->taken += length;
	} else if (length <= EXEC_WINDOW - session->input_length) {
		memcpy(session->input + session->input_length, payload, length);
		session->input_length += length;
	}
	write_input(execs, session);
}

static void on_signal(const struct exec_session *session, uint32_t number)
{
	if (session->pid && number > 0 && number <= 64)
		exec_process_signal(session, (int)number);
}

static void on_resize(const struct exec_session *session, const void *payload)
{
	struct winsize window = { 0 };
	struct frame_size size;

	memcpy(&size, payload, sizeof(size));
	window.ws_row = le16toh(size.rows);
	window.ws_col = le16toh(size.columns);
	if (session->has_terminal && session->fds[EXEC_END_OUTPUT] >= 0)
		ioctl(session->fds[EXEC_END_OUTPUT], TIOCSWINSZ, &window);
}

/* Nobody listens any more: it ends, unheard. */
static void abandon(struct execs *execs, struct exec_session *session)
{
	exec_process_kill(session);
	release(execs, session);
}

/* The host waits for an end, to use the number again. */
static void kill_session(struct execs *execs, struct exec_session *session)
{
	struct frame_exit report = { .kind = htole32(EXIT_SIGNAL),
				     .code = (int32_t)htole32(SIGKILL) };

	send_end(execs, session->number, &report);
	abandon(execs, session);
}

bool exec_on_frame(struct execs *execs, unsigned type, uint16_t number, const void *payload,
		   size_t length)
{
	struct exec_session *session = find(execs, number);

	if (type == FRAME_EXEC) {
		if (length < sizeof(struct frame_exec) || session)
			return false;
		on_start(execs, number, payload, length);
		return true;
	}
	if ((type == FRAME_EXEC_CREDIT && length != sizeof(struct frame_credit)) ||
	    (type == FRAME_EXEC_SIGNAL && length != sizeof(struct frame_signal)) ||
	    (type == FRAME_EXEC_RESIZE && length != sizeof(struct frame_size)) ||
	    (type == FRAME_EXEC_KILL && length))
		return false;
	if (!session) /* its end and this frame crossed */
		return true;
	if (type == FRAME_EXEC_INPUT)
		on_input(execs, session, payload, length);
	else if (type == FRAME_EXEC_CREDIT)
		session->credit += number_in(payload);
	else if (type == FRAME_EXEC_SIGNAL)
		on_signal(session, number_in(payload));
	else if (type == FRAME_EXEC_RESIZE)
		on_resize(session, payload);
	else
		kill_session(execs, session);
	return true;
}

bool exec_on_reaped(struct execs *execs, pid_t pid, int status)
{
	for (size_t i = 0; i < EXEC_SESSIONS_MAX; i++) {
		struct exec_session *session = &execs->sessions[i];

		if (!session->is_used || session->pid != pid)
			continue;
		session->pid = 0;
		session->status = status;
		return true;
	}
	return false;
}

void exec_on_gone(struct execs *execs)
{
	for (size_t i = 0; i < EXEC_SESSIONS_MAX; i++)
		if (execs->sessions[i].is_used && !execs->sessions[i].is_detached)
			abandon(execs, &execs->sessions[i]);
}

void exec_init(struct execs *execs, struct channel *channel, const struct config *config, int epoll,
	       uint64_t token)
{
	*execs = (struct execs){
		.channel = channel, .config = config, .epoll = epoll, .token = token, .root = -1
	};
}
