/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's books about sessions: numbers, credit, who listens. control/ opens them by way of the
 * instance; channel.c brings what the guest says, which is believed as little as all else.
 */
#include "guest/exec.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/strbuf.h"
#include "guest-init/protocol.h"

struct exec {
	struct channel *channel; /* borrowed; NULL: it is lost */
	uint16_t number;
	struct exec_callbacks callbacks;
	void *data;
	bool is_heard; /* false: nobody listens, and only the number is kept until its end */
	bool has_ended;
	size_t credit; /* bytes that it may say */
	size_t room;   /* bytes of input that it takes */
	struct exec *next;
};

void exec_request_reset(struct exec_request *request)
{
	strv_reset(&request->command);
	strv_reset(&request->environment);
	free(request->user);
	free(request->working_dir);
	*request = (struct exec_request){ 0 };
}

static struct exec *find(struct exec *list, unsigned number)
{
	while (list && list->number != number)
		list = list->next;
	return list;
}

static void unlink_exec(struct exec *exec)
{
	struct exec **at = channel_execs(exec->channel);

	while (*at != exec)
		at = &(*at)->next;
	*at = exec->next;
	exec->channel = NULL;
}

/* --- asking ---------------------------------------------------------------------------------- */

static void add_entry(struct strbuf *out, enum config_tag tag, const char *text)
{
	struct config_entry entry = { htole32(tag), htole32((uint32_t)strlen(text)) };

	strbuf_add(out, &entry, sizeof(entry));
	strbuf_puts(out, text);
}

static void put_request(const struct exec_request *request, struct strbuf *out)
{
	struct frame_exec how = {
		.flags = htole32((request->has_terminal ? EXEC_TTY : 0) |
				 (request->has_input ? EXEC_INPUT : 0) |
				 (request->is_detached ? EXEC_DETACHED : 0)),
		.size = { htole16(request->rows), htole16(request->columns) },
	};

	strbuf_add(out, &how, sizeof(how));
	STRV_EACH (word, &request->command)
		add_entry(out, CONFIG_COMMAND, word);
	STRV_EACH (entry, &request->environment)
		add_entry(out, CONFIG_ENVIRONMENT, entry);
	if (request->user)
		add_entry(out, CONFIG_USER, request->user);
	if (request->working_dir)
		add_entry(out, CONFIG_WORKING_DIR, request->working_dir);
}

int exec_start(struct channel *channel, const struct exec_request *request,
	       const struct exec_callbacks *callbacks, void *data, struct exec **ret,
	       struct error *err)
{
	struct exec **list = channel_execs(channel);
	_cleanup_strbuf_ struct strbuf payload = { 0 };
	uint16_t number = 1;
	struct exec *exec;
	size_t count = 0;

	_Static_assert((int)EXEC_FIRST_CREDIT == (int)EXEC_WINDOW, "one window");
	for (exec = *list; exec; exec = exec->next)
		count++;
	if (count >= EXEC_SESSIONS_MAX)
		return error_set(err, "%d sessions run already (end one)", EXEC_SESSIONS_MAX);
	put_request(request, &payload);
	if (payload.length > FRAME_PAYLOAD_MAX)
		return error_set(err, "the command and its environment have %zu bytes (at most %d)",
				 payload.length, FRAME_PAYLOAD_MAX);
	while (find(*list, number))
		number++;
	exec = xcalloc(1, sizeof(*exec));
	exec->channel = channel;
	exec->number = number;
	exec->callbacks = *callbacks;
	exec->data = data;
	exec->is_heard = true;
	exec->credit = exec->room = EXEC_WINDOW;
	exec->next = *list;
	*list = exec;
	channel_send_session(channel, FRAME_EXEC, number, payload.data, payload.length);
	*ret = exec;
	return 0;
}

struct exec *exec_free(struct exec *exec)
{
	if (!exec)
		return NULL;
	if (exec->channel && !exec->has_ended) {
		/* Its number is taken until the guest has heard this. */
		channel_send_session(exec->channel, FRAME_EXEC_KILL, exec->number, NULL, 0);
		exec->is_heard = false;
		return NULL;
	}
	free(exec);
	return NULL;
}

size_t exec_room(const struct exec *exec)
{
	return exec->channel && !exec->has_ended ? exec->room : 0;
}

static void send_frame(struct exec *exec, enum frame_type type, const void *payload, size_t length)
{
	if (exec->channel && !exec->has_ended)
		channel_send_session(exec->channel, type, exec->number, payload, length);
}

void exec_input(struct exec *exec, const void *bytes, size_t length)
{
	if (length > exec_room(exec))
		return;
	exec->room -= length;
	send_frame(exec, FRAME_EXEC_INPUT, bytes, length);
}

void exec_grant(struct exec *exec, size_t bytes)
{
	struct frame_credit credit = { .bytes = htole32((uint32_t)bytes) };

	exec->credit += bytes;
	send_frame(exec, FRAME_EXEC_CREDIT, &credit, sizeof(credit));
}

void exec_signal(struct exec *exec, int number)
{
	struct frame_signal frame = { .number = htole32((uint32_t)number) };

	send_frame(exec, FRAME_EXEC_SIGNAL, &frame, sizeof(frame));
}

void exec_resize(struct exec *exec, uint16_t rows, uint16_t columns)
{
	struct frame_size size = { htole16(rows), htole16(columns) };

	send_frame(exec, FRAME_EXEC_RESIZE, &size, sizeof(size));
}

/* --- hearing --------------------------------------------------------------------------------- */

static int no_session(unsigned number, struct error *err)
{
	return error_set(err, "guest speaks of session %u, which there is not", number);
}

int exec_on_output(struct exec *list, unsigned number, bool is_error, const void *bytes,
		   size_t length, struct error *err)
{
	struct exec *exec = find(list, number);

	if (!exec)
		return no_session(number, err);
	if (length > exec->credit)
		return error_set(err, "guest's session %u says more than it may", number);
	exec->credit -= length;
	if (exec->is_heard && length)
		exec->callbacks.output(exec->data, is_error, bytes, length);
	return 0;
}

int exec_on_room(struct exec *list, unsigned number, uint32_t bytes, struct error *err)
{
	struct exec *exec = find(list, number);

	if (!exec)
		return no_session(number, err);
	if (bytes > EXEC_WINDOW - exec->room)
		return error_set(err, "guest's session %u takes more input than there was", number);
	exec->room += bytes;
	if (exec->is_heard)
		exec->callbacks.room(exec->data);
	return 0;
}

static void end(struct exec *exec, const struct channel_exit *how)
{
	unlink_exec(exec);
	exec->has_ended = true;
	if (exec->is_heard)
		exec->callbacks.ended(exec->data, how);
	else
		free(exec);
}

int exec_on_end(struct exec *list, unsigned number, const struct channel_exit *how,
		struct error *err)
{
	struct exec *exec = find(list, number);

	if (!exec)
		return no_session(number, err);
	end(exec, how);
	return 0;
}

void exec_lose_all(struct exec **list)
{
	const struct channel_exit lost = { .kind = CHANNEL_INIT_ERROR,
					   .message = "the VM ended, or its channel was lost" };

	while (*list)
		end(*list, &lost);
}
