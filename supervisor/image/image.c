/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests, jobs, and what a job goes through: queued -> fetching -> building -> ended. Called by
 * instances that want an image; feeds them a published one. Everything that moves a job forward
 * happens in `advance`, from the loop, so no caller is called back from inside its own call.
 */
#include "image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "image/build.h"
#include "image/process.h"
#include "image/store.h"
#include "model/reference.h"

enum { ACTIVE_MAX = 2, CACHE_FD = 4, SOURCE_FD = 5, CONFIG_FD = 6, LAYER_FD = 7 };

enum job_state {
	JOB_QUEUED,
	JOB_FETCHING,
	JOB_READY, /* blobs are here; to be built, unless another job builds the same */
	JOB_BUILDING,
	JOB_ENDED, /* outcome known; requests are to be told */
};

struct image_request {
	struct job *job;
	image_fn *fn;
	void *data;
	struct image_request *next;
};

struct job {
	struct image_store *store;
	struct job *next;
	char *key; /* canonical reference, or the text when it is none */
	struct reference reference;
	enum job_state state;
	struct image_request *requests; /* owned */
	struct process *process;
	struct job_facts {
		char manifest[OCI_DIGEST_SIZE], config[OCI_DIGEST_SIZE], id[STORE_ID_SIZE];
		struct oci_descriptor layers[REPORT_LAYERS_MAX];
		size_t layer_count;
	} facts; /* what the fetcher found */
	struct store_build build;
	struct image *image; /* the outcome, or err */
	struct error err;
	bool retry;
};

struct image_store {
	struct loop *loop;		 /* borrowed */
	const struct settings *settings; /* borrowed */
	char *program;
	struct store disk;
	struct job *jobs; /* in order of arrival */
	struct watch *soon;
	struct strv spent; /* layers of published images, removed when no job is left */
};

static void advance_soon(struct image_store *store);

/* --- ends of jobs ---------------------------------------------------------------------------- */

static void job_fail(struct job *job, const struct error *err, bool retry)
{
	job->err = *err;
	job->retry = retry;
	job->state = JOB_ENDED;
	advance_soon(job->store);
}

static void job_succeed(struct job *job, struct image *image)
{
	struct error err;

	/* Without it the registry is asked again after a restart: no reason to fail. */
	store_write_reference(&job->store->disk, job->key, image, &err);
	job->image = image;
	job->state = JOB_ENDED;
	advance_soon(job->store);
}

static void unlink_job(struct job *job)
{
	for (struct job **at = &job->store->jobs; *at; at = &(*at)->next) {
		if (*at == job) {
			*at = job->next;
			return;
		}
	}
}

static void job_free(struct job *job)
{
	process_free(job->process);
	store_abandon(&job->build);
	while (job->requests) {
		struct image_request *request = job->requests;

		job->requests = request->next;
		free(request);
	}
	reference_reset(&job->reference);
	image_free(job->image);
	free(job->key);
	free(job);
}

/* The job leaves the list first: a callback that asks again starts another one. */
static void job_deliver(struct job *job)
{
	unlink_job(job);
	while (job->requests) {
		struct image_request *request = job->requests;
		image_fn *fn = request->fn;
		void *data = request->data;

		job->requests = request->next;
		free(request);
		fn(data, job->image, job->image ? NULL : &job->err, job->retry);
	}
	job_free(job);
}

/* --- building -------------------------------------------------------------------------------- */

static void on_build_ended(void *data, const struct error *err, bool retry)
{
	struct job *job = data;
	struct image_store *store = job->store;
	struct image *image;
	struct error why;

	job->process = process_free(job->process);
	if (err) {
		store_abandon(&job->build);
		job_fail(job, err, retry);
		return;
	}
	if (store_publish(&store->disk, &job->build, job->facts.id, &why) < 0) {
		store_abandon(&job->build);
		job_fail(job, &why, why.number == ENOSPC || why.number == EDQUOT);
		return;
	}
	/* Both names have moved: nothing is left to remove but the descriptors. */
	store_abandon(&job->build);
	image = store_find(&store->disk, job->facts.id, job->facts.manifest);
	if (!image) {
		error_set(&why, "%s: the image is gone just after it was published",
			  store->disk.squashfs);
		job_fail(job, &why, true);
		return;
	}
	for (size_t i = 0; i < job->facts.layer_count; i++)
		strv_add(&store->spent, job->facts.layers[i].digest);
	job_succeed(job, image);
}

static void add_build_arguments(const struct job *job, struct strv *arguments)
{
	static const char *const types[] = {
		[LAYER_TAR] = "tar", [LAYER_GZIP] = "gzip", [LAYER_ZSTD] = "zstd"
	};
	uint32_t jobs = job->store->settings->jobs;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	strv_add(arguments, "build");
	strv_add(arguments, "--jobs");
	strv_addf(arguments, "%ld", jobs ? (long)jobs : cpus > 0 ? cpus : 1);
	strv_add(arguments, "--level");
	strv_addf(arguments, "%d", BUILD_LEVEL);
	strv_add(arguments, "--config-digest");
	strv_add(arguments, job->facts.config);
	for (size_t i = 0; i < job->facts.layer_count; i++) {
		strv_add(arguments, "--layer");
		strv_addf(arguments, "%s:%s", types[job->facts.layers[i].layer_type],
			  job->facts.layers[i].digest);
	}
}

/* fds[0] and [1] are the outputs; the blobs after them are opened here and belong to the caller. */
static int open_inputs(const struct job *job, struct child_fd *fds, size_t *count,
		       struct error *err)
{
	const struct store *disk = &job->store->disk;

	if (store_open_blob(disk, job->facts.config, 0, &fds[*count].fd, err) < 0)
		return -1;
	fds[(*count)++].target = CONFIG_FD;
	for (size_t i = 0; i < job->facts.layer_count; i++) {
		if (store_open_blob(disk, job->facts.layers[i].digest, job->facts.layers[i].size,
				    &fds[*count].fd, err) < 0)
			return -1;
		fds[(*count)++].target = LAYER_FD + (int)i;
	}
	return 0;
}

static int start_build(struct job *job, struct error *err)
{
	struct child_fd fds[REPORT_LAYERS_MAX + 3];
	_cleanup_strv_ struct strv arguments = { 0 };
	struct image_store *store = job->store;
	struct process_options options = { .program = store->program,
					   .arguments = &arguments,
					   .uid = store->settings->uid_base + 1,
					   .fds = fds,
					   .fd_count = 2,
					   .fn = on_build_ended,
					   .data = job };
	int result;

	if (store_begin(&store->disk, &job->build, err) < 0)
		return -1;
	fds[0] = (struct child_fd){ job->build.squashfs_fd, 4 };
	fds[1] = (struct child_fd){ job->build.record_fd, 5 };
	add_build_arguments(job, &arguments);
	result = open_inputs(job, fds, &options.fd_count, err);
	if (result == 0)
		result = process_start(store->loop, &options, &job->process, err);
	for (size_t i = 2; i < options.fd_count; i++)
		close(fds[i].fd);
	return result;
}

static void job_build(struct job *job)
{
	struct image *image = store_find(&job->store->disk, job->facts.id, job->facts.manifest);
	struct error err;

	if (image) {
		job_succeed(job, image);
		return;
	}
	job->state = JOB_BUILDING;
	if (start_build(job, &err) == 0)
		return;
	store_abandon(&job->build);
	/* No space, no process, or a blob that vanished: none of it is the image's fault. */
	job_fail(job, &err, true);
}

/* --- fetching -------------------------------------------------------------------------------- */

/* The blobs are described: if they were built before, there is nothing to fetch. */
static bool on_known(void *data, const struct process_result *result)
{
	struct job *job = data;

	memcpy(job->facts.manifest, result->manifest, OCI_DIGEST_SIZE);
	memcpy(job->facts.config, result->config, OCI_DIGEST_SIZE);
	memcpy(job->facts.layers, result->layers, sizeof(result->layers));
	job->facts.layer_count = result->layer_count;
	store_image_id(job->facts.config, job->facts.layers, job->facts.layer_count, job->facts.id);
	job->image = store_find(&job->store->disk, job->facts.id, job->facts.manifest);
	return job->image != NULL;
}

static void on_fetch_ended(void *data, const struct error *err, bool retry)
{
	struct job *job = data;

	job->process = process_free(job->process);
	if (err) {
		job->image = image_free(job->image);
		job_fail(job, err, retry);
	} else if (job->image) {
		job_succeed(job, take_ptr(job->image));
	} else {
		job->state = JOB_READY;
		advance_soon(job->store);
	}
}

static int open_source(const struct reference *reference, int *ret, struct error *err)
{
	int flags = reference->kind == REFERENCE_OCI ? O_DIRECTORY : 0;

	*ret = open(reference->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | flags);
	if (*ret < 0)
		return error_errno(err, errno, "%s", reference->path);
	return 0;
}

static int start_fetch(struct job *job, struct error *err)
{
	struct image_store *store = job->store;
	struct child_fd fds[2] = { { store->disk.blobs_fd, CACHE_FD } };
	_cleanup_strv_ struct strv arguments = { 0 };
	_cleanup_close_
	int source = -1;
	struct process_options options = { .program = store->program,
					   .arguments = &arguments,
					   .uid = store->settings->uid_base,
					   .fds = fds,
					   .fd_count = 1,
					   .on_known = on_known,
					   .fn = on_fetch_ended,
					   .data = job };

	strv_add(&arguments, "fetch");
	strv_add(&arguments, "--cache-fd");
	strv_addf(&arguments, "%d", CACHE_FD);
	strv_add(&arguments, "--retries");
	strv_addf(&arguments, "%u", store->settings->fetch_retries);
	STRV_EACH (host, &store->settings->insecure_registries) {
		strv_add(&arguments, "--insecure");
		strv_add(&arguments, host);
	}
	if (job->reference.kind != REFERENCE_REGISTRY) {
		if (open_source(&job->reference, &source, err) < 0)
			return -1;
		fds[options.fd_count++] = (struct child_fd){ source, SOURCE_FD };
		strv_add(&arguments, "--source-fd");
		strv_addf(&arguments, "%d", SOURCE_FD);
	}
	strv_add(&arguments, job->key);
	return process_start(store->loop, &options, &job->process, err);
}

static void job_fetch(struct job *job)
{
	struct error err;

	job->state = JOB_FETCHING;
	/* A layout that is not there needs an operator; a process that cannot start, patience. */
	if (start_fetch(job, &err) < 0)
		job_fail(job, &err, err.number != ENOENT && err.number != ENOTDIR);
}

/* --- scheduling ------------------------------------------------------------------------------ */

static bool same_is_building(const struct image_store *store, const struct job *job)
{
	for (const struct job *other = store->jobs; other; other = other->next)
		if (other->state == JOB_BUILDING && strcmp(other->facts.id, job->facts.id) == 0)
			return true;
	return false;
}

/* Does the next thing that can be done, and says whether there was one. */
static bool advance_one(struct image_store *store)
{
	unsigned active = 0;

	for (const struct job *job = store->jobs; job; job = job->next)
		active += job->state == JOB_FETCHING || job->state == JOB_READY ||
			  job->state == JOB_BUILDING;
	for (struct job *job = store->jobs; job; job = job->next) {
		struct image *image = NULL;

		if (job->state == JOB_ENDED) {
			job_deliver(job);
			return true;
		}
		if (job->state == JOB_READY && !same_is_building(store, job)) {
			job_build(job);
			return true;
		}
		if (job->state != JOB_QUEUED)
			continue;
		/* Local files may have changed and are quick to look at; what a registry gave
		 * once, is not asked for again. */
		if (job->reference.kind == REFERENCE_REGISTRY)
			image = store_find_reference(&store->disk, job->key);
		if (image) {
			job->image = image;
			job->state = JOB_ENDED;
			return true;
		}
		if (active < ACTIVE_MAX) {
			job_fetch(job);
			return true;
		}
	}
	return false;
}

static void on_soon(struct watch *watch, unsigned events, void *data)
{
	struct image_store *store = data;

	(void)events;
	store->soon = watch_free(watch);
	while (advance_one(store))
		;
	if (store->jobs)
		return;
	/* Nobody writes or reads blobs now. */
	store_remove_blobs(&store->disk, &store->spent);
	strv_reset(&store->spent);
	store_collect_blobs(&store->disk);
}

static void advance_soon(struct image_store *store)
{
	if (!store->soon)
		store->soon = loop_soon(store->loop, on_soon, store);
}

/* --- the store ------------------------------------------------------------------------------- */

int image_store_open(struct loop *loop, const struct settings *settings, struct image_store **ret,
		     struct error *err)
{
	struct image_store *store = xcalloc(1, sizeof(*store));

	if (store_open(settings->state_dir, settings->uid_base, &store->disk, err) < 0) {
		free(store);
		return error_wrap(err, "image store");
	}
	store->loop = loop;
	store->settings = settings;
	store->program = xasprintf("%s/stoker-image", settings->libexec_dir);
	*ret = store;
	return 0;
}

struct image_store *image_store_close(struct image_store *store)
{
	if (!store)
		return NULL;
	watch_free(store->soon);
	while (store->jobs) {
		struct job *job = store->jobs;

		store->jobs = job->next;
		job_free(job);
	}
	store_close(&store->disk);
	strv_reset(&store->spent);
	free(store->program);
	free(store);
	return NULL;
}

static struct job *job_new(struct image_store *store, const char *text)
{
	struct job *job = xcalloc(1, sizeof(*job)), **last = &store->jobs;
	struct error err;

	job->store = store;
	job->build = (struct store_build){ .squashfs_fd = -1, .record_fd = -1 };
	while (*last)
		last = &(*last)->next;
	*last = job;
	if (reference_parse(text, &job->reference, &err) == 0) {
		job->key = reference_format(&job->reference);
	} else {
		job->key = xstrdup(text);
		job_fail(job, &err, false);
	}
	return job;
}

/* A job whose outcome is known takes no more requests: it is about to be delivered. */
static struct job *find_job(struct image_store *store, const char *text)
{
	struct reference reference;
	struct job *found = NULL;
	char *key;

	if (reference_parse(text, &reference, NULL) < 0)
		return NULL;
	key = reference_format(&reference);
	reference_reset(&reference);
	for (struct job *job = store->jobs; job && !found; job = job->next)
		if (job->state != JOB_ENDED && strcmp(job->key, key) == 0)
			found = job;
	free(key);
	return found;
}

struct image_request *image_request(struct image_store *store, const char *reference, image_fn *fn,
				    void *data)
{
	struct image_request *request = xcalloc(1, sizeof(*request)), **last;
	struct job *job = find_job(store, reference);

	if (!job)
		job = job_new(store, reference);
	request->job = job;
	request->fn = fn;
	request->data = data;
	for (last = &job->requests; *last; last = &(*last)->next)
		;
	*last = request;
	advance_soon(store);
	return request;
}

void image_request_cancel(struct image_request *request)
{
	struct job *job = request->job;
	struct image_store *store = job->store;
	struct image_request **at = &job->requests;

	while (*at != request)
		at = &(*at)->next;
	*at = request->next;
	free(request);
	/* One that is being delivered is out of the list and frees itself. */
	for (struct job *listed = store->jobs; listed; listed = listed->next) {
		if (listed != job || job->requests)
			continue;
		unlink_job(job);
		job_free(job);
		advance_soon(store);
		return;
	}
}

void image_request_progress(const struct image_request *request, struct image_progress *ret)
{
	static const char *const stages[] = { [REPORT_RESOLVE] = "resolve",
					      [REPORT_DOWNLOAD] = "download",
					      [REPORT_BUILD] = "build" };
	const struct job *job = request->job;
	const struct process_result *result = job->process ? process_result(job->process) : NULL;
	enum report_stage stage = result ? result->stage : REPORT_RESOLVE;

	*ret = (struct image_progress){ 0 };
	if (job->state == JOB_BUILDING || job->state == JOB_READY)
		stage = REPORT_BUILD;
	snprintf(ret->stage, sizeof(ret->stage), "%s", stages[stage]);
	if (result && result->stage == stage) {
		ret->done = result->done;
		ret->total = result->total;
	}
}
