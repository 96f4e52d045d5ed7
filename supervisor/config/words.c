/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two values with a language of their own: command lines (quoting of the POSIX shell, section
 * 2.2 of its specification, without expansion) and signals. Called through fields.c.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/signals.h"
#include "config/scalar.h"

/* Inside double quotes a backslash quotes only what would be special there (POSIX 2.2.3). */
static bool quotes_in_double(char c)
{
	return c == '"' || c == '\\' || c == '$' || c == '`';
}

/* Appends one word; *at moves behind it. Returns the quote that was left open, or 0. */
static char take_word(const char **at, struct strbuf *word)
{
	char quote = 0;

	for (; **at; (*at)++) {
		char c = **at, next = (*at)[1];

		if (quote == 0 && strchr(" \t\r\n", c))
			return 0;
		if (quote == 0 && (c == '\'' || c == '"')) {
			quote = c;
		} else if (c == quote) {
			quote = 0;
		} else if (c == '\\' && quote != '\'' && (quote == 0 || quotes_in_double(next))) {
			if (!next)
				return '\\';
			strbuf_putc(word, next);
			(*at)++;
		} else {
			strbuf_putc(word, c);
		}
	}
	return quote;
}

int scalar_words(const char *text, struct strv *ret, struct error *err)
{
	_cleanup_strv_ struct strv words = { 0 };
	const char *at = text;

	for (;;) {
		_cleanup_strbuf_ struct strbuf word = { 0 };
		char open;

		at += strspn(at, " \t\r\n");
		if (!*at)
			break;
		open = take_word(&at, &word);
		if (open == '\\')
			return error_set(err, "the text ends in a backslash (write '\\\\')");
		if (open)
			return error_set(err, "a quote (%c) is not closed", open);
		strv_add_taken(&words, strbuf_take(&word));
	}
	strv_reset(ret);
	*ret = words;
	words = (struct strv){ 0 };
	return 0;
}

int scalar_signal(const char *text, char **ret, struct error *err)
{
	int number = signal_number(text);

	if (number == 0)
		return error_set(err, "'%s' is not a signal (such as SIGTERM)", text);
	*ret = number < SIGRTMIN && sigabbrev_np(number) ? xasprintf("SIG%s", sigabbrev_np(number))
							 : xasprintf("%d", number);
	return 0;
}
