/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by main.c for each datagram and kernel record. The writers are the workload's processes:
 * every field may be missing or nonsense, and a message is one line whatever is in it. The sender's
 * time is dropped: the host stamps lines by its own clock.
 */
#include "guest-init/syslog.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Numbers are those of RFC 5424, section 6.2.1. */
static const char *const facilities[24] = {
	"kern",	  "user",   "mail",	"daemon", "auth",   "syslog", "lpr",	"news",
	"uucp",	  "cron",   "authpriv", "ftp",	  "ntp",    "audit",  "alert",	"clock",
	"local0", "local1", "local2",	"local3", "local4", "local5", "local6", "local7",
};
static const char *const severities[8] = {
	"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
};

enum { DEFAULT_PRIORITY = 1 * 8 + 5 }; /* user.notice, RFC 3164 section 4.3.3 */

struct cursor {
	const char *at, *end;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* A number of at most `digits` digits; -1 and nothing consumed when there is none. */
static int take_number(struct cursor *in, int digits)
{
	const char *at = in->at;
	int value = 0;

	while (at < in->end && at - in->at < digits && is_digit(*at))
		value = value * 10 + (*at++ - '0');
	if (at == in->at)
		return -1;
	in->at = at;
	return value;
}

static int take_priority(struct cursor *in)
{
	struct cursor try = *in;
	int priority;

	if (try.at == try.end || *try.at++ != '<')
		return DEFAULT_PRIORITY;
	priority = take_number(&try, 3);
	if (priority < 0 || priority > 191 || try.at == try.end || *try.at++ != '>')
		return DEFAULT_PRIORITY;
	*in = try;
	return priority;
}

/* "Mmm dd hh:mm:ss ", RFC 3164 section 4.1.2. */
static void skip_bsd_time(struct cursor *in)
{
	static const char form[] = "Aaa _0 00:00:00 "; /* _: digit or blank */
	const char *at = in->at;

	if (in->end - at < (ptrdiff_t)sizeof(form) - 1)
		return;
	for (const char *f = form; *f; f++, at++) {
		bool fits = *f == '0'	? is_digit(*at)
			    : *f == '_' ? is_digit(*at) || *at == ' '
			    : *f == 'A' ? *at >= 'A' && *at <= 'Z'
			    : *f == 'a' ? *at >= 'a' && *at <= 'z'
					: *at == *f;

		if (!fits)
			return;
	}
	in->at = at;
}

/* The next word; the blank after it is consumed too. */
static struct cursor take_word(struct cursor *in)
{
	struct cursor word = { in->at, in->at };

	while (word.end < in->end && *word.end != ' ')
		word.end++;
	in->at = word.end < in->end ? word.end + 1 : word.end;
	return word;
}

/* "-", of which nothing is left, or "[id name="value" ...]..." with \" inside values, RFC 5424
 * section 6.3. The blank after it is consumed too. */
static struct cursor take_structured_data(struct cursor *in)
{
	struct cursor data = { in->at, in->at };
	bool quoted = false;
	const char *at = in->at;

	if (at < in->end && *at == '-') {
		in->at = at + 1;
	} else {
		for (int depth = 0; at < in->end; at++) {
			if (quoted && *at == '\\' && at + 1 < in->end)
				at++;
			else if (*at == '"')
				quoted = !quoted;
			else if (!quoted && *at == '[')
				depth++;
			else if (!quoted && *at == ']')
				depth--;
			else if (!quoted && !depth)
				break;
		}
		in->at = data.end = at;
	}
	if (in->at < in->end && *in->at == ' ')
		in->at++;
	return data;
}

struct line {
	char *text;
	size_t length;
};

/* Appends; control characters become blanks, and one byte stays free for the newline. */
static void put(struct line *line, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length && line->length < SYSLOG_LINE_MAX - 1; i++) {
		unsigned char c = (unsigned char)bytes[i];

		line->text[line->length++] = c < 0x20 || c == 0x7f ? ' ' : (char)c;
	}
}

static void put_text(struct line *line, const char *text)
{
	put(line, text, strlen(text));
}

static size_t end_line(struct line *line)
{
	while (line->length && line->text[line->length - 1] == ' ')
		line->length--;
	line->text[line->length++] = '\n';
	return line->length;
}

/* "1 TIME HOST APP PROCID MSGID SD TEXT" after the priority: APP and PROCID make the tag,
 * and structured data stays in front of the text. */
static void put_rfc5424(struct line *line, struct cursor in)
{
	struct cursor app, process, data;

	take_word(&in); /* version */
	take_word(&in); /* time */
	take_word(&in); /* host */
	app = take_word(&in);
	process = take_word(&in);
	take_word(&in); /* message id */
	data = take_structured_data(&in);
	if (in.end - in.at >= 3 && !memcmp(in.at, "\xef\xbb\xbf", 3))
		in.at += 3; /* the byte order mark that says UTF-8 */
	put(line, app.at, (size_t)(app.end - app.at));
	if (process.end - process.at != 1 || *process.at != '-') {
		put_text(line, "[");
		put(line, process.at, (size_t)(process.end - process.at));
		put_text(line, "]");
	}
	put_text(line, ": ");
	put(line, data.at, (size_t)(data.end - data.at));
	put_text(line, data.end > data.at ? " " : "");
	put(line, in.at, (size_t)(in.end - in.at));
}

size_t syslog_format(const char *message, size_t length, char line[SYSLOG_LINE_MAX])
{
	struct line out = { .text = line };
	struct cursor in = { message, message + length };
	int priority;

	while (in.end > in.at && (in.end[-1] == '\0' || in.end[-1] == '\n'))
		in.end--;
	priority = take_priority(&in);
	put_text(&out, facilities[priority >> 3]);
	put_text(&out, ".");
	put_text(&out, severities[priority & 7]);
	put_text(&out, " ");
	if (in.end - in.at >= 2 && in.at[0] == '1' && in.at[1] == ' ') {
		put_rfc5424(&out, in);
	} else {
		skip_bsd_time(&in);
		put(&out, in.at, (size_t)(in.end - in.at));
	}
	return end_line(&out);
}

/* "PRIORITY,SEQUENCE,TIME,FLAGS[,...];TEXT\n KEY=VALUE\n..." */
size_t kmsg_format(const char *record, size_t length, char line[SYSLOG_LINE_MAX])
{
	struct line out = { .text = line };
	struct cursor in = { record, record + length };
	int priority = take_number(&in, 9);
	const char *text = memchr(in.at, ';', (size_t)(in.end - in.at));
	const char *end;

	if (text)
		in.at = text + 1;
	end = memchr(in.at, '\n', (size_t)(in.end - in.at));
	put_text(&out, severities[priority < 0 ? 6 : priority & 7]);
	put_text(&out, ": ");
	put(&out, in.at, (size_t)((end ? end : in.end) - in.at));
	return end_line(&out);
}

int syslog_open(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/dev/log" };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chmod(address.sun_path, 0666) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

int kmsg_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0)
		lseek(fd, 0, SEEK_END);
	return fd;
}
