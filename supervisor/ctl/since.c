/* SPDX-License-Identifier: Apache-2.0 */
/* Called by logs.c. Nothing is guessed: what is in none of the forms is refused as a whole. */
#include "ctl/since.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { DAY_MS = 24 * 3600 * 1000 };

static const struct {
	const char *name;
	uint64_t ms;
} units[] = {
	{ "s", 1000 },	     { "sec", 1000 },	     { "second", 1000 },      { "seconds", 1000 },
	{ "m", 60000 },	     { "min", 60000 },	     { "minute", 60000 },     { "minutes", 60000 },
	{ "h", 3600000 },    { "hr", 3600000 },	     { "hour", 3600000 },     { "hours", 3600000 },
	{ "d", DAY_MS },     { "day", DAY_MS },	     { "days", DAY_MS },      { "ms", 1 },
	{ "w", 7 * DAY_MS }, { "week", 7 * DAY_MS }, { "weeks", 7 * DAY_MS },
};

/* A number of `digits` digits at most; -1 when there is none. */
static int64_t take_number(const char **at, int digits)
{
	int64_t value = 0;
	int n = 0;

	while (n < digits && isdigit((unsigned char)**at)) {
		value = value * 10 + (*(*at)++ - '0');
		n++;
	}
	return n ? value : -1;
}

static void skip_blanks(const char **at)
{
	while (**at == ' ')
		(*at)++;
}

static bool take_word(const char **at, const char *word)
{
	size_t length = strlen(word);

	if (strncasecmp(*at, word, length) != 0)
		return false;
	*at += length;
	return true;
}

/* "10m", "1h 30min", "-2 days", "1week ago" */
static bool parse_span(const char *at, uint64_t *ret_ms)
{
	bool is_negative = take_word(&at, "-");
	uint64_t total = 0;

	do {
		int64_t number;
		size_t i = 0, length;

		skip_blanks(&at);
		number = take_number(&at, 9);
		skip_blanks(&at);
		length = strspn(at, "abcdefghijklmnopqrstuvwxyz");
		while (i < sizeof(units) / sizeof(*units) &&
		       (strlen(units[i].name) != length || strncmp(units[i].name, at, length) != 0))
			i++;
		if (number < 0 || i == sizeof(units) / sizeof(*units))
			return false;
		total += (uint64_t)number * units[i].ms;
		at += length;
		skip_blanks(&at);
		if (!is_negative && strcmp(at, "ago") == 0)
			at += 3;
	} while (*at);
	*ret_ms = total;
	return true;
}

static bool take_pair(const char **at, char mark, int max, int *ret)
{
	const char *begin;
	int64_t value;

	if (mark && *(*at)++ != mark)
		return false;
	begin = *at;
	value = take_number(at, 2);
	*ret = (int)value;
	return *at - begin == 2 && value <= max;
}

/* "2026-11-26" */
static bool take_date(const char **at, struct tm *date)
{
	const char *begin = *at;
	int64_t year = take_number(at, 4);

	date->tm_year = (int)year - 1900;
	if (*at - begin != 4 || !take_pair(at, '-', 12, &date->tm_mon) ||
	    !take_pair(at, '-', 31, &date->tm_mday))
		return false;
	return date->tm_mon-- > 0 && date->tm_mday > 0;
}

/* "06:30", "06:30:15", "06:30:15.123" */
static bool take_time(const char **at, struct tm *date, unsigned *ret_ms)
{
	static const unsigned places[] = { 100, 10, 1 };

	if (!take_pair(at, 0, 23, &date->tm_hour) || !take_pair(at, ':', 59, &date->tm_min))
		return false;
	if (**at != ':')
		return true;
	if (!take_pair(at, ':', 59, &date->tm_sec))
		return false;
	if (**at != '.')
		return true;
	if (!isdigit((unsigned char)*++*at))
		return false;
	for (size_t i = 0; isdigit((unsigned char)**at); i++) {
		unsigned digit = (unsigned)(*(*at)++ - '0');

		*ret_ms += i < 3 ? digit * places[i] : 0;
	}
	return true;
}

/* "", "Z", "UTC", "+01:00", "-0130": seconds east of Greenwich. */
static bool take_zone(const char **at, bool *ret_is_local, int *ret_east)
{
	int hours, minutes;
	char sign;

	skip_blanks(at);
	*ret_is_local = !**at;
	if (!**at || take_word(at, "Z") || take_word(at, "UTC"))
		return true;
	sign = *(*at)++;
	if ((sign != '+' && sign != '-') || !take_pair(at, 0, 14, &hours) ||
	    !take_pair(at, **at == ':' ? ':' : 0, 59, &minutes))
		return false;
	*ret_east = (hours * 60 + minutes) * (sign == '-' ? -60 : 60);
	return true;
}

static bool to_ms(struct tm date, bool is_local, int east, unsigned ms, uint64_t *ret)
{
	struct tm copy = date;
	time_t seconds;

	copy.tm_isdst = -1;
	seconds = is_local ? mktime(&copy) : timegm(&copy);
	/* February 30th would become one in March. */
	if (copy.tm_mday != date.tm_mday || seconds - east < 0)
		return false;
	*ret = (uint64_t)(seconds - east) * 1000 + ms;
	return true;
}

/* Local midnight, as many days ago. */
static bool midnight(uint64_t now_ms, int days_ago, uint64_t *ret_ms)
{
	time_t now = (time_t)(now_ms / 1000);
	struct tm date;
	time_t seconds;

	localtime_r(&now, &date);
	date.tm_hour = date.tm_min = date.tm_sec = 0;
	date.tm_mday -= days_ago;
	date.tm_isdst = -1;
	seconds = mktime(&date);
	*ret_ms = (uint64_t)seconds * 1000;
	return seconds >= 0;
}

static bool parse_date(const char *at, uint64_t now_ms, uint64_t *ret_ms)
{
	time_t now = (time_t)(now_ms / 1000);
	bool is_local = true;
	unsigned ms = 0;
	struct tm date;
	int east = 0;

	localtime_r(&now, &date);
	date.tm_hour = date.tm_min = date.tm_sec = 0;
	if (strlen(at) > 4 && at[4] == '-') {
		if (!take_date(&at, &date))
			return false;
		if (*at && *at != ' ' && *at != 'T')
			return false;
		at += *at != '\0';
		if (!*at)
			return at[-1] != 'T' && to_ms(date, true, 0, 0, ret_ms);
	}
	return take_time(&at, &date, &ms) && take_zone(&at, &is_local, &east) && !*at &&
	       to_ms(date, is_local, east, ms, ret_ms);
}

/* "@1700000000" */
static bool parse_epoch(const char *at, uint64_t *ret_ms)
{
	int64_t seconds = *at++ == '@' ? take_number(&at, 12) : -1;

	*ret_ms = (uint64_t)seconds * 1000;
	return seconds >= 0 && !*at;
}

int since_parse(const char *text, uint64_t now_ms, uint64_t *ret_ms, struct error *err)
{
	uint64_t span_ms;

	if (strcmp(text, "now") == 0)
		*ret_ms = now_ms;
	else if (parse_span(text, &span_ms))
		*ret_ms = span_ms < now_ms ? now_ms - span_ms : 0;
	else if (!(strcmp(text, "today") == 0 && midnight(now_ms, 0, ret_ms)) &&
		 !(strcmp(text, "yesterday") == 0 && midnight(now_ms, 1, ret_ms)) &&
		 !parse_epoch(text, ret_ms) && !parse_date(text, now_ms, ret_ms))
		return error_set(err,
				 "'%s' is not a time (such as 10m, '2 days ago', 06:30, "
				 "2026-11-26, '2026-11-26 06:30:00', 2026-11-26T06:30:00Z, "
				 "today, @1700000000)",
				 text);
	return 0;
}
