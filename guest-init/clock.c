/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-init/clock.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#define SECOND_NS INT64_C(1000000000)
#define YEAR_2020 (UINT64_C(1577836800) * SECOND_NS)
#define YEAR_2200 (UINT64_C(7258118400) * SECOND_NS)

/* Beyond it, ntpd(8) sets a clock as well: at 500 ppm this takes four minutes. */
#define STEP_NS (128 * INT64_C(1000000))

enum { ASK_EVERY_MS = 64 * 1000, ASK_AGAIN_MS = 4 * 1000 };

static int64_t now_ns(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

void clock_init(struct clock *clock, struct channel *channel)
{
	*clock = (struct clock){ .channel = channel };
}

enum clock_verdict clock_judge(uint64_t asked_ns, uint64_t now, int64_t real_ns, uint64_t told_ns,
			       int64_t *ret_behind_ns)
{
	uint64_t trip_ns = now - asked_ns;

	*ret_behind_ns = 0;
	if (told_ns < YEAR_2020 || told_ns > YEAR_2200)
		return CLOCK_ABSURD;
	if (asked_ns > now || trip_ns > (uint64_t)SECOND_NS)
		return CLOCK_LATE;
	*ret_behind_ns = (int64_t)(told_ns + trip_ns / 2) - real_ns;
	if (llabs(*ret_behind_ns) <= (int64_t)trip_ns / 2)
		return CLOCK_FINE;
	return llabs(*ret_behind_ns) < STEP_NS ? CLOCK_SLEW : CLOCK_STEP;
}

/* From the clock as it is now, however long it took to come here. */
static void step(struct clock *clock, int64_t behind_ns)
{
	int64_t right_ns = now_ns(CLOCK_REALTIME) + behind_ns;
	struct timespec right = { .tv_sec = (time_t)(right_ns / SECOND_NS),
				  .tv_nsec = (long)(right_ns % SECOND_NS) };

	if (clock_settime(CLOCK_REALTIME, &right) == 0)
		channel_say(clock->channel, "the clock was %lld ms %s, it was set",
			    (long long)llabs(behind_ns) / 1000000,
			    behind_ns > 0 ? "behind" : "ahead");
}

static void slew(int64_t behind_ns)
{
	struct timeval delta = { .tv_sec = 0, .tv_usec = (suseconds_t)(behind_ns / 1000) };

	adjtime(&delta, NULL);
}

bool clock_on_frame(struct clock *clock, const void *payload, size_t length, uint64_t now_ms)
{
	struct frame_clock told;
	uint64_t asked_ns = clock->asked_ns;
	int64_t behind_ns;

	if (length != sizeof(told))
		return false;
	memcpy(&told, payload, sizeof(told));
	if (!told.asked_ns) {
		clock->next_ms = 0;
		return true;
	}
	/* The answer to a question of before, from when that host was not answered. */
	if (le64toh(told.asked_ns) != asked_ns)
		return true;
	clock->asked_ns = 0;
	switch (clock_judge(asked_ns, (uint64_t)now_ns(CLOCK_MONOTONIC), now_ns(CLOCK_REALTIME),
			    le64toh(told.time_ns), &behind_ns)) {
	case CLOCK_ABSURD:
	case CLOCK_FINE:
		break;
	case CLOCK_LATE:
		clock->next_ms = now_ms + ASK_AGAIN_MS;
		break;
	case CLOCK_SLEW:
		slew(behind_ns);
		break;
	case CLOCK_STEP:
		step(clock, behind_ns);
		break;
	}
	return true;
}

void clock_tend(struct clock *clock, uint64_t now_ms)
{
	struct frame_clock ask = { 0 };

	if (now_ms < clock->next_ms || channel_session_room(clock->channel) < sizeof(ask))
		return;
	clock->asked_ns = (uint64_t)now_ns(CLOCK_MONOTONIC);
	clock->next_ms = now_ms + ASK_EVERY_MS;
	ask.asked_ns = htole64(clock->asked_ns);
	channel_session_send(clock->channel, FRAME_CLOCK_ASK, 0, &ask, sizeof(ask));
}

/* While there is no room, the loop turns anyway when there is some. */
uint64_t clock_wake_ms(const struct clock *clock)
{
	if (channel_session_room(clock->channel) < sizeof(struct frame_clock))
		return UINT64_MAX;
	return clock->next_ms;
}

void clock_on_gone(struct clock *clock)
{
	clock->asked_ns = clock->next_ms = 0;
}
