/* SPDX-License-Identifier: Apache-2.0 */
/* An instance that runs, for its unit tests. The VMM is a stand-in that writes down what it is
 * told; the instance, its actions and its record are the real ones. */
#ifndef STOKER_TESTS_INSTANCE_HOST_H
#define STOKER_TESTS_INSTANCE_HOST_H

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
#include "tests/unit/run_loop.h"

struct vmm {
	struct strbuf told;
	struct instance *instance;
};

/* The phase that the record had when the driver was told. */
static inline const char *recorded(const struct vmm *vmm)
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

static inline void fake_kill(struct vmm *vmm)
{
	strbuf_puts(&vmm->told, "kill;");
}

static inline void fake_limit(struct vmm *vmm, const struct vmm_limits *limits)
{
	strbuf_printf(
		&vmm->told, "limit %llu %llu %llu;", (unsigned long long)limits->disk_bandwidth,
		(unsigned long long)limits->disk_iops, (unsigned long long)limits->balloon_bytes);
}

static inline void fake_pause(struct vmm *vmm)
{
	strbuf_printf(&vmm->told, "pause (%s);", recorded(vmm));
}

static inline void fake_resume(struct vmm *vmm)
{
	strbuf_printf(&vmm->told, "resume (%s);", recorded(vmm));
}

static inline pid_t fake_pid(const struct vmm *vmm)
{
	(void)vmm;
	return 4711;
}

static inline uint64_t fake_start_time(const struct vmm *vmm)
{
	(void)vmm;
	return 42;
}

static inline const char *fake_describe(const struct vmm *vmm)
{
	(void)vmm;
	return "fake (none)";
}

static inline struct vmm *fake_free(struct vmm *vmm)
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

static inline void on_changed(void *data, struct instance *instance)
{
	struct fixture *f = data;

	(void)instance;
	f->changes++;
}

static inline char *no_hosts(void *data, const char *tenant)
{
	(void)data;
	(void)tenant;
	return xstrdup("");
}

static inline struct spec *make_spec(void)
{
	struct spec *spec = spec_new();

	spec->name = xstrdup("acme/web");
	spec->tenant = xstrdup("acme");
	spec->vm = xstrdup("web");
	spec->image = xstrdup("nginx");
	return spec;
}

static inline int setup(void **state)
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

static inline int teardown(void **state)
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

static inline void told(struct fixture *f, const char *expected)
{
	assert_string_equal(strbuf_text(&f->vmm.told), expected);
	strbuf_reset(&f->vmm.told);
}
static inline const char *on_refusal(void *data)
{
	(void)data;
	return NULL;
}

static inline int call(struct fixture *f)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	instance_vmm_callbacks.channel(f->instance, ends[0]);
	return ends[1];
}

static inline void run_for(struct fixture *f, uint64_t time_ms)
{
	run_loop_for(f->context.loop, time_ms);
}

static inline struct frame_greet take_greeting(struct fixture *f, int fd)
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

static inline void answer(struct fixture *f, int fd, const uint8_t key[CHANNEL_KEY_SIZE])
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

static inline int greet(struct fixture *f)
{
	int fd;

	memset(f->instance->peer.key, 'k', sizeof(f->instance->peer.key));
	fd = call(f);
	answer(f, fd, f->instance->peer.key);
	for (int tries = 0; !f->instance->has_hello && tries < 4000; tries++)
		run_for(f, 5);
	return fd;
}

#endif
