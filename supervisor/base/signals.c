/* SPDX-License-Identifier: Apache-2.0 */
#include "base/signals.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Digits only: -1 when there is anything else. */
static int parse_small(const char *text)
{
	int value = 0;

	if (!*text || strlen(text) > 3)
		return -1;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		value = value * 10 + (*text - '0');
	}
	return value;
}

int signal_number(const char *name)
{
	int value = parse_small(name);

	if (value >= 0)
		return value < _NSIG ? value : 0;
	if (strncasecmp(name, "SIG", 3) == 0)
		name += 3;
	if (strncasecmp(name, "RTMIN+", 6) == 0) {
		value = parse_small(name + 6);
		return value >= 0 && SIGRTMIN + value <= SIGRTMAX ? SIGRTMIN + value : 0;
	}
	for (int number = 1; number < SIGRTMIN; number++) {
		const char *known = sigabbrev_np(number);

		if (known && strcasecmp(known, name) == 0)
			return number;
	}
	return 0;
}
