/* SPDX-License-Identifier: Apache-2.0 */
/* Called for lines that are forwarded, and by stokerctl for those it picks or prints as JSON. */
#include "model/logline.h"

#include <ctype.h>
#include <string.h>
#include <time.h>

const char *const logline_streams[] = { "stdout", "stderr",  "kernel", "syslog",
					"init",	  "console", "stoker", NULL };

const char *const logline_severities[] = { "emerg",  "alert", "crit",  "err", "warning",
					   "notice", "info",  "debug", NULL };

/* RFC 5424, section 6.2.1, as guest-init/syslog.c writes them. */
static const char *const facilities[] = { "kern",     "user",	"mail",	  "daemon", "auth",
					  "syslog",   "lpr",	"news",	  "uucp",   "cron",
					  "authpriv", "ftp",	"ntp",	  "audit",  "alert",
					  "clock",    "local0", "local1", "local2", "local3",
					  "local4",   "local5", "local6", "local7", NULL };

enum { SEVERITY_ERROR = 3, SEVERITY_WARNING, SEVERITY_NOTICE, SEVERITY_INFO };
enum { TAG_MAX = 64 };

/* The place of the word in the list, -1 when it is not there. */
static int find_word(struct span word, const char *const *list)
{
	for (int i = 0; list[i]; i++)
		if (strlen(list[i]) == word.length && !memcmp(list[i], word.at, word.length))
			return i;
	return -1;
}

/* What comes before the byte, which is dropped as well. False: there is no such byte. */
static bool take_until(struct span *in, char stop, struct span *ret)
{
	const char *end = memchr(in->at, stop, in->length);

	if (!end)
		return false;
	*ret = (struct span){ in->at, (size_t)(end - in->at) };
	in->length -= ret->length + 1;
	in->at = end + 1;
	return true;
}

static void skip_blank(struct span *in)
{
	if (in->length && *in->at == ' ') {
		in->at++;
		in->length--;
	}
}

/* Bytes of one "[id name="value"...]" at the start, 0 when there is none. */
static size_t element_length(const char *bytes, size_t length)
{
	bool quoted = false;

	if (length < 2 || bytes[0] != '[' || !isgraph((unsigned char)bytes[1]) ||
	    strchr("=]\"", bytes[1]))
		return 0;
	for (size_t i = 1; i < length; i++) {
		if (quoted && bytes[i] == '\\')
			i++;
		else if (bytes[i] == '"')
			quoted = !quoted;
		else if (!quoted && bytes[i] == '[')
			return 0;
		else if (!quoted && bytes[i] == ']')
			/* An element without parameters is told from a message like "[ok] done" by
			 * nothing, so it is left to that. */
			return memmem(bytes, i, "=\"", 2) ? i + 1 : 0;
	}
	return 0;
}

static size_t data_length(const char *bytes, size_t length)
{
	size_t total = 0, n;

	while ((n = element_length(bytes + total, length - total)))
		total += n;
	return total;
}

bool logline_is_data(const char *bytes, size_t length)
{
	return length && data_length(bytes, length) == length;
}

/* "TAG: " or "TAG[PID]: "; without it there is no tag. */
static void take_tag(struct span *in, struct logline *line)
{
	struct span rest = *in, tag = { in->at, 0 }, pid = { 0 };

	while (rest.length && tag.length < TAG_MAX && isgraph((unsigned char)*rest.at) &&
	       !strchr("[:", *rest.at)) {
		tag.length++;
		rest.at++;
		rest.length--;
	}
	if (rest.length && *rest.at == '[') {
		rest.at++;
		rest.length--;
		if (!take_until(&rest, ']', &pid) || memchr(pid.at, ' ', pid.length))
			return;
	}
	if (!tag.length || !rest.length || *rest.at != ':')
		return;
	rest.at++;
	rest.length--;
	skip_blank(&rest);
	line->tag = tag;
	line->pid = pid;
	*in = rest;
}

static void parse_syslog(struct span in, struct logline *line)
{
	struct span rest = in, facility, severity;
	int number;

	line->severity = SEVERITY_NOTICE;
	line->message = in;
	if (!take_until(&rest, '.', &facility) || find_word(facility, facilities) < 0)
		return;
	if (!take_until(&rest, ' ', &severity)) {
		severity = rest;
		rest = (struct span){ rest.at + rest.length, 0 };
	}
	number = find_word(severity, logline_severities);
	if (number < 0)
		return;
	line->severity = number;
	line->facility = facility;
	take_tag(&rest, line);
	line->data = (struct span){ rest.at, data_length(rest.at, rest.length) };
	rest.at += line->data.length;
	rest.length -= line->data.length;
	if (line->data.length)
		skip_blank(&rest);
	line->message = rest;
}

static void parse_kernel(struct span in, struct logline *line)
{
	struct span rest = in, severity;
	int number = take_until(&rest, ':', &severity) ? find_word(severity, logline_severities)
						       : -1;

	line->severity = SEVERITY_INFO;
	line->message = in;
	if (number < 0)
		return;
	skip_blank(&rest);
	line->severity = number;
	line->facility = (struct span){ facilities[0], strlen(facilities[0]) };
	line->message = rest;
}

void logline_parse_text(const char *stream, const char *text, size_t length, struct logline *ret)
{
	struct span in = { text, length };

	*ret = (struct logline){ .stream = { stream, strlen(stream) }, .message = in };
	if (strcmp(stream, "syslog") == 0)
		parse_syslog(in, ret);
	else if (strcmp(stream, "kernel") == 0)
		parse_kernel(in, ret);
	else if (strcmp(stream, "stdout") == 0)
		ret->severity = SEVERITY_INFO;
	else if (strcmp(stream, "init") == 0)
		ret->severity = SEVERITY_NOTICE;
	else if (strcmp(stream, "stoker") == 0)
		ret->severity = SEVERITY_WARNING;
	else /* stderr; a console is kept when a guest has died */
		ret->severity = SEVERITY_ERROR;
}

bool logline_parse(const char *line, size_t length, struct logline *ret)
{
	struct span in = { line, length }, time, stream;
	int index;

	if (!take_until(&in, ' ', &time) || time.length != LOGLINE_TIME_LENGTH ||
	    !take_until(&in, ' ', &stream))
		return false;
	index = find_word(stream, logline_streams);
	if (index < 0)
		return false;
	logline_parse_text(logline_streams[index], in.at, in.length, ret);
	ret->time = time;
	return true;
}

void logline_print_time(uint64_t time_ms, char ret[LOGLINE_TIME_LENGTH + 1])
{
	time_t seconds = (time_t)(time_ms / 1000);
	char date[32] = "9999-12-31T23:59:59";
	struct strbuf text = { 0 };
	struct tm utc;

	/* Years of more than four digits are not of this format. */
	if (time_ms / 1000 <= UINT64_C(253402300799) && gmtime_r(&seconds, &utc))
		strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &utc);
	strbuf_printf(&text, "%.19s.%03uZ", date, (unsigned)(time_ms % 1000));
	memcpy(ret, strbuf_text(&text), LOGLINE_TIME_LENGTH + 1);
	strbuf_reset(&text);
}

static int hex_value(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *found = c ? strchr(digits, c) : NULL;

	return found ? (int)(found - digits) : -1;
}

void logline_unescape(struct span text, struct strbuf *out)
{
	for (size_t i = 0; i < text.length; i++) {
		const char *at = text.at + i;
		size_t left = text.length - i;

		if (left >= 2 && at[0] == '\\' && at[1] == '\\') {
			strbuf_putc(out, '\\');
			i++;
		} else if (left >= 4 && at[0] == '\\' && at[1] == 'x' && hex_value(at[2]) >= 0 &&
			   hex_value(at[3]) >= 0) {
			strbuf_putc(out, (char)(hex_value(at[2]) << 4 | hex_value(at[3])));
			i += 3;
		} else {
			strbuf_putc(out, *at);
		}
	}
}
