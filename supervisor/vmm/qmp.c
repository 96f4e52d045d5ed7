/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's half of QMP as far as qemu.c needs it: greeting, qmp_capabilities, then events
 * (SHUTDOWN and GUEST_PANICKED, qapi/run-state.json of QEMU). One JSON object per line.
 */
#include "vmm/qmp.h"

#include <ctype.h>
#include <errno.h>
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

struct qmp {
	struct qmp_reader reader;
	struct watch *watch; /* owned; NULL once the stream ended */
	int fd;		     /* owned; -1 likewise */
};

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
		*ret_reply = "{\"execute\":\"qmp_capabilities\"}\n";
		return 0;
	}
	if (!reader->record.greeted)
		return error_set(err, "QMP: a message before the greeting");
	if (json_object_get(message, "error"))
		return error_set(err, "QMP: a command was refused");
	if (json_object_get(message, "return"))
		reader->record.ready = true;
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

static void stop(struct qmp *qmp)
{
	qmp->watch = watch_free(qmp->watch);
	if (qmp->fd >= 0)
		close(qmp->fd);
	qmp->fd = -1;
}

/* False when there is nothing more, now or ever. */
static bool read_some(struct qmp *qmp)
{
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
	/* The only command there is, into an empty socket: it fits. A failure is an end as well,
	 * which the next read finds. */
	if (reply)
		(void)!send(qmp->fd, reply, strlen(reply), MSG_DONTWAIT | MSG_NOSIGNAL);
	return true;
}

static void on_readable(struct watch *watch, unsigned events, void *data)
{
	(void)watch;
	(void)events;
	for (int i = 0; i < READS_PER_EVENT && read_some(data); i++)
		;
}

struct qmp *qmp_new(struct loop *loop, int fd)
{
	struct qmp *qmp = xcalloc(1, sizeof(*qmp));

	qmp->fd = fd;
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
	stop(qmp);
	qmp_reader_reset(&qmp->reader);
	free(qmp);
	return NULL;
}
