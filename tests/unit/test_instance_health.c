/* SPDX-License-Identifier: Apache-2.0 */
/* What an instance makes of its health check: what the guest told last, and being stopped for it.
 */
#include "tests/unit/instance_host.h"

static void tell_health(struct fixture *f, int fd, uint32_t serial, uint32_t successes,
			uint32_t failures)
{
	struct {
		struct frame_header header;
		struct frame_health_result result;
	} __attribute__((packed)) told = {
		.header = { htole32(sizeof(struct frame_health_result)),
			    htole16(FRAME_HEALTH_RESULT), 0 },
		.result = { htole32(serial), htole32(successes), htole32(failures), "so it is" },
	};
	struct frame_header header = { 0 };
	char bytes[FRAME_PAYLOAD_MAX];

	assert_int_equal(send(fd, &told, sizeof(told), MSG_NOSIGNAL), sizeof(told));
	/* Until it may tell another. */
	for (int tries = 0; le16toh(header.type) != FRAME_HEALTH_SEEN && tries < 4000; tries++) {
		run_for(f, 5);
		while (recv(fd, &header, sizeof(header), MSG_DONTWAIT) == sizeof(header) &&
		       le16toh(header.type) != FRAME_HEALTH_SEEN)
			assert_int_equal(recv(fd, bytes, le32toh(header.length), MSG_DONTWAIT),
					 le32toh(header.length));
	}
	assert_int_equal(le16toh(header.type), FRAME_HEALTH_SEEN);
}

static enum health health_of(const struct fixture *f)
{
	struct instance_status status;

	instance_observe(f->instance, &status);
	return status.health;
}

static void update_check(struct fixture *f, const char *port, uint32_t retries)
{
	struct spec *spec = spec_copy(f->instance->spec);

	strv_reset(&spec->healthcheck);
	if (port) {
		strv_add(&spec->healthcheck, "tcp");
		strv_add(&spec->healthcheck, port);
	}
	spec->health_interval_ms = spec->health_timeout_ms = 1000;
	spec->health_retries = retries;
	instance_update(f->instance, spec);
	spec_free(spec);
}

static void health_is_what_the_guest_told_last(void **state)
{
	struct fixture *f = *state;
	int fd = greet(f), changes;

	update_check(f, ":80", 3); /* the hello's was the first definition */
	assert_int_equal(health_of(f), HEALTH_NONE);
	changes = f->changes;
	tell_health(f, fd, 2, 0, 0);
	assert_int_equal(health_of(f), HEALTH_STARTING);
	assert_int_equal(f->changes, changes);
	tell_health(f, fd, 2, 1, 2);
	assert_int_equal(health_of(f), HEALTH_HEALTHY);
	assert_int_equal(f->changes, changes + 1);
	tell_health(f, fd, 2, 1, 0);
	assert_int_equal(f->changes, changes + 1);
	tell_health(f, fd, 2, 1, 3);
	assert_int_equal(health_of(f), HEALTH_UNHEALTHY);
	assert_int_equal(f->changes, changes + 2);
	/* How many are enough is the host's to judge. */
	update_check(f, ":80", 4);
	assert_int_equal(health_of(f), HEALTH_HEALTHY);
	assert_int_equal(f->changes, changes + 3);
	/* Paused, it is not judged. */
	f->instance->phase = PHASE_PAUSED;
	assert_int_equal(health_of(f), HEALTH_NONE);
	f->instance->phase = PHASE_RUNNING;
	assert_int_equal(health_of(f), HEALTH_HEALTHY);
	update_check(f, ":81", 4);
	assert_int_equal(health_of(f), HEALTH_NONE);
	tell_health(f, fd, 2, 1, 0); /* of the check before */
	assert_int_equal(health_of(f), HEALTH_NONE);
	tell_health(f, fd, 3, 1, 0);
	assert_int_equal(health_of(f), HEALTH_HEALTHY);
	update_check(f, NULL, 4);
	assert_int_equal(health_of(f), HEALTH_NONE);
	close(fd);
}

static void on_released(void *data, struct instance *instance)
{
	(void)data;
	(void)instance;
}

static void end_vmm(struct fixture *f)
{
	static const struct vmm_exit ended = { .reason = REASON_GUEST_ENDED };

	f->instance->channel = channel_free(f->instance->channel);
	instance_vmm_callbacks.gone(f->instance, &ended);
}

static void stop_when_unhealthy(struct fixture *f)
{
	struct spec *spec = spec_copy(f->instance->spec);

	spec->unhealthy_stops = true;
	instance_update(f->instance, spec);
	spec_free(spec);
}

/* It is stopped, and then its policy is asked: not so when an operator wants something else. */
static void an_unhealthy_one_may_be_stopped(void **state)
{
	struct fixture *f = *state;
	struct instance *instance = f->instance;
	int fd = greet(f);

	update_check(f, ":80", 3);
	tell_health(f, fd, 2, 1, 3);
	assert_int_equal(instance->phase, PHASE_RUNNING);
	stop_when_unhealthy(f);
	assert_int_equal(instance->phase, PHASE_STOPPING);
	assert_string_equal(instance->message, "3 checks failed, the last: so it is");
	/* Its grace is over. */
	instance_event(instance, EVENT_TIMEOUT);
	told(f, "kill;");
	instance->spec->restart = RESTART_NO;
	instance->image = image_free(instance->image);
	end_vmm(f);
	assert_int_equal(instance->phase, PHASE_STOPPED);
	assert_int_equal(instance->reason, REASON_UNHEALTHY);
	assert_string_equal(instance->message, "3 checks failed, the last: so it is");
	close(fd);
}

static void it_starts_again_as_its_policy_says(void **state)
{
	struct fixture *f = *state;
	struct instance *instance = f->instance;
	int fd = greet(f);

	update_check(f, ":80", 3);
	stop_when_unhealthy(f);
	tell_health(f, fd, 2, 0, 2);
	assert_int_equal(instance->phase, PHASE_RUNNING);
	tell_health(f, fd, 2, 0, 3);
	assert_int_equal(instance->phase, PHASE_STOPPING);
	end_vmm(f);
	assert_int_equal(instance->phase, PHASE_BACKOFF);
	assert_int_equal(instance->reason, REASON_UNHEALTHY);
	assert_int_equal(instance->restarts, 1);
	close(fd);
}

static void an_operator_comes_first(void **state)
{
	struct fixture *f = *state;
	struct instance *instance = f->instance;
	int fd = greet(f);

	update_check(f, ":80", 3);
	stop_when_unhealthy(f);
	tell_health(f, fd, 2, 0, 3);
	f->context.refusal = on_refusal;
	f->context.released = on_released;
	instance_remove(instance);
	assert_int_equal(instance->phase, PHASE_STOPPING);
	end_vmm(f);
	assert_int_equal(instance->phase, PHASE_ABSENT);
	assert_int_equal(instance->reason, REASON_OPERATOR);
	close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(health_is_what_the_guest_told_last),
		TEST(an_unhealthy_one_may_be_stopped),
		TEST(it_starts_again_as_its_policy_says),
		TEST(an_operator_comes_first),
	};

	return cmocka_run_group_tests_name("instance health", tests, NULL, NULL);
}
