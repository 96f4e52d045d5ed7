/* SPDX-License-Identifier: Apache-2.0 */
/* guest-init/clock.c: when the host is asked, and what its answers do to the clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guest-init/clock.c"

#define MS     INT64_C(1000000)
#define NOW_NS (INT64_C(1795700000) * SECOND_NS)

/* --- the guest of the test: no clock but this, and no channel ------------------------------- */

static int64_t mono_ns, clock_ns, slewed_us;
static unsigned steps, slews, asks, lines;
static size_t room;
static uint64_t asked;

int clock_gettime(clockid_t id, struct timespec *ret)
{
	int64_t now = id == CLOCK_REALTIME ? clock_ns : mono_ns;

	*ret = (struct timespec){ .tv_sec = now / SECOND_NS, .tv_nsec = now % SECOND_NS };
	return 0;
}

int clock_settime(clockid_t id, const struct timespec *time)
{
	assert_int_equal(id, CLOCK_REALTIME);
	assert_in_range(time->tv_nsec, 0, SECOND_NS - 1);
	clock_ns = (int64_t)time->tv_sec * SECOND_NS + time->tv_nsec;
	steps++;
	return 0;
}

int adjtime(const struct timeval *delta, struct timeval *old)
{
	assert_null(old);
	slewed_us = (int64_t)delta->tv_sec * 1000000 + delta->tv_usec;
	slews++;
	return 0;
}

size_t channel_session_room(const struct channel *channel)
{
	(void)channel;
	return room;
}

void channel_session_send(struct channel *channel, enum frame_type type, uint16_t number,
			  const void *payload, size_t length)
{
	struct frame_clock ask;

	(void)channel;
	assert_int_equal(type, FRAME_CLOCK_ASK);
	assert_int_equal(number, 0);
	assert_int_equal(length, sizeof(ask));
	memcpy(&ask, payload, sizeof(ask));
	assert_int_equal(ask.time_ns, 0);
	asked = le64toh(ask.asked_ns);
	asks++;
}

void channel_say(struct channel *channel, const char *format, ...)
{
	(void)channel;
	(void)format;
	lines++;
}

static void begin(struct clock *clock)
{
	mono_ns = 5 * SECOND_NS;
	clock_ns = NOW_NS;
	slewed_us = 0;
	steps = slews = asks = lines = 0;
	room = 1000;
	clock_init(clock, NULL);
	clock_tend(clock, 5000);
	assert_int_equal(asks, 1);
	assert_int_equal(asked, 5 * SECOND_NS);
}

static bool answer(struct clock *clock, uint64_t asked_ns, int64_t time_ns)
{
	struct frame_clock told = { htole64(asked_ns), htole64((uint64_t)time_ns) };

	return clock_on_frame(clock, &told, sizeof(told), (uint64_t)(mono_ns / MS));
}

/* --- tests ---------------------------------------------------------------------------------- */

static void test_verdicts(void **state)
{
	static const struct {
		int64_t trip, off; /* nanoseconds */
		enum clock_verdict verdict;
	} cases[] = {
		{ 0, 0, CLOCK_FINE },
		{ 2 * MS, 1 * MS, CLOCK_FINE },
		{ 2 * MS, -1 * MS, CLOCK_FINE },
		{ 2 * MS, 1 * MS + 1, CLOCK_SLEW },
		{ 2 * MS, -1 * MS - 1, CLOCK_SLEW },
		{ 0, STEP_NS - 1, CLOCK_SLEW },
		{ 0, STEP_NS, CLOCK_STEP },
		{ 0, -STEP_NS, CLOCK_STEP },
		{ 0, -20 * 365 * 86400 * SECOND_NS, CLOCK_STEP }, /* the clock is far ahead */
		{ SECOND_NS, 0, CLOCK_FINE },
		{ SECOND_NS + 1, 3600 * SECOND_NS, CLOCK_LATE },
		{ -1, 0, CLOCK_LATE }, /* asked in the future */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t told = NOW_NS, behind, real = told - cases[i].off + cases[i].trip / 2;
		enum clock_verdict verdict = clock_judge((uint64_t)(9 * SECOND_NS - cases[i].trip),
							 9 * SECOND_NS, real, (uint64_t)told,
							 &behind);

		assert_int_equal(verdict, cases[i].verdict);
		if (verdict != CLOCK_LATE)
			assert_int_equal(behind, cases[i].off);
	}
}

static void test_absurd_times(void **state)
{
	static const uint64_t times[] = { 0, 1, YEAR_2020 - 1, YEAR_2200 + 1, UINT64_MAX };
	int64_t behind;

	(void)state;
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		assert_int_equal(clock_judge(1, 1, NOW_NS, times[i], &behind), CLOCK_ABSURD);
	assert_int_equal(clock_judge(1, 1, NOW_NS, YEAR_2020, &behind), CLOCK_STEP);
	assert_int_equal(clock_judge(1, 1, NOW_NS, YEAR_2200, &behind), CLOCK_STEP);
}

static void test_set(void **state)
{
	struct clock clock;

	(void)state;
	begin(&clock);
	mono_ns += 10 * MS;
	clock_ns += 10 * MS;
	assert_true(answer(&clock, asked, NOW_NS + 3600 * SECOND_NS));
	assert_int_equal(steps, 1);
	assert_int_equal(lines, 1);
	assert_int_equal(clock_ns, NOW_NS + 3600 * SECOND_NS + 5 * MS);
	assert_true(answer(&clock, asked, NOW_NS)); /* once */
	assert_int_equal(steps, 1);
}

static void test_slewed(void **state)
{
	struct clock clock;

	(void)state;
	begin(&clock);
	assert_true(answer(&clock, asked, NOW_NS - 20 * MS));
	assert_int_equal(steps, 0);
	assert_int_equal(slews, 1);
	assert_int_equal(slewed_us, -20000);
}

static void test_other_answers(void **state)
{
	struct clock clock;
	uint8_t bytes[sizeof(struct frame_clock) + 1] = { 1 };

	(void)state;
	begin(&clock);
	assert_true(answer(&clock, asked + 1, NOW_NS + 3600 * SECOND_NS));
	assert_int_equal(steps + slews, 0);
	assert_false(clock_on_frame(&clock, bytes, sizeof(bytes), 5000));
	assert_false(clock_on_frame(&clock, bytes, sizeof(bytes) - 2, 5000));
	assert_false(clock_on_frame(&clock, bytes, 0, 5000));
}

static void test_when_it_asks(void **state)
{
	struct clock clock;

	(void)state;
	begin(&clock);
	assert_int_equal(clock_wake_ms(&clock), 5000 + ASK_EVERY_MS);
	clock_tend(&clock, 5000 + ASK_EVERY_MS - 1);
	assert_int_equal(asks, 1);
	clock_tend(&clock, 5000 + ASK_EVERY_MS);
	assert_int_equal(asks, 2);

	/* Too late to tell: again soon. */
	mono_ns += 2 * SECOND_NS;
	assert_true(answer(&clock, asked, NOW_NS));
	assert_int_equal(clock_wake_ms(&clock), 7000 + ASK_AGAIN_MS);

	/* Time was lost; then late as well, from 0. */
	assert_true(answer(&clock, 0, 0));
	assert_int_equal(clock_wake_ms(&clock), 0);
	clock_tend(&clock, 7000);
	assert_int_equal(asks, 3);
	assert_true(answer(&clock, 0, 0));
	mono_ns += 2 * SECOND_NS;
	assert_true(answer(&clock, asked, NOW_NS));
	assert_int_equal(clock_wake_ms(&clock), 9000 + ASK_AGAIN_MS);

	/* No room, no host: nothing is due, and the next host is asked at once. */
	room = sizeof(struct frame_clock) - 1;
	assert_int_equal(clock_wake_ms(&clock), UINT64_MAX);
	clock_on_gone(&clock);
	clock_tend(&clock, 9500);
	assert_int_equal(asks, 3);
	room = 1000;
	clock_tend(&clock, 9500);
	assert_int_equal(asks, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),      cmocka_unit_test(test_absurd_times),
		cmocka_unit_test(test_set),	      cmocka_unit_test(test_slewed),
		cmocka_unit_test(test_other_answers), cmocka_unit_test(test_when_it_asks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
