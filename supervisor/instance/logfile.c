/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called with what guests wrote, so nothing here trusts a byte of it. The rate is a token bucket of
 * a second's worth, three quarters of it for whoever comes first; the last quarter is kept in equal
 * parts for each stream, so that one that floods silences no other. What does not fit is dropped,
 * counted, and said once for each stream when it has room again.
 */
#include "instance/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/strbuf.h"
#include "loop/loop.h"
#include "model/logline.h"

enum {
	STREAMS_MAX = 6,
	LOGFILE_LINE_MAX = 4096,
	LINE_OVERHEAD = 32,	/* date and stream */
	KEPT = 4 * STREAMS_MAX, /* a stream's own part of the rate: one of so many */
	DRAIN_BYTES = 64 << 10, /* of lines, in one write */
};

struct stream {
	char name[12];
	struct strbuf text;	 /* a line that has not ended: streams never mix within one */
	uint64_t tokens;	 /* its own: two seconds' worth at most */
	uint64_t dropped_unsaid; /* not 0: it is in a burst */
};

struct logfile {
	const struct settings *settings; /* borrowed */
	struct forward *forward;	 /* borrowed; NULL: nowhere */
	char *name;			 /* of the instance */
	char *path;
	int fd;
	uint64_t size;
	uint64_t tokens; /* for all streams */
	uint64_t refilled_ms;
	uint64_t dropped;
	struct stream streams[STREAMS_MAX];
	struct strbuf out; /* lines to be written before logfile_write returns */
	uint64_t dated_ms; /* what `date` says */
	char date[LOGLINE_TIME_LENGTH + 1];
};

char *logfile_path(const struct settings *settings, const char *name)
{
	return xasprintf("%s/%s.log", settings->log_dir, name);
}

static int open_file(struct logfile *log, struct error *err)
{
	struct stat st;

	log->fd = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (log->fd < 0 || fstat(log->fd, &st) < 0)
		return error_errno(err, errno, "%s: cannot open", log->path);
	log->size = (uint64_t)st.st_size;
	return 0;
}

/* Of a stream's own tokens; with so many, its burst is over. */
static uint64_t kept_max(const struct logfile *log)
{
	return log->settings->log_rate_bytes / KEPT * 2;
}

int logfile_open(const struct settings *settings, const char *name, struct forward *forward,
		 struct logfile **ret, struct error *err)
{
	_cleanup_free_ char *path = logfile_path(settings, name);
	_cleanup_free_ char *copy = xstrdup(path);
	struct logfile *log;

	if (fs_mkdir_p(dirname(copy), 0750, err) < 0)
		return -1;
	log = xcalloc(1, sizeof(*log));
	log->settings = settings;
	log->name = xstrdup(name);
	log->forward = forward;
	log->path = take_ptr(path);
	log->tokens = settings->log_rate_bytes / 4 * 3;
	for (size_t i = 0; i < STREAMS_MAX; i++)
		log->streams[i].tokens = kept_max(log);
	log->refilled_ms = loop_now_ms();
	if (open_file(log, err) < 0) {
		logfile_close(log);
		return -1;
	}
	*ret = log;
	return 0;
}

/* FILE.2 -> FILE.3, FILE.1 -> FILE.2, FILE -> FILE.1; the oldest falls off. A failure leaves the
 * current file in use: then its lines are dropped at the cap, not written beyond it. */
static void rotate(struct logfile *log)
{
	for (uint32_t i = log->settings->log_files - 1; i > 0; i--) {
		_cleanup_free_ char *from = i == 1 ? xstrdup(log->path)
						   : xasprintf("%s.%u", log->path, i - 1);
		_cleanup_free_ char *to = xasprintf("%s.%u", log->path, i);

		if (rename(from, to) < 0 && errno != ENOENT)
			return;
	}
	if (log->settings->log_files == 1 && unlink(log->path) < 0 && errno != ENOENT)
		return;
	if (log->fd >= 0)
		close(log->fd);
	open_file(log, NULL);
}

/* Writes the first `length` bytes of what waits. On a full disk they are counted, and nobody waits
 * for it. */
static void drain(struct logfile *log, size_t length)
{
	if (!length)
		return;
	if (fs_write_all(log->fd, log->out.data, length, NULL) < 0)
		log->dropped += length;
	else
		log->size += length;
	strbuf_consume(&log->out, length);
}

/* The line that waits from `start` on has to fit into the file: else into the next one, or nowhere.
 */
static void fit(struct logfile *log, size_t start)
{
	size_t length = log->out.length - start;

	/* Not rotated again when only the new file could not be made: that would push out the old
	 * ones, a line at a time. */
	if (log->fd < 0) {
		open_file(log, NULL);
	} else if (log->size + log->out.length > log->settings->log_file_bytes) {
		drain(log, start);
		start = 0;
		rotate(log);
	}
	if (log->fd < 0 || log->size + log->out.length > log->settings->log_file_bytes) {
		log->dropped += length;
		log->out.length = start;
		log->out.data[start] = '\0';
	} else if (log->out.length > DRAIN_BYTES) {
		drain(log, log->out.length);
	}
}

/* Tabs are harmless; bytes from 0x80 on are UTF-8 more often than not. */
static bool is_plain(unsigned char c)
{
	return (c >= 0x20 || c == '\t') && c != 0x7f && c != '\\';
}

static void add_escaped(struct strbuf *out, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		size_t plain = 0;

		while (i + plain < length && is_plain((unsigned char)text[i + plain]))
			plain++;
		strbuf_add(out, text + i, plain);
		i += plain;
		if (i < length)
			strbuf_printf(out, text[i] == '\\' ? "\\\\" : "\\x%02x",
				      (unsigned char)text[i]);
	}
}

/* Of many lines in a millisecond, the first pays for the date. */
static uint64_t read_clock(struct logfile *log)
{
	struct timespec now;
	uint64_t now_ms;

	clock_gettime(CLOCK_REALTIME, &now);
	now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	if (now_ms != log->dated_ms)
		logline_print_time(now_ms, log->date);
	log->dated_ms = now_ms;
	return now_ms;
}

static void write_line(struct logfile *log, const char *stream, const char *text, size_t length)
{
	struct forward_line forwarded = {
		.name = log->name, .stream = stream, .text = text, .length = length
	};
	size_t start = log->out.length;

	forwarded.time_ms = read_clock(log);
	strbuf_add(&log->out, log->date, LOGLINE_TIME_LENGTH);
	strbuf_putc(&log->out, ' ');
	strbuf_puts(&log->out, stream);
	strbuf_putc(&log->out, ' ');
	add_escaped(&log->out, text, length);
	strbuf_putc(&log->out, '\n');
	fit(log, start);
	forward_add(log->forward, &forwarded);
}

static uint64_t lesser(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void refill(struct logfile *log)
{
	uint64_t rate = log->settings->log_rate_bytes, now = loop_now_ms();
	uint64_t elapsed = lesser(now - log->refilled_ms, 2000);
	/* Where a millisecond brings a stream less than a token, wait for more of them. */
	uint64_t kept = rate * elapsed / 1000 / KEPT;

	if (kept == 0)
		return;
	log->refilled_ms = now;
	log->tokens = lesser(log->tokens + rate * elapsed / 1000 / 4 * 3, rate / 4 * 3);
	for (size_t i = 0; i < STREAMS_MAX; i++)
		log->streams[i].tokens = lesser(log->streams[i].tokens + kept, kept_max(log));
}

/* How many of the bytes the tokens pay for, and takes those: first what is everybody's. What stoker
 * puts before a line is paid as well: else a guest that writes empty lines has thirty times its
 * rate written, a call each. */
static size_t take_tokens(struct logfile *log, struct stream *stream, const char *bytes,
			  size_t length)
{
	size_t taken;

	for (taken = 0; taken < length; taken++) {
		uint64_t cost = bytes[taken] == '\n' ? 1 + LINE_OVERHEAD : 1;
		uint64_t shared = lesser(cost, log->tokens);

		if (cost - shared > stream->tokens)
			break;
		log->tokens -= shared;
		stream->tokens -= cost - shared;
	}
	return taken;
}

static void say_dropped(struct logfile *log, struct stream *stream)
{
	char text[96];
	int n = snprintf(text, sizeof(text),
			 "%llu bytes of %s dropped: more than [log] rate allows",
			 (unsigned long long)stream->dropped_unsaid, stream->name);

	write_line(log, "stoker", text, (size_t)n);
	stream->dropped_unsaid = 0;
}

/* Takes room for the bytes, or counts them as dropped. */
static size_t admit(struct logfile *log, struct stream *stream, const char *bytes, size_t length)
{
	size_t admitted = 0;

	refill(log);
	for (size_t i = 0; i < STREAMS_MAX; i++)
		if (log->streams[i].dropped_unsaid &&
		    log->tokens + log->streams[i].tokens >= kept_max(log))
			say_dropped(log, &log->streams[i]);
	if (!stream->dropped_unsaid) /* inside a burst nothing passes, so that no line is torn */
		admitted = take_tokens(log, stream, bytes, length);
	log->dropped += length - admitted;
	stream->dropped_unsaid += length - admitted;
	return admitted;
}

static struct stream *stream_of(struct logfile *log, const char *name)
{
	for (size_t i = 0; i < STREAMS_MAX; i++) {
		struct stream *stream = &log->streams[i];

		if (!stream->name[0])
			snprintf(stream->name, sizeof(stream->name), "%s", name);
		if (strcmp(stream->name, name) == 0)
			return stream;
	}
	return &log->streams[STREAMS_MAX - 1];
}

static void flush(struct logfile *log, struct stream *stream, bool is_cut)
{
	if (is_cut)
		strbuf_puts(&stream->text, "...");
	write_line(log, stream->name, strbuf_text(&stream->text), stream->text.length);
	strbuf_reset(&stream->text);
}

void logfile_write(struct logfile *log, const char *name, const void *bytes, size_t length)
{
	struct stream *stream = stream_of(log, name);
	size_t admitted = admit(log, stream, bytes, length);
	const char *at = bytes, *end = at + admitted;

	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		const char *stop = newline ? newline : end;
		size_t room = LOGFILE_LINE_MAX - stream->text.length;
		size_t take = (size_t)(stop - at) < room ? (size_t)(stop - at) : room;

		strbuf_add(&stream->text, at, take);
		at += take;
		if (newline && at == newline) {
			flush(log, stream, false);
			at++;
		} else if (stream->text.length == LOGFILE_LINE_MAX) {
			flush(log, stream, true);
		}
	}
	/* What comes after the gap is another line. */
	if (admitted < length && stream->text.length)
		flush(log, stream, true);
	drain(log, log->out.length);
}

uint64_t logfile_dropped_bytes(const struct logfile *log)
{
	return log->dropped;
}

struct logfile *logfile_close(struct logfile *log)
{
	if (!log)
		return NULL;
	for (size_t i = 0; i < STREAMS_MAX; i++) {
		struct stream *stream = &log->streams[i];

		if (stream->text.length)
			flush(log, stream, false);
		if (stream->dropped_unsaid)
			say_dropped(log, stream);
		strbuf_reset(&stream->text);
	}
	drain(log, log->out.length);
	strbuf_reset(&log->out);
	if (log->fd >= 0)
		close(log->fd);
	free(log->name);
	free(log->path);
	free(log);
	return NULL;
}
