/* SPDX-License-Identifier: Apache-2.0 */
#include "base/signals.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { NSIG_STANDARD = 32 };

/* Digits only, no leading zero: -1 when there is anything else. */
static int parse_small(const char *text)
{
	int value = 0;

	if (!*text || strlen(text) > 3 || (text[0] == '0' && text[1]))
		return -1;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		value = value * 10 + (*text - '0');
	}
	return value;
}

/* "RTMIN", "RTMIN+3", "RTMAX-2". */
static int realtime_number(const char *name)
{
	int is_min = strncasecmp(name, "RTMIN", 5) == 0, offset = 0;

	if (!is_min && strncasecmp(name, "RTMAX", 5) != 0)
		return 0;
	if (name[5] && name[5] != (is_min ? '+' : '-'))
		return 0;
	if (name[5])
		offset = parse_small(name + 6);
	if (offset < 0 || offset > SIGRTMAX - SIGRTMIN)
		return 0;
	return is_min ? SIGRTMIN + offset : SIGRTMAX - offset;
}

int signal_number(const char *name)
{
	int value = parse_small(name);

	/* Between the standard and the real-time signals lie two that the C library keeps. */
	if (value >= 0)
		return value < NSIG_STANDARD || (value >= SIGRTMIN && value <= SIGRTMAX) ? value
											 : 0;
	if (strncasecmp(name, "SIG", 3) == 0)
		name += 3;
	for (int number = 1; number < NSIG_STANDARD; number++) {
		const char *known = sigabbrev_np(number);

		if (known && strcasecmp(known, name) == 0)
			return number;
	}
	return realtime_number(name);
}
