/* SPDX-License-Identifier: Apache-2.0 */
/* The waits between two tries; without state, so that each get has its own count. */
#include "image/patience.h"

#include <stdlib.h>
#include <sys/random.h>

#include "loop/loop.h"

enum { BACKOFF_FIRST_MS = 500, BACKOFF_MAX_MS = 30000, RETRY_AFTER_MAX_S = 60 };

uint64_t patience_asked_ms(const char *retry_after, time_t now)
{
	struct tm date = { 0 };
	long long seconds;
	char *end;

	if (!retry_after)
		return 0;
	seconds = strtoll(retry_after, &end, 10);
	if (end == retry_after) {
		if (!strptime(retry_after, "%a, %d %b %Y %H:%M:%S GMT", &date))
			return 0;
		seconds = (long long)timegm(&date) - (long long)now;
	}
	if (seconds < 0)
		return 0;
	return 1000 * (uint64_t)(seconds > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : seconds);
}

uint64_t patience_backoff_ms(uint32_t failures)
{
	uint64_t delay = BACKOFF_FIRST_MS;
	uint32_t random = 0;

	while (failures > 1 && delay < BACKOFF_MAX_MS) {
		delay *= 2;
		failures--;
	}
	if (delay > BACKOFF_MAX_MS)
		delay = BACKOFF_MAX_MS;
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = (uint32_t)loop_now_ms();
	return delay / 2 + random % (delay / 2 + 1);
}
