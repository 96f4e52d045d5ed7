/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's end of a stoker-image process. Its records come over a socket and are the only thing
 * that the daemon reads of it; a record out of place ends the process.
 */
#include "image/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"

enum { REPORT_FD = 3, FDS_MAX = REPORT_LAYERS_MAX + 8, RECORDS_PER_TURN = 16 };
enum { RATE_WINDOW_MS = 1000 };

struct process {
	struct child *child;
	int pipe;
	struct watch *watch;
	struct report record; /* being received */
	size_t received;
	struct process_result result;
	struct {
		uint64_t since_ms, done; /* where the present measurement began; 0: none */
	} rate;
	struct error err;
	bool has_error, retry; /* it failed, or misbehaved */
	bool is_enough;	       /* ended by on_known */
	process_known_fn *on_known;
	process_fn *fn;
	void *data;
};

/* --- records --------------------------------------------------------------------------------- */

static int misbehaved(struct process *process, const struct error *why)
{
	if (!process->has_error) {
		process->err = *why;
		error_wrap(&process->err, "stoker-image misbehaves");
		process->has_error = true;
		process->retry = false;
	}
	if (process->child)
		child_kill(process->child, SIGKILL);
	return -1;
}

static void take_layer(struct process_result *result, const struct report *report)
{
	struct layer_progress *progress = &result->progress[result->layer_count];
	struct oci_descriptor *layer = &result->layers[result->layer_count++];

	memcpy(layer->digest, report->text, OCI_DIGEST_SIZE);
	layer->size = report->total;
	layer->layer_type = report->layer_type;
	memcpy(progress->digest, report->text, OCI_DIGEST_SIZE);
	progress->total = report->total;
}

/* Over the last second or so; of bytes that turned out to be worth nothing there is no rate. */
static void measure(struct process *process, const struct report *report)
{
	struct process_result *result = &process->result;
	uint64_t now_ms = loop_now_ms(), spent_ms = now_ms - process->rate.since_ms;

	if (process->rate.since_ms == 0 || report->stage != result->stage ||
	    report->done < process->rate.done) {
		result->rate = 0;
	} else if (spent_ms < RATE_WINDOW_MS) {
		return;
	} else {
		result->rate = (report->done - process->rate.done) * 1000 / spent_ms;
	}
	process->rate.since_ms = now_ms;
	process->rate.done = report->done;
}

static int take_progress(struct process *process, const struct report *report, struct error *err)
{
	struct process_result *result = &process->result;

	if (report->count > result->layer_count)
		return error_set(err, "progress of layer %u of %zu", report->count,
				 result->layer_count);
	if (report->count > 0) {
		result->progress[report->count - 1].done = report->done;
		return 0;
	}
	measure(process, report);
	result->stage = report->stage;
	result->done = report->done;
	result->total = report->total;
	return 0;
}

static bool all_known(const struct process_result *result)
{
	return result->config[0] && result->layers_expected > 0 &&
	       result->layer_count == result->layers_expected;
}

/* The record passed report_check: what is left is its place among the others. */
static int take_record(struct process *process, const struct report *report, struct error *err)
{
	struct process_result *result = &process->result;

	if (process->has_error || result->is_complete)
		return error_set(err, "a record after the last one");
	switch ((enum report_kind)report->kind) {
	case REPORT_PROGRESS:
		return take_progress(process, report, err);
	case REPORT_MANIFEST:
		if (!process->on_known || result->manifest[0])
			return error_set(err, "a manifest out of place");
		memcpy(result->manifest, report->text, OCI_DIGEST_SIZE);
		result->layers_expected = report->count;
		return 0;
	case REPORT_CONFIG:
		if (!result->manifest[0] || result->config[0])
			return error_set(err, "a config out of place");
		memcpy(result->config, report->text, OCI_DIGEST_SIZE);
		return 0;
	case REPORT_LAYER:
		if (!result->config[0] || all_known(result))
			return error_set(err, "a layer out of place");
		take_layer(result, report);
		if (!all_known(result))
			return 0;
		if (process->on_known(process->data, result)) {
			process->is_enough = true;
			child_kill(process->child, SIGKILL);
		} else {
			/* One that has gone already is judged by how it went. */
			send(process->pipe, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		}
		return 0;
	case REPORT_BUILT:
	case REPORT_DONE:
		if ((report->kind == REPORT_DONE) != (process->on_known != NULL) ||
		    (process->on_known && !all_known(result)))
			return error_set(err, "an end out of place");
		result->is_complete = true;
		return 0;
	case REPORT_ERROR:
		error_set(&process->err, "%s", report->text);
		process->has_error = true;
		process->retry = report->retry;
		return 0;
	}
	return error_set(err, "a record of kind %u", report->kind);
}

/* 1: a record was dealt with; 0: nothing there now; -1: the end, or nothing to wait for. */
static int read_record(struct process *process)
{
	struct error why;
	ssize_t n = read(process->pipe, (char *)&process->record + process->received,
			 sizeof(process->record) - process->received);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (n == 0)
		return -1;
	process->received += (size_t)n;
	if (process->received < sizeof(process->record))
		return 1;
	process->received = 0;
	if (process->is_enough)
		return 1;
	if (report_check(&process->record, &why) < 0 ||
	    take_record(process, &process->record, &why) < 0)
		return misbehaved(process, &why);
	return 1;
}

static void on_readable(struct watch *watch, unsigned events, void *data)
{
	struct process *process = data;

	(void)events;
	for (int i = 0; i < RECORDS_PER_TURN; i++) {
		int more = read_record(process);

		if (more > 0)
			continue;
		/* What remains is to wait for the end of the process. */
		if (more < 0)
			process->watch = watch_free(watch);
		return;
	}
}

/* --- the end --------------------------------------------------------------------------------- */

static void judge(struct process *process, const struct child_exit *status)
{
	if (process->has_error || process->is_enough)
		return;
	if (status->known && !status->signaled && status->code == 0 && process->result.is_complete)
		return;
	process->has_error = true;
	if (status->signaled && (status->code == SIGKILL || status->code == SIGTERM)) {
		error_set(&process->err,
			  "stoker-image was killed by signal %d (by hand, or for want "
			  "of memory)",
			  status->code);
		process->retry = true;
	} else if (status->signaled) {
		/* The same bytes would do it again. */
		error_set(&process->err, "stoker-image crashed with signal %d", status->code);
		process->retry = false;
	} else {
		error_set(&process->err, "stoker-image ended with status %d and without a word",
			  status->code);
		process->retry = false;
	}
}

static void on_exit_of(struct child *child, const struct child_exit *status, void *data)
{
	struct process *process = data;
	struct error err;

	/* What it wrote before it ended is still there, and bounded by the socket's buffer. */
	while (process->watch && read_record(process) > 0)
		;
	process->child = child_free(child);
	process->watch = watch_free(process->watch);
	judge(process, status);
	/* A copy: the callback may free the process before it looks at the error. */
	err = process->err;
	process->fn(process->data, process->has_error ? &err : NULL, process->retry);
}

/* --- the start ------------------------------------------------------------------------------- */

/* Between fork and exec: from here on this uid, and nothing to get back with. What else it must not
 * do it forbids itself (confine.h). */
static int drop_privileges(void *data, struct error *err)
{
	uid_t uid = *(const uid_t *)data;

	for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
		if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
			return error_errno(err, errno, "cannot drop capability %d", capability);
	if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
		return error_errno(err, errno, "cannot become uid %u", (unsigned)uid);
	/* After setresuid, which clears it. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_errno(err, errno, "prctl");
	return 0;
}

static int spawn(struct loop *loop, const struct process_options *options, int report,
		 struct process *process, struct error *err)
{
	struct child_fd fds[FDS_MAX];
	_cleanup_strv_ struct strv argv = { 0 };
	_cleanup_close_ int program = open(options->program, O_PATH | O_CLOEXEC);
	uid_t uid = options->uid;
	struct child_options child = { .fds = fds, .setup = drop_privileges, .setup_data = &uid };

	if (program < 0)
		return error_errno(err, errno, "%s: cannot open", options->program);
	if (options->fd_count + 2 > FDS_MAX)
		return error_set(err, "more than %d descriptors", FDS_MAX);
	fds[child.fd_count++] = (struct child_fd){ report, REPORT_FD };
	for (size_t i = 0; i < options->fd_count; i++)
		fds[child.fd_count++] = options->fds[i];
	/* By descriptor, because the uid may not reach the path: a build tree below a home
	 * directory is closed to others. It comes after the last one that the program knows. */
	fds[child.fd_count] = (struct child_fd){ program, REPORT_FD + (int)child.fd_count };
	for (size_t i = 0; i < child.fd_count; i++)
		if (fds[i].target >= fds[child.fd_count].target)
			fds[child.fd_count].target = fds[i].target + 1;
	strv_addf(&argv, "/proc/self/fd/%d", fds[child.fd_count].target);
	child.fd_count++;
	STRV_EACH (argument, options->arguments)
		strv_add(&argv, argument);
	child.argv = argv.items;
	return child_spawn(loop, &child, on_exit_of, process, &process->child, err);
}

int process_start(struct loop *loop, const struct process_options *options, struct process **ret,
		  struct error *err)
{
	struct process *process = xcalloc(1, sizeof(*process));
	_cleanup_close_ int write_end = -1;
	int ends[2];

	process->pipe = -1;
	process->on_known = options->on_known;
	process->fn = options->fn;
	process->data = options->data;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
		free(process);
		return error_errno(err, errno, "socketpair");
	}
	process->pipe = ends[0];
	write_end = ends[1];
	/* Only our end: the writer blocks, so that no record is lost. */
	fcntl(process->pipe, F_SETFL, O_NONBLOCK);
	if (spawn(loop, options, write_end, process, err) < 0) {
		process_free(process);
		return error_wrap(err, "cannot start stoker-image");
	}
	process->watch = loop_io(loop, process->pipe, LOOP_READ, on_readable, process);
	*ret = process;
	return 0;
}

const struct process_result *process_result(const struct process *process)
{
	return &process->result;
}

struct process *process_free(struct process *process)
{
	if (!process)
		return NULL;
	if (process->child) {
		child_kill(process->child, SIGKILL);
		while (waitpid(child_pid(process->child), NULL, 0) < 0 && errno == EINTR)
			;
		child_free(process->child);
	}
	watch_free(process->watch);
	close(process->pipe);
	free(process);
	return NULL;
}
