/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's half of QMP as far as qemu.c needs it: greeting, qmp_capabilities, then events
 * (SHUTDOWN and GUEST_PANICKED, qapi/run-state.json of QEMU) and the answers to our commands, of
 * which one is under way at a time. One JSON object per line.
 */
#include "vmm/qmp.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/json.h"

enum {
	READ_BYTES = 4096,
	READS_PER_EVENT = 16, /* a flood of events waits its turn behind other watches */
	READS_AT_END = 1024,  /* of a dead peer's socket: more than its buffer can hold */
};

/* What can be asked for; in this order when several wait. */
enum ask { ASK_DISKS, ASK_MEMORY, ASK_BALLOON, ASK_RUN, ASK_COUNT };

struct qmp {
	struct qmp_reader reader;
	struct loop *loop;   /* borrowed */
	struct watch *watch; /* owned; NULL once the stream ended */
	struct watch *soon;  /* owned; tells of what can no longer be asked */
	int fd;		     /* owned; -1 once the stream ended */
	qmp_refused_fn *refused;
	void *data;

	bool waits[ASK_COUNT]; /* not sent yet */
	enum ask sent;	       /* while reader.awaited */
	uint32_t last_id;
	uint64_t bandwidth, iops, balloon_bytes;
	bool paused;
};

/* --- the decoder ----------------------------------------------------------------------------- */

static void copy_word(char out[QMP_WORD_MAX], const char *word)
{
	size_t n = 0;

	for (; word[n] && n < QMP_WORD_MAX - 1; n++)
		out[n] = isgraph((unsigned char)word[n]) ? word[n] : '?';
	out[n] = '\0';
}

static void note_event(struct qmp_record *record, const char *event, const json_t *data)
{
	if (strcmp(event, "GUEST_PANICKED") == 0)
		record->panicked = true;
	if (strcmp(event, "SHUTDOWN") == 0) {
		record->shutdown = true;
		copy_word(record->reason, json_string_or(data, "reason", ""));
	}
}

/* The answer to qmp_capabilities has no id; every later one has that of its command. */
static int note_answer(struct qmp_reader *reader, const json_t *message, struct error *err)
{
	const json_t *refusal = json_object_get(message, "error");
	uint64_t id = json_u64_or(message, "id", 0);

	if (!reader->record.ready) {
		reader->record.ready = !refusal;
		return refusal ? error_set(err, "QMP: qmp_capabilities was refused") : 0;
	}
	if (id == 0 || id != reader->awaited)
		return error_set(err, "QMP: an answer to nothing that was asked");
	reader->awaited = 0;
	reader->refused = refusal;
	snprintf(reader->refusal, sizeof(reader->refusal), "%s",
		 json_string_or(refusal, "desc", ""));
	reader->record.memory_bytes = json_u64_or(json_object_get(message, "return"), "base-memory",
						  reader->record.memory_bytes);
	return 0;
}

static int take_line(struct qmp_reader *reader, const char *line, size_t length,
		     const char **ret_reply, struct error *err)
{
	_cleanup_json_ json_t *message = NULL;
	const char *event;

	if (length && line[length - 1] == '\r')
		length--;
	if (length == 0)
		return 0;
	if (json_parse(line, length, "QMP", &message, err))
		return -1;
	if (!json_is_object(message))
		return error_set(err, "QMP: a message that is no object");
	if (json_object_get(message, "QMP")) {
		if (reader->record.greeted)
			return error_set(err, "QMP: a second greeting");
		reader->record.greeted = true;
		*ret_reply = "{\"execute\":\"qmp_capabilities\"}";
		return 0;
	}
	if (!reader->record.greeted)
		return error_set(err, "QMP: a message before the greeting");
	if (json_object_get(message, "error") || json_object_get(message, "return"))
		return note_answer(reader, message, err);
	event = json_string_or(message, "event", NULL);
	if (event)
		note_event(&reader->record, event, json_object_get(message, "data"));
	return 0;
}

int qmp_reader_feed(struct qmp_reader *reader, const char *bytes, size_t length,
		    const char **ret_reply, struct error *err)
{
	while (length) {
		const char *end = memchr(bytes, '\n', length);
		size_t part = end ? (size_t)(end - bytes) : length;

		if (part > QMP_LINE_MAX - reader->line.length)
			return error_set(err, "QMP: a line of more than %d bytes", QMP_LINE_MAX);
		strbuf_add(&reader->line, bytes, part);
		if (!end)
			return 0;
		if (take_line(reader, strbuf_text(&reader->line), reader->line.length, ret_reply,
			      err))
			return -1;
		strbuf_consume(&reader->line, reader->line.length);
		bytes += part + 1;
		length -= part + 1;
	}
	return 0;
}

void qmp_reader_reset(struct qmp_reader *reader)
{
	strbuf_reset(&reader->line);
}

/* --- asking ---------------------------------------------------------------------------------- */

static void tell_refusal(struct qmp *qmp, enum ask ask, const char *why)
{
	static const char *const whats[ASK_COUNT] = {
		[ASK_DISKS] = "limit the disks",
		[ASK_MEMORY] = "say how much memory the guest has",
		[ASK_BALLOON] = "change the balloon",
		[ASK_RUN] = "pause or resume",
	};
	enum vmm_wish run = qmp->paused ? VMM_WISH_PAUSE : VMM_WISH_RESUME;
	struct error err;

	error_set(&err, "QEMU does not %s: %s", whats[ask], why);
	qmp->refused(qmp->data, ask == ASK_RUN ? run : VMM_WISH_LIMIT, &err);
}

static void on_soon(struct watch *watch, unsigned events, void *data)
{
	struct qmp *qmp = data;

	(void)events;
	qmp->soon = watch_free(watch);
	for (enum ask ask = 0; ask < ASK_COUNT; ask++)
		if (qmp->waits[ask]) {
			qmp->waits[ask] = false;
			tell_refusal(qmp, ask, "its monitor has ended the conversation");
		}
}

/* Nobody answers any more. The VM may be at its end: then that is told instead. */
static void give_up(struct qmp *qmp)
{
	if (!qmp->soon)
		qmp->soon = loop_soon(qmp->loop, on_soon, qmp);
}

static void stop(struct qmp *qmp)
{
	qmp->watch = watch_free(qmp->watch);
	if (qmp->fd >= 0)
		close(qmp->fd);
	qmp->fd = -1;
	if (qmp->reader.awaited)
		qmp->waits[qmp->sent] = true;
	qmp->reader.awaited = 0;
	give_up(qmp);
}

/* qapi/block-core.json (ThrottleLimits), machine.json, misc.json of QEMU. */
static json_t *make_command(const struct qmp *qmp, enum ask ask)
{
	uint64_t memory = qmp->reader.record.memory_bytes;

	switch (ask) {
	case ASK_DISKS:
		return json_pack("{s:s, s:{s:s, s:s, s:{s:I, s:I}}}", "execute", "qom-set",
				 "arguments", "path", "/objects/" QMP_DISK_LIMITS, "property",
				 "limits", "value", "bps-total", (json_int_t)qmp->bandwidth,
				 "iops-total", (json_int_t)qmp->iops);
	case ASK_MEMORY:
		return json_pack("{s:s}", "execute", "query-memory-size-summary");
	case ASK_BALLOON: /* says how much the guest keeps */
		return json_pack("{s:s, s:{s:I}}", "execute", "balloon", "arguments", "value",
				 (json_int_t)(memory - qmp->balloon_bytes));
	case ASK_RUN:
		return json_pack("{s:s}", "execute", qmp->paused ? "stop" : "cont");
	case ASK_COUNT:
		break;
	}
	return NULL;
}

/* Into an empty socket, as one is under way at a time: it fits. A failure is an end of the
 * conversation, which the next read finds. */
static void send_line(struct qmp *qmp, const char *command)
{
	_cleanup_free_ char *line = xasprintf("%s\n", command);

	(void)!send(qmp->fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void send_ask(struct qmp *qmp, enum ask ask)
{
	_cleanup_json_ json_t *command = make_command(qmp, ask);
	_cleanup_free_ char *text = NULL;

	qmp->waits[ask] = false;
	qmp->sent = ask;
	if (++qmp->last_id == 0)
		qmp->last_id = 1;
	qmp->reader.awaited = qmp->last_id;
	json_object_set_new(command, "id", json_integer(qmp->last_id));
	text = json_line(command);
	send_line(qmp, text);
}

/* Sends the next one if QEMU has answered the one before. */
static void ask_next(struct qmp *qmp)
{
	if (qmp->fd < 0) {
		give_up(qmp);
		return;
	}
	if (!qmp->reader.record.ready)
		return;
	for (enum ask ask = 0; ask < ASK_COUNT && !qmp->reader.awaited; ask++)
		if (qmp->waits[ask])
			send_ask(qmp, ask);
}

void qmp_limit_disks(struct qmp *qmp, uint64_t bandwidth, uint64_t iops)
{
	qmp->bandwidth = bandwidth;
	qmp->iops = iops;
	qmp->waits[ASK_DISKS] = true;
	ask_next(qmp);
}

void qmp_set_balloon(struct qmp *qmp, uint64_t bytes)
{
	qmp->balloon_bytes = bytes;
	qmp->waits[ASK_BALLOON] = true;
	qmp->waits[ASK_MEMORY] = !qmp->reader.record.memory_bytes;
	ask_next(qmp);
}

void qmp_set_paused(struct qmp *qmp, bool paused)
{
	qmp->paused = paused;
	qmp->waits[ASK_RUN] = true;
	ask_next(qmp);
}

/* --- the conversation ------------------------------------------------------------------------ */

/* False when there is nothing more, now or ever. */
static bool read_some(struct qmp *qmp)
{
	bool was_asked = qmp->reader.awaited;
	char bytes[READ_BYTES];
	const char *reply = NULL;
	ssize_t n = recv(qmp->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	/* ECONNRESET too is an end: QEMU left while a command of ours was unread. */
	if (n <= 0 || qmp_reader_feed(&qmp->reader, bytes, (size_t)n, &reply, NULL)) {
		stop(qmp);
		return false;
	}
	if (reply)
		send_line(qmp, reply);
	if (was_asked && !qmp->reader.awaited && qmp->reader.refused)
		tell_refusal(qmp, qmp->sent, qmp->reader.refusal);
	ask_next(qmp);
	return true;
}

static void on_readable(struct watch *watch, unsigned events, void *data)
{
	(void)watch;
	(void)events;
	for (int i = 0; i < READS_PER_EVENT && read_some(data); i++)
		;
}

struct qmp *qmp_new(struct loop *loop, int fd, qmp_refused_fn *refused, void *data)
{
	struct qmp *qmp = xcalloc(1, sizeof(*qmp));

	qmp->loop = loop;
	qmp->fd = fd;
	qmp->refused = refused;
	qmp->data = data;
	qmp->watch = loop_io(loop, fd, LOOP_READ, on_readable, qmp);
	return qmp;
}

const struct qmp_record *qmp_drain(struct qmp *qmp)
{
	for (int i = 0; qmp->fd >= 0 && i < READS_AT_END && read_some(qmp); i++)
		;
	return &qmp->reader.record;
}

struct qmp *qmp_free(struct qmp *qmp)
{
	if (!qmp)
		return NULL;
	qmp->watch = watch_free(qmp->watch);
	qmp->soon = watch_free(qmp->soon);
	if (qmp->fd >= 0)
		close(qmp->fd);
	qmp_reader_reset(&qmp->reader);
	free(qmp);
	return NULL;
}
