/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's side of images, with this very program standing in for stoker-image: the name in
 * the reference says what the fetcher is to do, a layer's content what the builder is to do.
 * Needs root, for the workers are to run as others.
 */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "image/blob.h"
#include "image/image.h"
#include "image/sha256.h"
#include "tests/unit/run_loop.h"

enum { UID_BASE = 951000 };

/* --- the stand-in ---------------------------------------------------------------------------- */

static void tell(enum report_kind kind, const char *text, uint64_t total, uint32_t count)
{
	struct report report = {
		.magic = REPORT_MAGIC, .kind = kind, .total = total, .count = count
	};

	snprintf(report.text, sizeof(report.text), "%s", text);
	report_send(3, &report);
}

/* Of a layer, or with 0 of all. */
static void tell_progress(uint32_t layer, uint64_t done, uint64_t total)
{
	struct report report = { .magic = REPORT_MAGIC,
				 .kind = REPORT_PROGRESS,
				 .stage = REPORT_DOWNLOAD,
				 .count = layer,
				 .done = done,
				 .total = total };

	report_send(3, &report);
}

static struct oci_descriptor put_blob(const char *text)
{
	struct oci_descriptor blob = { .size = strlen(text) };

	sha256_digest(text, strlen(text), blob.digest);
	if (blob_store(4, &blob, text, strlen(text), NULL) < 0)
		_exit(99);
	return blob;
}

static bool asked_for(const char *reference, const char *what)
{
	return strstr(reference, what) != NULL;
}

static int fake_fetch(const char *reference)
{
	struct oci_descriptor config, layer;
	struct error err = { 0 };
	/* A line per run, so that the tests can count runs. */
	int runs = openat(4, "runs", O_WRONLY | O_CREAT | O_APPEND, 0600);

	if (write(runs, "x", 1) != 1 || getuid() != UID_BASE || getgroups(0, NULL) != 0)
		return 98;
	if (asked_for(reference, "/slow"))
		usleep(300000);
	if (asked_for(reference, "/hang"))
		pause();
	if (asked_for(reference, "/killed"))
		raise(SIGKILL);
	if (asked_for(reference, "/crash"))
		raise(SIGSYS);
	if (asked_for(reference, "/silent"))
		return 7;
	if (asked_for(reference, "/down") || asked_for(reference, "/nosuch")) {
		error_set(&err, "registry 'r.io': %s",
			  asked_for(reference, "/down") ? "Connection refused" : "no such image");
		report_failure(3, &err, asked_for(reference, "/down"));
		return 1;
	}
	if (asked_for(reference, "/garbage")) {
		char garbage[sizeof(struct report)] = "garbage";

		fs_write_all(3, garbage, sizeof(garbage), NULL);
		pause();
	}
	if (asked_for(reference, "/early"))
		tell(REPORT_DONE, "", 0, 0);
	config = put_blob("{}");
	layer = put_blob(asked_for(reference, "/build-") ? strstr(reference, "/build-") : "layer");
	tell(REPORT_MANIFEST, config.digest, 0, 1);
	tell(REPORT_CONFIG, config.digest, 0, 0);
	if (asked_for(reference, "/lie-link")) {
		unlinkat(4, layer.digest + 7, 0);
		if (symlinkat("/etc/hostname", 4, layer.digest + 7) < 0)
			return 97;
	}
	if (asked_for(reference, "/lie-hardlink") &&
	    linkat(4, layer.digest + 7, 4, "second", 0) < 0)
		return 96;
	if (asked_for(reference, "/lie-size"))
		layer.size++;
	if (asked_for(reference, "/gone"))
		unlinkat(4, layer.digest + 7, 0);
	tell(REPORT_LAYER, layer.digest, layer.size, 0);
	if (asked_for(reference, "/partly")) {
		tell_progress(1, 3, layer.size);
		tell_progress(0, 3, layer.size);
		pause();
	}
	if (asked_for(reference, "/lie-progress"))
		tell_progress(2, 3, layer.size);
	tell(REPORT_DONE, "", 0, 0);
	return 0;
}

static int fake_build(int argc, char **argv)
{
	_cleanup_strbuf_ struct strbuf layer = { 0 };
	struct error err = { 0 };

	if (getuid() != UID_BASE + 1 || strcmp(argv[argc - 2], "--layer") != 0 ||
	    fs_read_fd(7, "layer", 4096, &layer, &err) < 0)
		return 95;
	fs_write_all(4, "squashfs", 8, &err);
	fs_write_all(5, "record", 6, &err);
	fs_write_all(8, "\x80\0\0\0\3\0\0\0now", 11, &err);
	if (strstr(layer.data, "/build-slow"))
		usleep(200000);
	if (strstr(layer.data, "/build-killed"))
		raise(SIGKILL);
	if (strstr(layer.data, "/build-full")) {
		error_set(&err, "cannot write: No space left on device");
		report_failure(3, &err, true);
		return 1;
	}
	if (strstr(layer.data, "/build-lying-exit"))
		return 0;
	tell(REPORT_BUILT, "", 0, 0);
	return strstr(layer.data, "/build-bad-exit") ? 1 : 0;
}

/* --- fixture --------------------------------------------------------------------------------- */

struct fixture {
	char directory[64];
	struct settings settings;
	struct loop *loop;
	struct image_store *store;
	unsigned pending;
};

struct outcome {
	struct fixture *fixture;
	struct image *image;
	struct error err;
	bool retry;
	unsigned fired;
};

static void copy_self(const char *to)
{
	_cleanup_strbuf_ struct strbuf self = { 0 };

	if (fs_read("/proc/self/exe", 1 << 30, &self, NULL) < 0 ||
	    fs_write_atomic(to, self.data, self.length, 0755, NULL) < 0)
		abort();
}

static void open_store(struct fixture *fixture)
{
	struct error err;

	if (image_store_open(fixture->loop, &fixture->settings, &fixture->store, &err) < 0)
		fail_msg("%s", err.text);
}

static int setup(void **state)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));
	char program[128];

	strcpy(fixture->directory, "/tmp/stoker-store-XXXXXX");
	/* Mode 0700: nothing below it is in reach of the workers' uids by path. */
	assert_non_null(mkdtemp(fixture->directory));
	snprintf(program, sizeof(program), "%s/stoker-image", fixture->directory);
	copy_self(program);
	settings_defaults(&fixture->settings);
	free(fixture->settings.state_dir);
	free(fixture->settings.libexec_dir);
	fixture->settings.state_dir = xstrdup(fixture->directory);
	fixture->settings.libexec_dir = xstrdup(fixture->directory);
	fixture->settings.uid_base = UID_BASE;
	fixture->loop = loop_new(NULL);
	open_store(fixture);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	image_store_close(fixture->store);
	loop_free(fixture->loop);
	settings_reset(&fixture->settings);
	fs_remove_tree(fixture->directory, NULL);
	free(fixture);
	return 0;
}

static void on_image(void *data, const struct image *image, const struct error *err, bool retry)
{
	struct outcome *outcome = data;

	assert_true((image != NULL) != (err != NULL));
	outcome->fired++;
	outcome->image = image_copy(image);
	outcome->err = err ? *err : (struct error){ 0 };
	outcome->retry = retry;
	if (--outcome->fixture->pending == 0)
		loop_stop(outcome->fixture->loop);
}

static struct image_request *ask_by(struct fixture *fixture, struct outcome *outcome,
				    const char *reference, enum pull_policy policy)
{
	*outcome = (struct outcome){ .fixture = fixture };
	fixture->pending++;
	return image_request(fixture->store, reference, policy, on_image, outcome);
}

static struct image_request *ask(struct fixture *fixture, struct outcome *outcome,
				 const char *reference)
{
	return ask_by(fixture, outcome, reference, PULL_MISSING);
}

static void await(struct fixture *fixture, struct outcome *outcome, const char *reference)
{
	ask(fixture, outcome, reference);
	assert_int_equal(outcome->fired, 0);
	loop_run(fixture->loop);
	assert_int_equal(outcome->fired, 1);
}

static size_t count_files(const struct fixture *fixture, const char *name)
{
	char path[128];
	struct dirent *entry;
	size_t count = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/images/%s", fixture->directory, name);
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir)))
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count;
}

static size_t count_runs(const struct fixture *fixture)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/images/blobs/sha256/runs", fixture->directory);
	return stat(path, &st) == 0 ? (size_t)st.st_size : 0;
}

/* --- tests ----------------------------------------------------------------------------------- */

static void test_published(void **state)
{
	struct fixture *fixture = *state;
	struct outcome outcome;
	struct stat st;

	await(fixture, &outcome, "r.io/app:1");
	if (!outcome.image)
		fail_msg("%s", outcome.err.text);
	assert_int_equal(strlen(outcome.image->id), 64);
	assert_int_equal(stat(outcome.image->squashfs_path, &st), 0);
	assert_int_equal(st.st_uid, 0);
	assert_int_equal(st.st_mode, S_IFREG | 0444);
	assert_int_equal(st.st_size, 8);
	assert_int_equal(stat(outcome.image->record_path, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0444);
	assert_int_equal(count_files(fixture, "tmp"), 0);
	/* The layer is gone, the config stays; and the stand-in's own file. */
	assert_int_equal(count_files(fixture, "blobs/sha256"), 2);
	image_free(outcome.image);
}

/* Asked again, also by another daemon and in another spelling: no process at all. */
static void test_second_time(void **state)
{
	struct fixture *fixture = *state;
	struct outcome first, again;

	await(fixture, &first, "docker.io/app");
	image_store_close(fixture->store);
	open_store(fixture);
	await(fixture, &again, "app:latest");
	assert_string_equal(again.image->squashfs_path, first.image->squashfs_path);
	assert_string_equal(again.image->digest, first.image->digest);
	assert_int_equal(count_runs(fixture), 1);
	/* Unless the image is gone. */
	assert_int_equal(unlink(first.image->squashfs_path), 0);
	image_free(again.image);
	await(fixture, &again, "app:latest");
	assert_non_null(again.image);
	assert_int_equal(count_runs(fixture), 2);
	image_free(first.image);
	image_free(again.image);
}

/* Fetchers that ran until the request was answered. */
static size_t runs_of(struct fixture *fixture, struct outcome *outcome, const char *reference,
		      enum pull_policy policy)
{
	ask_by(fixture, outcome, reference, policy);
	loop_run(fixture->loop);
	assert_int_equal(outcome->fired, 1);
	outcome->image = image_free(outcome->image);
	return count_runs(fixture);
}

static void test_policies(void **state)
{
	struct fixture *fixture = *state;
	struct outcome outcome;
	char pinned[128] = "r.io/app@sha256:";

	memset(pinned + strlen(pinned), 'a', 64);
	assert_int_equal(runs_of(fixture, &outcome, "r.io/app:1", PULL_NEVER), 0);
	assert_string_equal(outcome.err.text,
			    "'r.io/app:1' is not on this host, and pull_policy is never");
	assert_false(outcome.retry);
	assert_int_equal(runs_of(fixture, &outcome, "oci:/srv/app", PULL_NEVER), 0);
	assert_int_equal(runs_of(fixture, &outcome, "r.io/app:1", PULL_MISSING), 1);
	assert_int_equal(runs_of(fixture, &outcome, "r.io/app:1", PULL_MISSING), 1);
	assert_int_equal(runs_of(fixture, &outcome, "r.io/app:1", PULL_NEVER), 1);
	assert_string_equal(outcome.err.text, "");
	assert_int_equal(runs_of(fixture, &outcome, "r.io/app:1", PULL_ALWAYS), 2);
	assert_int_equal(runs_of(fixture, &outcome, "r.io/down:1", PULL_ALWAYS), 3);
	assert_true(outcome.retry);
	/* What a digest names does not change. */
	assert_int_equal(runs_of(fixture, &outcome, pinned, PULL_ALWAYS), 4);
	assert_int_equal(runs_of(fixture, &outcome, pinned, PULL_ALWAYS), 4);
}

static void test_shared_job(void **state)
{
	struct fixture *fixture = *state;
	struct outcome a, b, c;

	ask(fixture, &a, "r.io/slow:1");
	ask(fixture, &b, "r.io/slow:1");
	ask(fixture, &c, "r.io/slow:1");
	loop_run(fixture->loop);
	assert_int_equal(a.fired + b.fired + c.fired, 3);
	assert_int_equal(count_runs(fixture), 1);
	assert_string_equal(a.image->id, c.image->id);
	image_free(a.image);
	image_free(b.image);
	image_free(c.image);
}

/* Two names of one content: one is built, the other waits for it. */
static void test_one_file(void **state)
{
	struct fixture *fixture = *state;
	struct outcome outcomes[4];
	char reference[64];

	for (int i = 0; i < 4; i++) {
		snprintf(reference, sizeof(reference), "r%d.io/x/build-slow:1", i);
		ask(fixture, &outcomes[i], reference);
	}
	loop_run(fixture->loop);
	for (int i = 0; i < 4; i++) {
		if (!outcomes[i].image)
			fail_msg("%s", outcomes[i].err.text);
		assert_string_equal(outcomes[i].image->id, outcomes[0].image->id);
	}
	for (int i = 0; i < 4; i++)
		image_free(outcomes[i].image);
	assert_int_equal(count_files(fixture, "squashfs"), 4);
	assert_int_equal(count_files(fixture, "refs"), 4);
}

static void test_failures(void **state)
{
	static const struct {
		const char *reference, *message;
		bool retry;
	} cases[] = {
		{ "Bad", "image reference 'Bad': 'Bad' is not an image's name", false },
		{ "oci:/nonexistent/layout", "/nonexistent/layout: No such file or directory",
		  false },
		{ "r.io/down", "registry 'r.io': Connection refused", true },
		{ "r.io/nosuch", "registry 'r.io': no such image", false },
		{ "r.io/killed", "stoker-image was killed by signal 9", true },
		{ "r.io/crash", "stoker-image crashed with signal 31", false },
		{ "r.io/silent", "stoker-image ended with status 7 and without a word", false },
		{ "r.io/garbage", "stoker-image misbehaves: a record without the magic number",
		  false },
		{ "r.io/early", "stoker-image misbehaves: an end out of place", false },
		{ "r.io/lie-link", "Too many levels of symbolic links", true },
		{ "r.io/lie-size", "5 bytes instead of 6", true },
		{ "r.io/lie-progress", "stoker-image misbehaves: progress of layer 2 of 1", false },
		{ "r.io/gone", "No such file or directory", true },
		{ "r.io/lie-hardlink", "not a plain file of uid 951000", true },
		{ "r.io/x/build-killed", "stoker-image was killed by signal 9", true },
		{ "r.io/x/build-full", "cannot write: No space left on device", true },
		{ "r.io/x/build-bad-exit", "stoker-image ended with status 1", false },
		{ "r.io/x/build-lying-exit", "stoker-image ended with status 0", false },
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct outcome outcome;

		await(fixture, &outcome, cases[i].reference);
		if (outcome.image)
			fail_msg("%s: an image", cases[i].reference);
		if (!strstr(outcome.err.text, cases[i].message))
			fail_msg("%s: '%s'", cases[i].reference, outcome.err.text);
		if (outcome.retry != cases[i].retry)
			fail_msg("%s: retry is %d", cases[i].reference, outcome.retry);
		assert_int_equal(count_files(fixture, "squashfs"), 0);
		assert_int_equal(count_files(fixture, "refs"), 0);
		assert_int_equal(count_files(fixture, "tmp"), 0);
	}
}

static void run_for(struct fixture *fixture, uint64_t ms)
{
	run_loop_for(fixture->loop, ms);
}

/* However many of its images are asked for, a registry that never ends is not in others' way. */
static void test_slow_registry(void **state)
{
	struct fixture *fixture = *state;
	struct outcome hanging[4], other, same;
	struct image_request *requests[4], *late;
	char reference[64];

	for (int i = 0; i < 4; i++) {
		snprintf(reference, sizeof(reference), "slow.io/hang:%d", i);
		requests[i] = ask(fixture, &hanging[i], reference);
	}
	late = ask(fixture, &same, "slow.io/app:1");
	fixture->pending = 0;
	await(fixture, &other, "r.io/app:1");
	assert_non_null(other.image);
	assert_false(same.fired);
	for (int i = 0; i < 4; i++)
		image_request_cancel(requests[i]);
	image_request_cancel(late);
	image_free(other.image);
}

static void test_cancel(void **state)
{
	struct fixture *fixture = *state;
	struct outcome a, b, c;
	struct image_request *one = ask(fixture, &a, "r.io/hang:1");
	struct image_request *two = ask(fixture, &b, "r.io/hang:1");
	struct image_progress progress;

	run_for(fixture, 300);
	image_request_progress(one, &progress);
	assert_string_equal(progress.stage, "resolve");
	image_request_cancel(one);
	image_request_cancel(two);
	fixture->pending = 0;
	await(fixture, &c, "r.io/app:1");
	assert_non_null(c.image);
	assert_int_equal(a.fired + b.fired, 0);
	image_free(c.image);
}

static void test_layer_progress(void **state)
{
	struct fixture *fixture = *state;
	struct image_progress progress;
	struct image_request *request;
	struct outcome outcome;

	request = ask(fixture, &outcome, "r.io/partly:1");
	for (int i = 0; i < 100; i++) {
		run_for(fixture, 100);
		image_request_progress(request, &progress);
		if (progress.done)
			break;
	}
	assert_string_equal(progress.stage, "download");
	assert_int_equal(progress.done, 3);
	assert_int_equal(progress.total, strlen("layer"));
	assert_int_equal(progress.layer_count, 1);
	assert_int_equal(strncmp(progress.layers[0].digest, "sha256:", 7), 0);
	assert_int_equal(progress.layers[0].done, 3);
	assert_int_equal(progress.layers[0].total, strlen("layer"));
	image_request_cancel(request);
}

/* Two hang; the third waits until one of them is gone. */
static void test_bounded(void **state)
{
	struct fixture *fixture = *state;
	struct outcome a, b, c;
	struct image_request *one = ask(fixture, &a, "r.io/hang:1");

	ask(fixture, &b, "r.io/hang:2");
	ask(fixture, &c, "r.io/app:1");
	run_for(fixture, 500);
	assert_int_equal(c.fired, 0);
	image_request_cancel(one);
	fixture->pending = 1;
	loop_run(fixture->loop);
	assert_int_equal(c.fired, 1);
	assert_non_null(c.image);
	image_free(c.image);
	/* The other hangs still: closing the store ends it. */
}

static void test_leftovers(void **state)
{
	struct fixture *fixture = *state;
	char path[128];

	image_store_close(fixture->store);
	snprintf(path, sizeof(path), "%s/images/tmp/1.sqfs", fixture->directory);
	assert_int_equal(fs_write_atomic(path, "x", 1, 0600, NULL), 0);
	snprintf(path, sizeof(path), "%s/images/blobs/sha256/tmp-1-1", fixture->directory);
	assert_int_equal(fs_write_atomic(path, "x", 1, 0600, NULL), 0);
	open_store(fixture);
	assert_int_equal(count_files(fixture, "tmp"), 0);
	assert_int_equal(count_files(fixture, "blobs/sha256"), 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(test_published),	  TEST(test_second_time),    TEST(test_shared_job),
		TEST(test_policies),	  TEST(test_one_file),	     TEST(test_failures),
		TEST(test_slow_registry), TEST(test_layer_progress), TEST(test_cancel),
		TEST(test_bounded),	  TEST(test_leftovers),
	};

	if (argc > 1 && strcmp(argv[1], "fetch") == 0)
		_exit(fake_fetch(argv[argc - 1]));
	if (argc > 1 && strcmp(argv[1], "build") == 0)
		_exit(fake_build(argc, argv));
	if (geteuid() != 0) {
		puts("1..0 # SKIP needs root");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
