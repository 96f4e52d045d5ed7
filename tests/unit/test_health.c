/* SPDX-License-Identifier: Apache-2.0 */
/* The host's part of health checks: the judgement, the definition that a guest is sent, and its
 * results, be they true or not. */
#include "channel_host.h"

#include "base/alloc.h"
#include "model/health.h"

static unsigned results;
static struct channel_health last;

static void on_health(void *data, const struct channel_health *health)
{
	struct host *host = data;

	results++;
	last = *health;
	loop_stop(host->loop);
}

static void open_checked(struct host *host, const struct spec *spec)
{
	struct channel_callbacks callbacks = host_callbacks;

	results = 0;
	open_host(host);
	callbacks.health = on_health;
	channel_hand_over(host->channel, &callbacks, host, NULL);
	guest_answers(host);
	channel_check(host->channel, spec);
}

static struct spec *make_spec(const char *kind, const char *first, const char *second)
{
	struct spec *spec = spec_new();

	if (kind)
		strv_add(&spec->healthcheck, kind);
	if (first)
		strv_add(&spec->healthcheck, first);
	if (second)
		strv_add(&spec->healthcheck, second);
	spec->health_interval_ms = 10000;
	spec->health_timeout_ms = 2000;
	spec->health_start_period_ms = 5000;
	spec->health_retries = 3;
	return spec;
}

static void a_judgement(void **state)
{
	static const struct {
		bool has_succeeded;
		uint32_t failures, retries;
		const char *health;
	} rows[] = {
		{ false, 0, 3, "starting" },
		{ false, 2, 3, "starting" },
		{ false, 3, 3, "unhealthy" },
		{ true, 0, 3, "healthy" },
		{ true, 2, 3, "healthy" },
		{ true, 3, 3, "unhealthy" },
		{ true, UINT32_MAX, 3, "unhealthy" },
		{ true, 1, 1, "unhealthy" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_string_equal(health_name(health_judge(rows[i].has_succeeded,
							     rows[i].failures, rows[i].retries)),
				    rows[i].health);
	assert_string_equal(health_name(HEALTH_NONE), "");
}

/* --- the definition -------------------------------------------------------------------------- */

static void takes_definition(struct host *host, uint32_t serial, uint32_t kind, uint32_t port,
			     const char *entries, size_t length)
{
	struct frame_health how = { htole32(serial), htole32(kind), htole32(port),
				    htole32(10000),  htole32(2000), htole32(5000) };
	uint8_t payload[256];

	memcpy(payload, &how, sizeof(how));
	memcpy(payload + sizeof(how), entries, length);
	guest_takes_frame(host, FRAME_HEALTH, payload, sizeof(how) + length);
}

static void each_kind_is_defined(void **state)
{
	static const struct {
		const char *kind, *first, *second;
		uint32_t wire, port;
		const char *entries;
		size_t length;
	} rows[] = {
		{ NULL, NULL, NULL, HEALTH_OFF, 0, "", 0 },
		{ "tcp", ":80", NULL, HEALTH_TCP, 80, "", 0 },
		{ "http", ":65535/x", NULL, HEALTH_HTTP, 65535, "\2\0\0\0\2\0\0\0/x", 10 },
		{ "exec", "true", "", HEALTH_EXEC, 0, "\2\0\0\0\4\0\0\0true\2\0\0\0\0\0\0\0", 20 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct spec *spec = make_spec(rows[i].kind, rows[i].first, rows[i].second);
		struct host host;

		open_checked(&host, spec);
		takes_definition(&host, 1, rows[i].wire, rows[i].port, rows[i].entries,
				 rows[i].length);
		close_host(&host);
		spec_free(spec);
	}
}

/* --- results --------------------------------------------------------------------------------- */

static void guest_tells(struct host *host, uint32_t serial, uint32_t successes, uint32_t failures,
			const char *message)
{
	struct frame_health_result result = {
		htole32(serial), htole32(successes), htole32(failures), { 0 }
	};

	for (size_t i = 0; i < sizeof(result.message) && message[i]; i++)
		result.message[i] = message[i];
	guest_sends_frame(host, FRAME_HEALTH_RESULT, 0, &result, sizeof(result));
}

static void results_are_heard_one_by_one(void **state)
{
	struct spec *spec = make_spec("tcp", ":80", NULL);
	char text[FRAME_MESSAGE_MAX + 1];
	struct host host;

	(void)state;
	open_checked(&host, spec);
	takes_definition(&host, 1, HEALTH_TCP, 80, "", 0);
	guest_tells(&host, 1, 1, 0, "fine\x1b[31m\n");
	run_until(&host, &results, 1);
	assert_true(last.has_succeeded);
	assert_string_equal(last.message, "fine?[31m?");
	guest_takes_frame(&host, FRAME_HEALTH_SEEN, NULL, 0);
	memset(text, 'x', sizeof(text));
	text[FRAME_MESSAGE_MAX] = '\0';
	guest_tells(&host, 1, 0, 7, text);
	run_until(&host, &results, 2);
	assert_false(last.has_succeeded);
	assert_int_equal(last.failures, 7);
	assert_int_equal(strlen(last.message), FRAME_MESSAGE_MAX - 1);
	close_host(&host);
	spec_free(spec);
}

/* It was on its way when the check changed. */
static void a_result_of_another_check_is_none(void **state)
{
	struct spec *spec = make_spec("tcp", ":80", NULL);
	struct host host;

	(void)state;
	open_checked(&host, spec);
	channel_check(host.channel, spec);
	takes_definition(&host, 1, HEALTH_TCP, 80, "", 0);
	takes_definition(&host, 2, HEALTH_TCP, 80, "", 0);
	guest_tells(&host, 1, 1, 0, "");
	guest_takes_frame(&host, FRAME_HEALTH_SEEN, NULL, 0);
	assert_int_equal(results, 0);
	guest_tells(&host, 2, 1, 0, "");
	run_until(&host, &results, 1);
	close_host(&host);
	spec_free(spec);
}

static void who_does_not_wait_is_lost(void **state)
{
	struct spec *spec = make_spec("tcp", ":80", NULL);
	struct host host;

	(void)state;
	open_checked(&host, spec);
	guest_tells(&host, 1, 1, 0, "");
	guest_tells(&host, 1, 1, 0, "");
	lost_because(&host, "guest tells its health without being asked");
	assert_int_equal(results, 1);
	close_host(&host);
	spec_free(spec);
}

static void who_was_not_asked_is_lost(void **state)
{
	struct host host;

	(void)state;
	open_host(&host);
	guest_answers(&host);
	guest_tells(&host, 0, 1, 0, "");
	lost_because(&host, "guest tells its health without being asked");
	close_host(&host);
}

static void nonsense_is_lost(void **state)
{
	static const size_t lengths[] = { 0, 4, sizeof(struct frame_health_result) - 1,
					  sizeof(struct frame_health_result) + 1 };
	struct spec *spec = make_spec("tcp", ":80", NULL);
	static const char bytes[sizeof(struct frame_health_result) + 1];
	struct host host;

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		open_checked(&host, spec);
		guest_sends_frame(&host, FRAME_HEALTH_RESULT, 0, bytes, lengths[i]);
		lost_because(&host, "guest sent a result of its health check that makes no sense");
		close_host(&host);
	}
	open_checked(&host, spec);
	guest_tells(&host, 1, 2, 0, "");
	lost_because(&host, "guest sent a result of its health check that makes no sense");
	assert_int_equal(results, 0);
	close_host(&host);
	spec_free(spec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_judgement),
		cmocka_unit_test(each_kind_is_defined),
		cmocka_unit_test(results_are_heard_one_by_one),
		cmocka_unit_test(a_result_of_another_check_is_none),
		cmocka_unit_test(who_does_not_wait_is_lost),
		cmocka_unit_test(who_was_not_asked_is_lost),
		cmocka_unit_test(nonsense_is_lost),
	};

	return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
