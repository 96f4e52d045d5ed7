/* SPDX-License-Identifier: Apache-2.0 */
/* What an instance asks of a VMM while that runs: limits, pause, resume. The driver is a stand-in
 * that writes down what it is told; the instance, its actions and its record are the real ones. */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "guest-init/protocol.h"
#include "instance/actions.h"
#include "instance/internal.h"

struct vmm {
	struct strbuf told;
	struct instance *instance;
};

/* The phase that the record had when the driver was told. */
static const char *recorded(const struct vmm *vmm)
{
	const struct instance *instance = vmm->instance;
	_cleanup_free_ char *run_dir = instance_run_dir(instance->context, instance->slot);
	struct record record = { 0 };
	const char *name;

	if (record_read(run_dir, &record, NULL) < 0)
		return "none";
	name = phase_name(record.phase);
	record_reset(&record);
	return name;
}

static void fake_kill(struct vmm *vmm)
{
	strbuf_puts(&vmm->told, "kill;");
}

static void fake_limit(struct vmm *vmm, const struct vmm_limits *limits)
{
	strbuf_printf(
		&vmm->told, "limit %llu %llu %llu;", (unsigned long long)limits->disk_bandwidth,
		(unsigned long long)limits->disk_iops, (unsigned long long)limits->balloon_bytes);
}

static void fake_pause(struct vmm *vmm)
{
	strbuf_printf(&vmm->told, "pause (%s);", recorded(vmm));
}

static void fake_resume(struct vmm *vmm)
{
	strbuf_printf(&vmm->told, "resume (%s);", recorded(vmm));
}

static pid_t fake_pid(const struct vmm *vmm)
{
	(void)vmm;
	return 4711;
}

static uint64_t fake_start_time(const struct vmm *vmm)
{
	(void)vmm;
	return 42;
}

static const char *fake_describe(const struct vmm *vmm)
{
	(void)vmm;
	return "fake (none)";
}

static struct vmm *fake_free(struct vmm *vmm)
{
	strbuf_reset(&vmm->told);
	return NULL;
}

static const struct vmm_driver fake_driver = { .name = "qemu",
					       .kill = fake_kill,
					       .limit = fake_limit,
					       .pause = fake_pause,
					       .resume = fake_resume,
					       .pid = fake_pid,
					       .start_time = fake_start_time,
					       .describe = fake_describe,
					       .free = fake_free };

struct fixture {
	char dir[64];
	struct settings settings;
	struct instance_context context;
	struct instance *instance;
	struct vmm vmm;
	int changes;
};

static void on_changed(void *data, struct instance *instance)
{
	struct fixture *f = data;

	(void)instance;
	f->changes++;
}

static char *no_hosts(void *data, const char *tenant)
{
	(void)data;
	(void)tenant;
	return xstrdup("");
}

static struct spec *make_spec(void)
{
	struct spec *spec = spec_new();

	spec->name = xstrdup("acme/web");
	spec->tenant = xstrdup("acme");
	spec->vm = xstrdup("web");
	spec->image = xstrdup("nginx");
	return spec;
}

static int setup(void **state)
{
	static const struct image image = { (char *)"i", (char *)"d", (char *)"s", (char *)"r" };
	struct fixture *f = xcalloc(1, sizeof(*f));
	_cleanup_free_ char *run_dir = NULL;
	struct spec *spec = make_spec();

	snprintf(f->dir, sizeof(f->dir), "/tmp/stoker-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	settings_defaults(&f->settings);
	free(f->settings.run_dir);
	f->settings.run_dir = xstrdup(f->dir);
	f->context = (struct instance_context){ .loop = loop_new(NULL),
						.settings = &f->settings,
						.changed = on_changed,
						.hosts = no_hosts,
						.data = f };
	free(f->settings.state_dir);
	f->settings.state_dir = xasprintf("%s/state", f->dir);
	f->settings.uid_base = geteuid();
	assert_int_equal(image_store_open(f->context.loop, &f->settings, &f->context.images, NULL),
			 0);
	f->instance = instance_new(&f->context, spec, 7);
	spec_free(spec);
	f->instance->phase = PHASE_RUNNING;
	f->instance->image = image_copy(&image);
	f->instance->driver = &fake_driver;
	f->instance->vmm = &f->vmm;
	f->instance->running_ms = 1;
	f->vmm.instance = f->instance;
	run_dir = instance_run_dir(&f->context, 7);
	assert_int_equal(fs_mkdir_p(run_dir, 0700, NULL), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	instance_free(f->instance);
	image_store_close(f->context.images);
	loop_free(f->context.loop);
	settings_reset(&f->settings);
	assert_int_equal(fs_remove_tree(f->dir, NULL), 0);
	free(f);
	return 0;
}

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

static void told(struct fixture *f, const char *expected)
{
	assert_string_equal(strbuf_text(&f->vmm.told), expected);
	strbuf_reset(&f->vmm.told);
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
static int call(struct fixture *f)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	instance_vmm_callbacks.channel(f->instance, ends[0]);
	return ends[1];
}

static void stop_loop(struct watch *watch, unsigned events, void *data)
{
	(void)watch;
	(void)events;
	loop_stop(data);
}

static void run_for(struct fixture *f, uint64_t time_ms)
{
	struct watch *watch = loop_timer(f->context.loop, time_ms, stop_loop, f->context.loop);

	loop_run(f->context.loop);
	watch_free(watch);
}

static struct frame_greet take_greeting(struct fixture *f, int fd)
{
	struct {
		struct frame_header header;
		struct frame_greet greet;
	} __attribute__((packed)) got;
	ssize_t n = -1;

	for (int tries = 0; n < 0 && tries < 4000; tries++) {
		run_for(f, 5);
		n = recv(fd, &got, sizeof(got), MSG_DONTWAIT);
	}
	assert_int_equal(n, sizeof(got));
	return got.greet;
}

static void answer(struct fixture *f, int fd, const uint8_t key[CHANNEL_KEY_SIZE])
{
	struct frame_greet greet = take_greeting(f, fd);
	struct {
		struct frame_header header;
		struct frame_hello hello;
	} __attribute__((packed)) reply = {
		.header = { htole32(sizeof(struct frame_hello)), htole16(FRAME_HELLO), 0 },
		.hello = { .version = htole32(CHANNEL_VERSION),
			   .running = htole32(1),
			   .log_place = htole64(4096) },
	};

	memcpy(reply.hello.magic, greet.magic, sizeof(greet.magic));
	memcpy(reply.hello.nonce, greet.nonce, sizeof(greet.nonce));
	memcpy(reply.hello.key, key, CHANNEL_KEY_SIZE);
	assert_int_equal(send(fd, &reply, sizeof(reply), MSG_NOSIGNAL), sizeof(reply));
}

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

/* --- health -------------------------------------------------------------------------------------
 */

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
	int fd, changes;

	memset(f->instance->peer.key, 'k', sizeof(f->instance->peer.key));
	fd = call(f);
	answer(f, fd, f->instance->peer.key);
	for (int tries = 0; !f->instance->has_hello && tries < 4000; tries++)
		run_for(f, 5);
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

static const char *on_refusal(void *data)
{
	(void)data;
	return NULL;
}

static void on_released(void *data, struct instance *instance)
{
	(void)data;
	(void)instance;
}

static int greet(struct fixture *f)
{
	int fd;

	memset(f->instance->peer.key, 'k', sizeof(f->instance->peer.key));
	fd = call(f);
	answer(f, fd, f->instance->peer.key);
	for (int tries = 0; !f->instance->has_hello && tries < 4000; tries++)
		run_for(f, 5);
	return fd;
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
		TEST(health_is_what_the_guest_told_last),
		TEST(an_unhealthy_one_may_be_stopped),
		TEST(it_starts_again_as_its_policy_says),
		TEST(an_operator_comes_first),
		TEST(it_waits_until_it_is_woken),
		TEST(a_record_of_another_protocol_is_refused),
	};

	return cmocka_run_group_tests_name("instance live", tests, NULL, NULL);
}
