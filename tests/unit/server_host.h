/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A control/server over a real socket, with the roster of tests/fakes. The test is client and loop
 * in one thread: `await` and `turn` run the loop until the client has what it waits for. A test
 * program includes it once.
 */
#ifndef STOKER_TESTS_SERVER_HOST_H
#define STOKER_TESTS_SERVER_HOST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "control/protocol.h"
#include "control/server.h"

#include "tests/fakes/roster.c"
#include "tests/unit/run_loop.h"

struct fixture {
	char dir[64];
	struct loop *loop;
	struct settings settings;
	struct roster roster;
	struct server *server;
	struct strbuf received;
	bool is_invalid; /* the manifests are */
};

/* --- the daemon's side -------------------------------------------------------------------------
 */

static inline int on_plan(void *data, char **ret_text)
{
	struct fixture *f = data;

	*ret_text = xstrdup(f->is_invalid ? "web.yaml:1:1: unknown key\n" : "create acme/web\n");
	return f->is_invalid ? -1 : 0;
}

static inline json_t *on_describe(void *data)
{
	(void)data;
	return json_pack("{s:s}", "version", "test");
}

static inline void set_phase(struct fixture *f, size_t index, enum phase phase)
{
	f->roster.instances[index].phase = phase;
	server_publish(f->server, &f->roster.instances[index]);
}

static inline int on_reload(void *data, char **ret_text)
{
	struct fixture *f = data;
	int result = on_plan(data, ret_text);

	if (result == 0)
		set_phase(f, 0, PHASE_BOOTING);
	return result;
}

static inline const struct fleet *on_fleet(void *data)
{
	(void)data;
	return NULL;
}

static const struct control_handlers handlers = { on_plan, on_reload, on_describe, on_fleet };

static inline void add_instance(struct fixture *f, const char *name)
{
	struct spec *spec = spec_new();

	spec->name = xstrdup(name);
	spec->image = xstrdup("docker.io/library/busybox:1");
	f->roster.instances[f->roster.count++] =
		(struct instance_status){ .spec = spec, .phase = PHASE_RUNNING, .pid = 77 };
}

static inline int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/stoker-server-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	settings_defaults(&f->settings);
	free(f->settings.run_dir);
	f->settings.run_dir = xasprintf("%s/run", f->dir);
	f->roster.log_path = xasprintf("%s/vm.log", f->dir);
	f->roster.is_settled = true;
	add_instance(f, "acme/db");
	add_instance(f, "acme/web");
	f->loop = loop_new(NULL);
	assert_int_equal(
		server_open(f->loop, &f->settings, &f->roster, &handlers, f, &f->server, NULL), 0);
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	server_close(f->server);
	loop_free(f->loop);
	for (size_t i = 0; i < f->roster.count; i++)
		spec_free((struct spec *)f->roster.instances[i].spec);
	free(f->roster.log_path);
	settings_reset(&f->settings);
	strbuf_reset(&f->received);
	fs_remove_tree(f->dir, NULL);
	free(f);
	return 0;
}

/* --- the client's side -------------------------------------------------------------------------
 */

static inline struct sockaddr_un address_of(const struct fixture *f)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/" PROTOCOL_SOCKET,
		 f->settings.run_dir);
	return address;
}

static inline int dial(const struct fixture *f)
{
	struct sockaddr_un address = address_of(f);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static inline void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Lets the server work for a moment. */
static inline void turn(const struct fixture *f, uint64_t ms)
{
	run_loop_for(f->loop, ms);
}

/* All that came until `wanted` is in it, or the connection was closed; "" after 20 s without. */
static inline const char *await(struct fixture *f, int fd, const char *wanted)
{
	uint64_t until_ms = loop_now_ms() + 20000;
	char bytes[65536];

	strbuf_reset(&f->received);
	while (loop_now_ms() < until_ms) {
		ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return strbuf_text(&f->received);
		if (n > 0)
			strbuf_add(&f->received, bytes, (size_t)n);
		if (wanted && strstr(strbuf_text(&f->received), wanted))
			return strbuf_text(&f->received);
		turn(f, 1);
	}
	return "";
}

static inline const char *ask(struct fixture *f, const char *request)
{
	int fd = dial(f);

	say(fd, request);
	shutdown(fd, SHUT_WR);
	await(f, fd, NULL);
	close(fd);
	return strbuf_text(&f->received);
}

static inline size_t count_of(const char *text, const char *word)
{
	size_t count = 0;

	for (; (text = strstr(text, word)); text += strlen(word))
		count++;
	return count;
}

#define DONE "{\"done\":true}\n"

#endif
