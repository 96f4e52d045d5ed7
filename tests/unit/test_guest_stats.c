/* SPDX-License-Identifier: Apache-2.0 */
/* The host's end of FRAME_CLOCK_ASK and FRAME_STATS: what a guest is told, what is taken from it.
 */
#include <time.h>

#include "channel_host.h"
#include "model/stats.h"

static struct guest_stats heard;
static unsigned heard_count;

static void on_stats(void *data, const struct guest_stats *stats)
{
	struct host *host = data;

	heard = *stats;
	heard_count++;
	loop_stop(host->loop);
}

static void open_stats(struct host *host)
{
	const struct channel_callbacks callbacks = { .hello = on_hello,
						     .log = on_log,
						     .exited = on_exited,
						     .lost = on_lost,
						     .stats = on_stats };

	heard_count = 0;
	open_host(host);
	channel_hand_over(host->channel, &callbacks, host, NULL);
	guest_answers(host);
}

/* --- the clock ------------------------------------------------------------------------------ */

static uint64_t real_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void a_guest_is_told_the_time(void **state)
{
	const struct frame_clock ask = { .asked_ns = htole64(0x1122334455667788) };
	uint64_t before = real_ns();
	struct frame_header header;
	struct frame_clock told;
	struct host host;

	(void)state;
	open_stats(&host);
	guest_sends_frame(&host, FRAME_CLOCK_ASK, 0, &ask, sizeof(ask));
	guest_takes(&host, &header, sizeof(header));
	assert_int_equal(le16toh(header.type), FRAME_CLOCK);
	assert_int_equal(le32toh(header.length), sizeof(told));
	guest_takes(&host, &told, sizeof(told));
	assert_int_equal(told.asked_ns, ask.asked_ns);
	assert_in_range(le64toh(told.time_ns), before, real_ns());
	close_host(&host);
}

static void a_question_has_one_length(void **state)
{
	struct host host;

	(void)state;
	open_stats(&host);
	guest_sends_frame(&host, FRAME_CLOCK_ASK, 0, "", 1);
	lost_because(&host, "guest asked for the time in 1 bytes");
	close_host(&host);
}

static void time_that_was_lost_is_told(void **state)
{
	const struct frame_clock nothing = { 0 };
	struct host host;

	(void)state;
	open_stats(&host);
	channel_tell_time_lost(host.channel);
	guest_takes_frame(&host, FRAME_CLOCK, &nothing, sizeof(nothing));
	close_host(&host);
}

/* --- stats ---------------------------------------------------------------------------------- */

static void stats_come_when_they_are_asked_for(void **state)
{
	const struct frame_stats told = {
		.uptime_ms = htole64(1),
		.memory_total = htole64(2),
		.memory_available = htole64(3),
		.load_1 = htole64(4),
		.load_5 = htole64(5),
		.load_15 = htole64(6),
		.tasks = htole64(7),
		.disk_total = htole64(8),
		.disk_used = htole64(9),
		.pressure_cpu = htole64(10),
		.pressure_memory = UINT64_MAX,
		.pressure_io = htole64(UINT64_MAX - 1),
	};
	struct host host;

	(void)state;
	open_stats(&host);
	channel_ask_stats(host.channel);
	channel_ask_stats(host.channel); /* one at a time */
	guest_takes_frame(&host, FRAME_STATS_ASK, NULL, 0);
	guest_sends_frame(&host, FRAME_STATS, 0, &told, sizeof(told));
	run_until(&host, &heard_count, 1);
	assert_true(heard.heard_ms > 0);
	assert_int_equal(heard.uptime_ms, 1);
	assert_int_equal(heard.memory_total, 2);
	assert_int_equal(heard.memory_available, 3);
	assert_int_equal(heard.load[0], 4);
	assert_int_equal(heard.load[1], 5);
	assert_int_equal(heard.load[2], 6);
	assert_int_equal(heard.tasks, 7);
	assert_int_equal(heard.disk_total, 8);
	assert_int_equal(heard.disk_used, 9);
	assert_int_equal(heard.pressure_cpu, 10);
	assert_int_equal(heard.pressure_memory, STATS_MISSING);
	assert_int_equal(heard.pressure_io, STATS_MAX);
	channel_ask_stats(host.channel);
	guest_takes_frame(&host, FRAME_STATS_ASK, NULL, 0);
	guest_sends_frame(&host, FRAME_STATS, 0, &told, sizeof(told));
	run_until(&host, &heard_count, 2);
	close_host(&host);
}

static void stats_that_nobody_asked_for(void **state)
{
	const struct frame_stats told = { 0 };
	struct host host;

	(void)state;
	open_stats(&host);
	guest_sends_frame(&host, FRAME_STATS, 0, &told, sizeof(told));
	lost_because(&host, "guest tells how it is doing without being asked");
	assert_int_equal(heard_count, 0);
	close_host(&host);
}

static void stats_have_one_length(void **state)
{
	const struct frame_stats told = { 0 };
	struct host host;

	(void)state;
	open_stats(&host);
	channel_ask_stats(host.channel);
	guest_sends_frame(&host, FRAME_STATS, 0, &told, sizeof(told) - 1);
	lost_because(&host, "guest sent stats of 95 bytes");
	assert_int_equal(heard_count, 0);
	close_host(&host);
}

static void stats_as_json(void **state)
{
	const struct guest_stats stats = {
		.heard_ms = 5,
		.uptime_ms = 61000,
		.memory_total = STATS_MAX,
		.load = { 125, 0, 7 },
		.pressure_cpu = 10000,
		.pressure_memory = STATS_MISSING,
		.pressure_io = 50,
	};
	json_t *object = guest_stats_to_json(&stats);
	char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(6));

	(void)state;
	assert_string_equal(text, "{\"uptime_ms\":61000,\"memory_total_bytes\":9007199254740991,"
				  "\"memory_available_bytes\":0,\"load_1\":1.25,\"load_5\":0.0,"
				  "\"load_15\":0.07,\"tasks\":0,\"disk_total_bytes\":0,"
				  "\"disk_used_bytes\":0,\"pressure_cpu_percent\":100.0,"
				  "\"pressure_io_percent\":0.5}");
	free(text);
	json_decref(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_guest_is_told_the_time),
		cmocka_unit_test(a_question_has_one_length),
		cmocka_unit_test(time_that_was_lost_is_told),
		cmocka_unit_test(stats_come_when_they_are_asked_for),
		cmocka_unit_test(stats_that_nobody_asked_for),
		cmocka_unit_test(stats_have_one_length),
		cmocka_unit_test(stats_as_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
