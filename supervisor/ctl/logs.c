/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stokerctl logs: what a VM said, from the log that the daemon keeps of it. The daemon knows lines
 * and their time; what is picked by severity or stream is picked here, so that it costs the daemon
 * no more than the reading.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "ctl/client.h"
#include "ctl/print.h"
#include "ctl/since.h"
#include "model/logline.h"

struct logs {
	const char *name;
	bool is_json;
	int severity;	  /* at most */
	unsigned streams; /* bits: places in logline_streams */
	/* The newest lines that were picked, until it is known that no newer ones are there. */
	char **kept; /* owned, as the lines; NULL: nothing is kept back */
	size_t kept_max, kept_count, kept_next;
};

static void set_span(json_t *object, const char *key, struct span span)
{
	if (span.length)
		json_object_set_new(object, key, protocol_text(span.at, span.length));
}

static void print_json(const struct logs *logs, const struct logline *line)
{
	_cleanup_json_ json_t *object = json_object();
	_cleanup_strbuf_ struct strbuf message = { 0 };
	_cleanup_free_ char *text = NULL;

	logline_unescape(line->message, &message);
	json_object_set_new(object, "vm", json_string(logs->name));
	set_span(object, "time", line->time);
	set_span(object, "stream", line->stream);
	json_object_set_new(object, "severity", json_string(logline_severities[line->severity]));
	set_span(object, "facility", line->facility);
	set_span(object, "tag", line->tag);
	set_span(object, "pid", line->pid);
	set_span(object, "data", line->data);
	json_object_set_new(object, "message",
			    protocol_text(strbuf_text(&message), message.length));
	/* No byte of a guest's may steer a terminal: JSON has escapes for all but ASCII. */
	text = json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII);
	for (char *at = text; *at; at++)
		putc(*at == 0x7f ? '?' : *at, stdout);
	putc('\n', stdout);
}

/* A line without its newline. */
static void print_line(const struct logs *logs, const char *text)
{
	struct logline line;

	if (logs->is_json) {
		if (logline_parse(text, strlen(text), &line))
			print_json(logs, &line);
		return;
	}
	print_text(stdout, text);
	putc('\n', stdout);
}

static bool is_picked(const struct logs *logs, const char *text)
{
	struct logline line;
	unsigned stream = 0;

	if (!logline_parse(text, strlen(text), &line))
		return false;
	while (strncmp(logline_streams[stream], line.stream.at, line.stream.length) != 0)
		stream++;
	return line.severity <= logs->severity && (logs->streams & 1u << stream);
}

static void release(struct logs *logs)
{
	size_t first = logs->kept_next + logs->kept_max - logs->kept_count;

	for (size_t i = 0; i < logs->kept_count; i++) {
		char *line = logs->kept[(first + i) % logs->kept_max];

		print_line(logs, line);
		free(line);
	}
	free(logs->kept);
	logs->kept = NULL;
	logs->kept_count = 0;
}

static void keep(struct logs *logs, const char *line)
{
	char **slot = &logs->kept[logs->kept_next];

	if (logs->kept_count == logs->kept_max)
		free(*slot);
	else
		logs->kept_count++;
	*slot = xstrdup(line);
	logs->kept_next = (logs->kept_next + 1) % logs->kept_max;
}

static void take_lines(struct logs *logs, const char *lines)
{
	bool picks_all = logs->severity == 7 && logs->streams == UINT_MAX;
	_cleanup_free_ char *copy = NULL;
	char *rest, *line;

	if (picks_all && !logs->is_json) { /* whatever it is */
		print_text(stdout, lines);
		return;
	}
	copy = rest = xstrdup(lines);
	while ((line = strsep(&rest, "\n"))) {
		if (!*line || !is_picked(logs, line))
			continue;
		if (logs->kept)
			keep(logs, line);
		else
			print_line(logs, line);
	}
}

static void on_answer(void *data, const char *key, const json_t *value)
{
	struct logs *logs = data;

	if (strcmp(key, "log") == 0 && json_is_string(value))
		take_lines(logs, json_string_value(value));
	if (strcmp(key, "now") == 0)
		release(logs);
	if (strcmp(key, "gap") == 0) {
		fflush(stdout);
		fputs("stokerctl: lines are missing here (rotated away before they were read)\n",
		      stderr);
	}
	fflush(stdout);
}

/* --- what to pick ------------------------------------------------------------------------------
 */

static int parse_severity(const char *text, int *ret, struct error *err)
{
	for (int i = 0; logline_severities[i]; i++)
		if (strcmp(logline_severities[i], text) == 0 ||
		    (text[0] == '0' + i && text[1] == '\0')) {
			*ret = i;
			return 0;
		}
	return error_set(err,
			 "--severity %s: not one of emerg, alert, crit, err, warning, notice, "
			 "info and debug, or 0 to 7",
			 text);
}

static int parse_streams(const char *text, unsigned *ret, struct error *err)
{
	_cleanup_free_ char *copy = xstrdup(text);
	char *rest = copy, *name;

	*ret = 0;
	while ((name = strsep(&rest, ","))) {
		unsigned i = 0;

		while (logline_streams[i] && strcmp(logline_streams[i], name) != 0)
			i++;
		if (!logline_streams[i])
			return error_set(err,
					 "--stream %s: not one of stdout, stderr, kernel, syslog, "
					 "init, console and stoker",
					 name);
		*ret |= 1u << i;
	}
	return 0;
}

static uint64_t clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* An error is one of usage. */
static int read_options(const struct ctl *ctl, struct logs *logs, uint64_t *ret_since_ms,
			struct error *err)
{
	*ret_since_ms = 0;
	if (ctl->severity && parse_severity(ctl->severity, &logs->severity, err) < 0)
		return -1;
	if (ctl->streams && parse_streams(ctl->streams, &logs->streams, err) < 0)
		return -1;
	if (ctl->since && since_parse(ctl->since, clock_ms(), ret_since_ms, err) < 0)
		return error_wrap(err, "--since");
	return 0;
}

int ctl_logs(const struct ctl *ctl)
{
	struct logs logs = { .is_json = ctl->is_json, .severity = 7, .streams = UINT_MAX };
	struct error err = { 0 };
	struct request request;
	uint64_t since_ms;
	int result;

	if (read_options(ctl, &logs, &since_ms, &err) < 0) {
		ctl_fail(&err);
		return EXIT_USAGE;
	}
	if (request_init(&request, COMMAND_LOGS, ctl, &err) < 0)
		return ctl_fail(&err);
	logs.name = request.name;
	request.since_ms = since_ms;
	if (since_ms && !ctl->has_lines)
		request.lines = 0;
	if (request.lines && (ctl->severity || ctl->streams)) {
		logs.kept_max = request.lines;
		logs.kept = xcalloc(logs.kept_max, sizeof(*logs.kept));
		request.lines = 0; /* how many must be read for so many is not known */
	}
	result = client_ask(ctl, &request, on_answer, &logs, NULL, &err);
	release(&logs);
	return result < 0 ? ctl_fail(&err) : EXIT_DONE;
}
