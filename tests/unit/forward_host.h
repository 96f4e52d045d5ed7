/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of forward/: a target and the loop in one thread. What the program logs goes to a file,
 * for assertions, and at the end of each test to stderr. Include what cmocka needs first.
 */
#ifndef STOKER_TESTS_UNIT_FORWARD_HOST_H
#define STOKER_TESTS_UNIT_FORWARD_HOST_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "forward/forward.h"
#include "tests/unit/run_loop.h"

enum { WAIT_MS = 120000 };

struct fixture {
	char dir[64];
	struct loop *loop;
	struct settings settings;
	struct forward *forward;
	int stderr_fd; /* the real one */
};

static inline char *log_path(const struct fixture *f)
{
	return xasprintf("%s/log", f->dir);
}

static inline int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	_cleanup_free_ char *path = NULL;
	int fd;

	strcpy(f->dir, "/tmp/stoker-forward-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	path = log_path(f);
	f->stderr_fd = dup(STDERR_FILENO);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	assert_true(fd >= 0 && dup2(fd, STDERR_FILENO) >= 0);
	close(fd);
	settings_defaults(&f->settings);
	f->loop = loop_new(NULL);
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *path = log_path(f);
	_cleanup_strbuf_ struct strbuf text = { 0 };

	forward_close(f->forward);
	dup2(f->stderr_fd, STDERR_FILENO);
	close(f->stderr_fd);
	if (fs_read(path, 1 << 20, &text, NULL) == 0)
		fputs(strbuf_text(&text), stderr);
	loop_free(f->loop);
	settings_reset(&f->settings);
	fs_remove_tree(f->dir, NULL);
	free(f);
	return 0;
}

static inline void open_to(struct fixture *f, const char *format, int port)
{
	struct error err;

	free(f->settings.log_forward);
	f->settings.log_forward = xasprintf("%s%.0d", format, port);
	if (forward_open(f->loop, &f->settings, &f->forward, &err) < 0)
		fail_msg("%s", err.text);
}

static inline void say(struct fixture *f, const char *name, const char *stream, const char *text)
{
	const struct forward_line line = { .name = name,
					   .stream = stream,
					   .text = text,
					   .length = strlen(text),
					   .time_ms = UINT64_C(1795674600042) };

	forward_add(f->forward, &line);
}

static inline void turn(const struct fixture *f)
{
	run_loop_for(f->loop, 1);
}

static inline struct forward_counts counts(const struct fixture *f)
{
	struct forward_counts result;

	forward_count(f->forward, &result);
	return result;
}

static inline bool is_logged(const struct fixture *f, const char *wanted)
{
	_cleanup_free_ char *path = log_path(f);
	_cleanup_strbuf_ struct strbuf text = { 0 };

	return fs_read(path, 1 << 20, &text, NULL) == 0 && strstr(strbuf_text(&text), wanted);
}

static inline void await_logged(const struct fixture *f, const char *wanted)
{
	uint64_t until_ms = loop_now_ms() + WAIT_MS;

	while (!is_logged(f, wanted)) {
		if (loop_now_ms() > until_ms)
			fail_msg("not logged: %s", wanted);
		turn(f);
	}
}

#endif
