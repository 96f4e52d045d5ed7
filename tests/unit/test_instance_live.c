/* SPDX-License-Identifier: Apache-2.0 */
/* What an instance asks of a VMM while that runs: limits, pause, resume; who speaks for its guest,
 * and whom it waits for. */
#include "tests/unit/instance_host.h"

static void update(struct fixture *f, uint64_t bandwidth, uint32_t iops, uint64_t balloon)
{
	struct spec *spec = make_spec();

	strv_addf(&spec->labels, "change=%llu", (unsigned long long)(bandwidth + iops + balloon));
	spec->rate_disk_bandwidth = bandwidth;
	spec->rate_disk_iops = iops;
	spec->balloon_bytes = balloon;
	strbuf_reset(&f->vmm.told);
	instance_update(f->instance, spec);
	spec_free(spec);
}

static void limits_are_changed_only_when_they_differ(void **state)
{
	struct fixture *f = *state;

	update(f, 0, 0, 0);
	told(f, "");
	assert_string_equal(recorded(&f->vmm), "running");
	update(f, 1048576, 0, 0);
	told(f, "limit 1048576 0 0;");
	update(f, 1048576, 10, 0);
	told(f, "limit 1048576 10 0;");
	update(f, 1048576, 10, 67108864);
	told(f, "limit 1048576 10 67108864;");
	update(f, 1048576, 10, 67108864);
	told(f, "");
	update(f, 0, 0, 0);
	told(f, "limit 0 0 0;");
	assert_int_equal(f->changes, 0);
}

/* What is about to be replaced goes on as it is; its successor gets the limits. */
static void what_is_replaced_is_left_alone(void **state)
{
	struct fixture *f = *state;

	f->instance->next = make_spec();
	update(f, 1, 2, 3);
	told(f, "");
	assert_int_equal(f->instance->next->rate_disk_iops, 2);
	assert_int_equal(f->instance->spec->rate_disk_iops, 0);
}

static void pause_and_resume(void **state)
{
	struct fixture *f = *state;
	struct instance_status status;
	struct error err;

	instance_arm(f->instance, 1000); /* its channel was lost */
	assert_int_equal(instance_pause(f->instance, &err), 0);
	told(f, "pause (paused);");
	assert_null(f->instance->timer);
	assert_int_equal(instance_pause(f->instance, &err), 0);
	told(f, "");
	instance_observe(f->instance, &status);
	assert_string_equal(phase_name(status.phase), "paused");
	assert_int_equal(status.pid, 4711);
	update(f, 0, 5, 0);
	told(f, "limit 0 5 0;");
	assert_string_equal(recorded(&f->vmm), "paused");
	assert_int_equal(instance_resume(f->instance, &err), 0);
	told(f, "resume (paused);");
	assert_string_equal(recorded(&f->vmm), "running");
	assert_int_equal(f->instance->phase, PHASE_RUNNING);
	assert_non_null(f->instance->timer); /* which may come back now */
	assert_int_equal(instance_resume(f->instance, &err), 0);
	told(f, "");
	assert_int_equal(f->changes, 2);
}

static void nothing_but_a_running_vm_is_paused(void **state)
{
	struct fixture *f = *state;
	struct error err;

	f->instance->phase = PHASE_BOOTING;
	assert_int_equal(instance_pause(f->instance, &err), -1);
	assert_string_equal(err.text, "acme/web is booting (only a running VM can be paused)");
	assert_int_equal(instance_resume(f->instance, &err), -1);
	assert_string_equal(err.text, "acme/web is booting (only a paused VM can be resumed)");
	f->instance->phase = PHASE_BACKOFF;
	assert_int_equal(instance_pause(f->instance, &err), -1);
	assert_string_equal(err.text, "acme/web is backoff (only a running VM can be paused)");
	told(f, "");
}

/* Frozen, it could not hear its stop signal. This one has lost its channel: it is killed then. */
static void a_paused_vm_is_resumed_to_be_stopped(void **state)
{
	struct fixture *f = *state;
	struct error err;

	assert_int_equal(instance_pause(f->instance, &err), 0);
	told(f, "pause (paused);");
	instance_remove(f->instance);
	told(f, "resume (paused);kill;");
	assert_string_equal(recorded(&f->vmm), "running");
	assert_int_equal(f->instance->phase, PHASE_STOPPING);
}

static void a_paused_vm_whose_channel_is_lost_lives(void **state)
{
	struct fixture *f = *state;
	struct error err;

	assert_int_equal(instance_pause(f->instance, &err), 0);
	told(f, "pause (paused);");
	instance_event(f->instance, EVENT_CHANNEL_LOST);
	instance_event(f->instance, EVENT_TIMEOUT);
	assert_null(f->instance->timer);
	told(f, "");
	assert_int_equal(f->instance->phase, PHASE_PAUSED);
}

static void the_guest_tells_how_it_booted(void **state)
{
	static const struct {
		uint64_t init_us, boot_us;
		const char *told;
	} cases[] = {
		{ 1640999, 1676001,
		  "{\"kernel_ms\": 1640, \"init_ms\": 35, \"workload_ms\": 1676}" },
		{ 0, 999, "{\"kernel_ms\": 0, \"init_ms\": 0, \"workload_ms\": 0}" },
		{ 1640999, 0, "null" }, /* the workload never ran */
		{ 5, 4, "null" },
		{ UINT64_MAX, UINT64_MAX - 1, "null" },
		{ 0, UINT64_MAX,
		  "{\"kernel_ms\": 0, \"init_ms\": 18446744073709551, "
		  "\"workload_ms\": 18446744073709551}" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct channel_hello hello = { .init_us = cases[i].init_us,
						     .boot_us = cases[i].boot_us,
						     .workload_running = true };
		struct instance_status status;
		_cleanup_json_ json_t *told = NULL;
		_cleanup_free_ char *text = NULL;

		instance_channel_callbacks.hello(f->instance, &hello);
		instance_observe(f->instance, &status);
		told = instance_status_to_json(&status);
		text = json_dumps(json_object_get(told, "boot"), JSON_ENCODE_ANY);
		assert_string_equal(text, cases[i].told);
	}
}

static void a_refused_pause_is_none(void **state)
{
	struct fixture *f = *state;
	struct instance_status status;
	struct error err;

	instance_event(f->instance, EVENT_PAUSE);
	told(f, "pause (paused);");
	error_set(&err, "QEMU does not pause or resume: no");
	instance_vmm_callbacks.refused(f->instance, VMM_WISH_PAUSE, &err);
	instance_observe(f->instance, &status);
	assert_int_equal(status.phase, PHASE_RUNNING);
	assert_string_equal(status.message, "QEMU does not pause or resume: no");
	assert_string_equal(recorded(&f->vmm), "running");
}

static void what_was_refused_is_in_the_message(void **state)
{
	struct fixture *f = *state;
	struct instance_status status;
	struct error err;

	error_set(&err, "QEMU does not change the balloon: no");
	instance_vmm_callbacks.refused(f->instance, VMM_WISH_LIMIT, &err);
	instance_observe(f->instance, &status);
	assert_string_equal(status.message, "QEMU does not change the balloon: no");
	assert_int_equal(status.phase, PHASE_RUNNING);
	told(f, "");
	/* The channel's return is no answer to that. */
	instance_event(f->instance, EVENT_GUEST_READY);
	instance_observe(f->instance, &status);
	assert_string_equal(status.message, "QEMU does not change the balloon: no");
	update(f, 0, 0, 1);
	instance_observe(f->instance, &status);
	assert_string_equal(status.message, "");
}

/* --- who speaks for the guest ------------------------------------------------------------------
 */

/* The guest's end of one connection. */
static void closed_by_the_host(struct fixture *f, int fd)
{
	ssize_t n = -1;
	char bytes[256];

	for (int tries = 0; n != 0 && tries < 4000; tries++) {
		n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n < 0 && errno == ECONNRESET)
			n = 0;
		run_for(f, 5);
	}
	assert_int_equal(n, 0);
	close(fd);
}

/* Processes of the guest's connect first, in stoker-init's place: one says nothing, one guesses. */
static void whoever_has_the_key_is_the_guest(void **state)
{
	static const uint8_t guess[CHANNEL_KEY_SIZE] = "guess";
	struct fixture *f = *state;
	_cleanup_free_ char *run_dir = instance_run_dir(&f->context, 7);
	struct record record;
	int silent, guessing, init, late;

	memset(f->instance->peer.key, 'k', sizeof(f->instance->peer.key));
	silent = call(f);
	guessing = call(f);
	init = call(f);
	answer(f, guessing, guess);
	closed_by_the_host(f, guessing);
	assert_false(f->instance->has_hello);
	answer(f, init, f->instance->peer.key);
	closed_by_the_host(f, silent);
	assert_true(f->instance->has_hello);
	assert_null(f->instance->callers);
	late = call(f); /* nobody takes it over from now on */
	closed_by_the_host(f, late);
	/* The next daemon knows the key, and what of the log is here. */
	record_rewrite(f->instance);
	assert_int_equal(record_read(run_dir, &record, NULL), 0);
	assert_memory_equal(record.peer.key, f->instance->peer.key, CHANNEL_KEY_SIZE);
	assert_int_equal(record.peer.log_seen, 4096);
	record_reset(&record);
	close(init);
}

/* Any number of them: no more than a few are kept, and the newest is heard. */
static void many_callers_are_few(void **state)
{
	struct fixture *f = *state;
	int fds[40], init;

	memset(f->instance->peer.key, 'k', sizeof(f->instance->peer.key));
	for (int i = 0; i < 40; i++)
		fds[i] = call(f);
	init = call(f);
	for (int i = 1; i < 33; i++) /* all but the channel and the newest of the callers */
		closed_by_the_host(f, fds[i]);
	answer(f, init, f->instance->peer.key);
	for (int i = 33; i < 40; i++)
		closed_by_the_host(f, fds[i]);
	closed_by_the_host(f, fds[0]);
	assert_true(f->instance->has_hello);
	close(init);
}

/* --- who waits ----------------------------------------------------------------------------------
 */

static enum instance_wait answer_of_others;

static enum instance_wait on_wait(void *data, const struct spec *spec, char text[256])
{
	(void)data;
	assert_string_equal(spec->name, "acme/web");
	if (answer_of_others != WAIT_NOT)
		strcpy(text, "waits for db");
	return answer_of_others;
}

static const char *on_holder(void *data, const struct instance *asking, const struct spec *spec,
			     const char **ret_what)
{
	(void)data;
	(void)asking;
	(void)spec;
	*ret_what = "address";
	return "acme/other";
}

/* By no timer of its own: what comes next, the address, is asked for by one. */
static void it_waits_until_it_is_woken(void **state)
{
	struct fixture *f = *state;
	struct instance *instance = f->instance;

	f->context.wait = on_wait;
	f->context.refusal = on_refusal;
	f->context.holder = on_holder;
	instance->phase = PHASE_PREPARING;
	answer_of_others = WAIT_STUCK;
	assert_int_equal(act_prepare(instance), EVENT_NONE);
	assert_null(instance->timer);
	assert_string_equal(instance->message, "waits for db");
	assert_true(instance_is_stuck(instance));
	instance_wake(instance);
	assert_null(instance->timer);
	answer_of_others = WAIT_ON_WAY;
	instance_wake(instance);
	assert_false(instance_is_stuck(instance));
	assert_null(instance->timer);
	answer_of_others = WAIT_NOT;
	instance_wake(instance);
	assert_string_equal(instance->message, "waits until acme/other has released its address");
	assert_non_null(instance->timer);
	/* Nobody waits who is beyond that. */
	instance_disarm(instance);
	instance_wake(instance);
	assert_null(instance->timer);
	instance->phase = PHASE_RUNNING;
}

/* A guest of before the key cannot be heard, and the record says why. */
static void a_record_of_another_protocol_is_refused(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *run_dir = instance_run_dir(&f->context, 7);
	_cleanup_free_ char *path = xasprintf("%s/record.json", run_dir);
	_cleanup_strbuf_ struct strbuf text = { 0 };
	struct record record;
	struct error err;
	char *at;

	record_rewrite(f->instance);
	assert_int_equal(fs_read(path, 1 << 20, &text, NULL), 0);
	at = strstr(text.data, "\"channel\":7");
	assert_non_null(at);
	at[strlen("\"channel\":")] = '2';
	assert_int_equal(fs_write_atomic(path, text.data, text.length, 0600, NULL), 0);
	assert_int_equal(record_read(run_dir, &record, &err), -1);
	assert_non_null(strstr(err.text,
			       "its guest speaks channel protocol 2, not 7: it was started "
			       "by another version of stokerd"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(limits_are_changed_only_when_they_differ),
		TEST(what_is_replaced_is_left_alone),
		TEST(pause_and_resume),
		TEST(nothing_but_a_running_vm_is_paused),
		TEST(a_paused_vm_is_resumed_to_be_stopped),
		TEST(a_paused_vm_whose_channel_is_lost_lives),
		TEST(the_guest_tells_how_it_booted),
		TEST(a_refused_pause_is_none),
		TEST(what_was_refused_is_in_the_message),
		TEST(whoever_has_the_key_is_the_guest),
		TEST(many_callers_are_few),
		TEST(it_waits_until_it_is_woken),
		TEST(a_record_of_another_protocol_is_refused),
	};

	return cmocka_run_group_tests_name("instance live", tests, NULL, NULL);
}
