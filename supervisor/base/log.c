/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static enum log_level threshold = LOG_LEVEL_INFO;
static bool has_transient;

static void put(const char *bytes, size_t length)
{
	if (write(STDERR_FILENO, bytes, length) < 0)
		return; /* nobody to tell */
}

static void clear_transient(void)
{
	static const char erase[] = "\r\033[K"; /* ECMA-48: to the line's start; erase it */

	if (has_transient)
		put(erase, sizeof(erase) - 1);
	has_transient = false;
}

void log_transient(const char *text)
{
	clear_transient();
	put(text, strlen(text));
	has_transient = *text != '\0';
}

void log_set_level(enum log_level level)
{
	threshold = level;
}

static const char *level_word(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		return "error";
	case LOG_LEVEL_WARNING:
		return "warning";
	case LOG_LEVEL_INFO:
		return "info";
	case LOG_LEVEL_DEBUG:
		return "debug";
	}
	return "?";
}

static int write_prefix(char *line, size_t size, enum log_level level)
{
	struct timespec now;
	struct tm utc;
	char date[32];

	if (getenv("JOURNAL_STREAM"))
		return snprintf(line, size, "<%d>", (int)level);
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &utc);
	return snprintf(line, size, "%s.%03ldZ %s: ", date, now.tv_nsec / 1000000,
			level_word(level));
}

void log_message(enum log_level level, const char *format, ...)
{
	char line[2048];
	va_list args;
	int length;

	if (level > threshold)
		return;
	length = write_prefix(line, sizeof(line), level);
	va_start(args, format);
	length += vsnprintf(line + length, sizeof(line) - (size_t)length, format, args);
	va_end(args);
	if ((size_t)length >= sizeof(line) - 1)
		length = sizeof(line) - 2;
	/* One write per line, so that lines of several processes do not mix; control bytes that a
	 * message may quote never reach the operator's terminal. */
	for (int i = 0; i < length; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[length++] = '\n';
	clear_transient();
	put(line, (size_t)length);
}
