/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program's own messages, one line each, on stderr. Under systemd (JOURNAL_STREAM is set) each
 * line starts with its priority as "<N>" (sd-daemon(3)); elsewhere with an RFC 3339 time and a
 * word.
 */
#ifndef STOKER_BASE_LOG_H
#define STOKER_BASE_LOG_H

/* Numbers are those of syslog(3), so that they need no translation for journald. */
enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7
};

/* Messages above `level` are dropped. Default: LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);

void log_message(enum log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* A line for now, on a terminal: the next message or transient line takes its place. "" takes it
 * away. The caller has found stderr to be a terminal. */
void log_transient(const char *text);

#define log_error(...)	 log_message(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_message(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)	 log_message(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)	 log_message(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
