/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What went wrong, as one line for the operator: place, fact, remedy.
 *
 * A fallible function takes `struct error *err` last and returns 0 or -1, so report-and-return is
 * one line: `return error_set(err, "%s: not a directory", path);`. Context is added outward with
 * error_wrap. Only callbacks, the daemon and main() log an error; library code hands it up.
 */
#ifndef STOKER_BASE_ERROR_H
#define STOKER_BASE_ERROR_H

enum { ERROR_TEXT_MAX = 1024 };

struct error {
	int number;		   /* the errno behind it; 0 when there was none */
	char text[ERROR_TEXT_MAX]; /* one line, never with a newline or control character */
};

/* Sets the message; returns -1. A NULL err is allowed everywhere here: nobody wants the text. */
int error_set(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Sets the message followed by ": " and the text of `number` (an errno value); returns -1. */
int error_errno(struct error *err, int number, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "context: " before the message that err already holds; returns -1. */
int error_wrap(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
