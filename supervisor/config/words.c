/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two values with a language of their own: command lines (quoting of the POSIX shell, section
 * 2.2 of its specification, without expansion) and signals. Called through fields.c.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
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

static int signal_of_name(const char *name)
{
	for (int number = 1; number < 32; number++) {
		const char *known = sigabbrev_np(number);

		if (known && strcasecmp(known, name) == 0)
			return number;
	}
	return 0;
}

enum { RT_FIRST = 34, RT_LAST = 64 };

/* "RTMIN", "RTMIN+3", "RTMAX-2". */
static int signal_of_realtime(const char *name)
{
	bool is_min = strncasecmp(name, "RTMIN", 5) == 0;
	uint64_t offset = 0;

	if (!is_min && strncasecmp(name, "RTMAX", 5) != 0)
		return 0;
	if (name[5] && name[5] != (is_min ? '+' : '-'))
		return 0;
	if (name[5] && scalar_u64(name + 6, 0, RT_LAST - RT_FIRST, &offset, NULL) < 0)
		return 0;
	return is_min ? RT_FIRST + (int)offset : RT_LAST - (int)offset;
}

int scalar_signal(const char *text, char **ret, struct error *err)
{
	const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
	uint64_t value = 0;
	int number;

	if (scalar_u64(text, 1, RT_LAST, &value, NULL) == 0)
		number = (int)value;
	else
		number = signal_of_name(name) ? signal_of_name(name) : signal_of_realtime(name);
	if (number == 0 || number == 32 || number == 33)
		return error_set(err, "'%s' is not a signal (such as SIGTERM)", text);
	*ret = number < 32 && sigabbrev_np(number) ? xasprintf("SIG%s", sigabbrev_np(number))
						   : xasprintf("%d", number);
	return 0;
}
