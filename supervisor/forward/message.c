/* SPDX-License-Identifier: Apache-2.0 */
/* Called by the targets. The names of instances are the manifests', and safe as they are. */
#include "forward/message.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "forward/structured.h"

/* RFC 5424, section 6.2.1. */
enum { FACILITY_USER = 1, FACILITY_DAEMON = 3, SEVERITY_EMERGENCY = 0, SEVERITY_ALERT = 1 };
enum { APP_NAME_MAX = 48, PROCID_MAX = 128 };

static const struct {
	const char *name;
	unsigned number;
} facilities[] = {
	{ "user", 1 },	  { "mail", 2 },    { "daemon", 3 },  { "lpr", 6 },
	{ "news", 7 },	  { "uucp", 8 },    { "cron", 9 },    { "ftp", 11 },
	{ "local0", 16 }, { "local1", 17 }, { "local2", 18 }, { "local3", 19 },
	{ "local4", 20 }, { "local5", 21 }, { "local6", 22 }, { "local7", 23 },
};

/* --- making it harmless ---------------------------------------------------------------------- */

/* How many bytes the character at the start has; 0: it is none (RFC 3629, section 4). */
static size_t utf8_length(const unsigned char *at, size_t left)
{
	static const struct {
		unsigned char first, last, low, high;
		size_t length;
	} rows[] = {
		{ 0x00, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		size_t length = rows[i].length;

		if (at[0] < rows[i].first || at[0] > rows[i].last)
			continue;
		if (length > left || (length > 1 && (at[1] < rows[i].low || at[1] > rows[i].high)))
			return 0;
		for (size_t j = 2; j < length; j++)
			if ((at[j] & 0xc0) != 0x80)
				return 0;
		return length;
	}
	return 0;
}

static void add_clean(struct strbuf *out, const char *text, size_t length)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t taken;

	for (; length; at += taken, length -= taken) {
		taken = utf8_length(at, length);
		if (!taken) {
			strbuf_puts(out, "\xef\xbf\xbd"); /* U+FFFD */
			taken = 1;
		} else if ((taken == 1 && at[0] < 0x20 && at[0] != '\t') || at[0] == 0x7f) {
			strbuf_printf(out, "\\x%02x", at[0]);
		} else if (taken == 2 && at[0] == 0xc2 && at[1] < 0xa0) {
			strbuf_printf(out, "\\x%02x", at[1]); /* U+0080 to U+009F steer as well */
		} else {
			strbuf_add(out, at, taken);
		}
	}
}

static unsigned facility_of(const struct logline *parts)
{
	if (!parts->facility.length)
		return FACILITY_DAEMON;
	for (size_t i = 0; i < sizeof(facilities) / sizeof(*facilities); i++)
		if (strlen(facilities[i].name) == parts->facility.length &&
		    !memcmp(facilities[i].name, parts->facility.at, parts->facility.length))
			return facilities[i].number;
	return FACILITY_USER;
}

/* The message with the data, which stands right before it. */
static struct span whole_text(const struct logline *parts)
{
	const char *end = parts->message.at + parts->message.length;

	return (struct span){ parts->data.at, (size_t)(end - parts->data.at) };
}

void message_parse(const struct forward_line *line, struct message *ret)
{
	const char *slash = strchr(line->name, '/');
	int severity;

	*ret = (struct message){ .line = line, .vm = slash ? slash + 1 : "" };
	if (slash)
		snprintf(ret->tenant, sizeof(ret->tenant), "%.*s", (int)(slash - line->name),
			 line->name);
	add_clean(&ret->clean, line->text, line->length);
	logline_parse_text(line->stream, strbuf_text(&ret->clean), ret->clean.length, &ret->parts);
	/* What no server may be told as data is told as text. */
	if (ret->parts.data.length &&
	    !structured_is_fit(ret->parts.data.at, ret->parts.data.length)) {
		ret->parts.message = whole_text(&ret->parts);
		ret->parts.data.length = 0;
	}
	severity = ret->parts.severity;
	if (severity == SEVERITY_EMERGENCY)
		severity = SEVERITY_ALERT;
	ret->priority = facility_of(&ret->parts) * 8 + (unsigned)severity;
}

void message_reset(struct message *message)
{
	strbuf_reset(&message->clean);
}

/* --- texts of a bounded length --------------------------------------------------------------- */

/* Cuts what was added since `start`, at a character's end, so that `max` bytes are there at most.
 */
static void cut(struct strbuf *out, size_t start, size_t max)
{
	static const char mark[] = "...";
	size_t length = start + max - strlen(mark);

	if (out->length - start <= max)
		return;
	while (length > start && ((unsigned char)out->data[length] & 0xc0) == 0x80)
		length--;
	out->length = length;
	strbuf_puts(out, mark);
}

static void add_span(struct strbuf *out, struct span span)
{
	strbuf_add(out, span.at, span.length);
}

/* All that the guest said, its own tag in front. */
static void add_whole(const struct message *message, struct strbuf *out)
{
	const struct logline *parts = &message->parts;

	if (parts->tag.length) {
		add_span(out, parts->tag);
		if (parts->pid.length) {
			strbuf_puts(out, "[");
			add_span(out, parts->pid);
			strbuf_puts(out, "]");
		}
		strbuf_puts(out, ": ");
	}
	add_span(out, parts->data);
	strbuf_puts(out, parts->data.length ? " " : "");
	add_span(out, parts->message);
}

void message_add_rfc3164(const struct message *message, struct strbuf *out)
{
	time_t seconds = (time_t)(message->line->time_ms / 1000);
	size_t start = out->length;
	struct tm local = { 0 };
	char date[32] = "";

	localtime_r(&seconds, &local);
	strftime(date, sizeof(date), "%h %e %T", &local);
	strbuf_printf(out, "<%u>%s %s: ", message->priority, date, message->line->name);
	add_whole(message, out);
	cut(out, start, MESSAGE_MAX);
}

/* --- RFC 5424 -------------------------------------------------------------------------------- */

/* A process id as the guest says it, if it can stand there. */
static void add_procid(struct strbuf *out, struct span pid)
{
	bool is_fit = pid.length > 0 && pid.length <= PROCID_MAX;

	for (size_t i = 0; i < pid.length; i++)
		is_fit = is_fit && pid.at[i] > ' ' && pid.at[i] < 0x7f;
	if (is_fit)
		add_span(out, pid);
	else
		strbuf_puts(out, "-");
}

static bool is_ascii(struct span text)
{
	for (size_t i = 0; i < text.length; i++)
		if ((unsigned char)text.at[i] >= 0x80)
			return false;
	return true;
}

static void add_header(const struct message *message, const char *hostname, struct strbuf *out)
{
	const struct logline *parts = &message->parts;
	char time[LOGLINE_TIME_LENGTH + 1];

	logline_print_time(message->line->time_ms, time);
	strbuf_printf(out, "<%u>1 %s %s %.*s ", message->priority, time, hostname, APP_NAME_MAX,
		      message->line->name);
	add_procid(out, parts->pid);
	strbuf_puts(out, " - [" STRUCTURED_ID);
	structured_add(out, "tenant", message->tenant, strlen(message->tenant));
	structured_add(out, "vm", message->vm, strlen(message->vm));
	structured_add(out, "stream", message->line->stream, strlen(message->line->stream));
	structured_add(out, "facility", parts->facility.at, parts->facility.length);
	structured_add(out, "tag", parts->tag.at, parts->tag.length);
	strbuf_puts(out, "]");
}

void message_add_rfc5424(const struct message *message, const char *hostname, size_t max,
			 struct strbuf *out)
{
	const struct logline *parts = &message->parts;
	size_t start = out->length;
	struct span text = parts->message;

	add_header(message, hostname, out);
	/* Data is not cut, for then it were none: what has more than half of the room is text. */
	if (parts->data.length <= max / 2)
		add_span(out, parts->data);
	else
		text = whole_text(parts);
	strbuf_puts(out, " ");
	if (!is_ascii(text))
		strbuf_puts(out, "\xef\xbb\xbf"); /* MSG-UTF8, section 6.4 */
	add_span(out, text);
	cut(out, start, max);
}

void message_hostname(char ret[MESSAGE_HOSTNAME_MAX + 1])
{
	char name[MESSAGE_HOSTNAME_MAX + 1] = "";
	size_t length = 0;

	gethostname(name, sizeof(name) - 1);
	for (const char *c = name; *c; c++)
		if (*c > ' ' && *c < 0x7f)
			ret[length++] = *c;
	if (!length)
		ret[length++] = '-';
	ret[length] = '\0';
}

/* --- journald -------------------------------------------------------------------------------- */

static bool is_number(struct span text)
{
	for (size_t i = 0; i < text.length; i++)
		if (text.at[i] < '0' || text.at[i] > '9')
			return false;
	return text.length > 0;
}

/* Framed by its length, so that no text can be taken for another field. */
static void add_field(struct strbuf *out, const char *name, struct span value)
{
	uint64_t length = htole64(value.length);

	strbuf_printf(out, "%s\n", name);
	strbuf_add(out, &length, sizeof(length));
	add_span(out, value);
	strbuf_puts(out, "\n");
}

void message_add_journal(const struct message *message, struct strbuf *out)
{
	const struct logline *parts = &message->parts;

	strbuf_printf(out, "PRIORITY=%u\nSYSLOG_FACILITY=%u\nSYSLOG_IDENTIFIER=%s\n",
		      message->priority & 7, message->priority >> 3, message->line->name);
	if (*message->vm)
		strbuf_printf(out, "STOKER_TENANT=%s\nSTOKER_VM=%s\n", message->tenant,
			      message->vm);
	strbuf_printf(out, "STOKER_STREAM=%s\n", message->line->stream);
	if (is_number(parts->pid))
		add_field(out, "SYSLOG_PID", parts->pid);
	if (parts->facility.length)
		add_field(out, "STOKER_FACILITY", parts->facility);
	if (parts->tag.length)
		add_field(out, "STOKER_TAG", parts->tag);
	if (parts->data.length)
		add_field(out, "STOKER_DATA", parts->data);
	add_field(out, "MESSAGE", parts->message);
}
