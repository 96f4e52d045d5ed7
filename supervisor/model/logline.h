/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line of a VM's log, as instance/logfile writes it: "TIME STREAM TEXT". What the text is made of
 * depends on the stream: of syslog it is "FACILITY.SEVERITY TAG[PID]: [DATA] MESSAGE", of the
 * kernel "SEVERITY: MESSAGE" (guest-init/syslog.c). A guest may have written anything: what does
 * not fit is message.
 */
#ifndef STOKER_MODEL_LOGLINE_H
#define STOKER_MODEL_LOGLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"

/* Bytes inside the line; length 0: it has none. */
struct span {
	const char *at;
	size_t length;
};

struct logline {
	struct span time;     /* RFC 3339, UTC, milliseconds */
	struct span stream;   /* one of logline_streams */
	int severity;	      /* RFC 5424, section 6.2.1: 0 emerg to 7 debug */
	struct span facility; /* its name: "daemon"; as all below of syslog and kernel alone */
	struct span tag, pid;
	struct span data; /* structured data, RFC 5424, section 6.3, without a "-" */
	struct span message;
};

/* NULL-terminated. */
extern const char *const logline_streams[];

/* The eight names, NULL-terminated; the place is the number. */
extern const char *const logline_severities[];

enum { LOGLINE_TIME_LENGTH = sizeof("2026-11-26T06:30:00.000Z") - 1 };

/* `line` without its newline. False: it is none of ours, and *ret is as it was. */
bool logline_parse(const char *line, size_t length, struct logline *ret);

/* The parts of a text of that stream; `time` is left empty. */
void logline_parse_text(const char *stream, const char *text, size_t length, struct logline *ret);

/* Milliseconds since 1970 as a line has them, and back. The text begins all lines of that time or
 * after it when they are compared as bytes. */
void logline_print_time(uint64_t time_ms, char ret[LOGLINE_TIME_LENGTH + 1]);

/* Undoes what instance/logfile did to bytes that could steer a terminal. */
void logline_unescape(struct span text, struct strbuf *out);

/* True when it is structured data from its first byte to its last. */
bool logline_is_data(const char *bytes, size_t length);

#endif
