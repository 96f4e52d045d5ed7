/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests, and the jobs that they share: queued -> fetching -> ready -> building -> ended. Called
 * by instances that want an image; feeds them a published one. Everything that moves a job forward
 * is called from the loop, so no caller is called back from inside its own call.
 */
#include "image/image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "image/job.h"

/* A registry that sends a byte now and then holds its own two places, and nobody else's. */
enum { FETCHES_MAX = 8, FETCHES_PER_SOURCE_MAX = 2, BUILDS_MAX = 2, CHECKS_MAX = 2 };

/* --- ends of jobs ---------------------------------------------------------------------------- */

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
	job_end_grants(job);
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

/* --- scheduling ------------------------------------------------------------------------------ */

/* All local files are one source. */
static bool same_source(const struct reference *a, const struct reference *b)
{
	if (a->kind != REFERENCE_REGISTRY || b->kind != REFERENCE_REGISTRY)
		return a->kind != REFERENCE_REGISTRY && b->kind != REFERENCE_REGISTRY;
	return strcmp(a->registry, b->registry) == 0;
}

static bool may_fetch(const struct image_store *store, const struct job *job)
{
	unsigned all = 0, of_source = 0;

	for (const struct job *other = store->jobs; other; other = other->next) {
		if (other->state != JOB_FETCHING)
			continue;
		all++;
		of_source += same_source(&other->reference, &job->reference);
	}
	return all < FETCHES_MAX && of_source < FETCHES_PER_SOURCE_MAX;
}

/* The second of two with the same content waits, and then finds it published. */
static bool may_build(const struct image_store *store, const struct job *job)
{
	unsigned all = 0;

	for (const struct job *other = store->jobs; other; other = other->next) {
		if (other->state != JOB_BUILDING)
			continue;
		if (strcmp(other->facts.id, job->facts.id) == 0)
			return false;
		all++;
	}
	return all < BUILDS_MAX;
}

static bool may_check(const struct image_store *store)
{
	unsigned all = 0;

	for (const struct job *job = store->jobs; job; job = job->next)
		all += job->state == JOB_CHECKING;
	return all < CHECKS_MAX;
}

/* What was made before there were to be hash trees is made anew. */
static struct image *find_at_home(const struct job *job)
{
	const struct image_store *store = job->store;
	struct image *image = store_find_reference(&store->disk, job->key);

	if (image && store->settings->verity && !image_has_verity(store, image))
		image = image_free(image);
	return image;
}

/* Ends the job without a fetcher if its policy says so. Local files may have changed and are quick
 * to look at; what a registry gave once, is not asked for again unless it is to be. */
static bool settle_at_home(struct job *job)
{
	struct error err;

	/* What a digest names does not change. */
	if (job->policy == PULL_ALWAYS && !job->reference.digest)
		return false;
	if (job->policy != PULL_NEVER && job->reference.kind != REFERENCE_REGISTRY)
		return false;
	job->image = find_at_home(job);
	if (job->image) {
		store_note_use(&job->store->disk, job->image->id);
		job->state = JOB_ENDED;
		return true;
	}
	if (job->policy != PULL_NEVER)
		return false;
	error_set(&err, "'%s' is not on this host, and pull_policy is never", job->key);
	job_fail(job, &err, false);
	return true;
}

/* Does the next thing that can be done, and says whether there was one. */
static bool advance_one(struct image_store *store)
{
	for (struct job *job = store->jobs; job; job = job->next) {
		if (job->state == JOB_ENDED) {
			job_deliver(job);
			return true;
		}
		if (job->state == JOB_READY && may_build(store, job)) {
			job_build(job);
			return true;
		}
		if (job->state == JOB_UNCHECKED && may_check(store)) {
			job_check(job);
			return true;
		}
		if (job->state != JOB_QUEUED)
			continue;
		if (settle_at_home(job))
			return true;
		if (may_fetch(store, job)) {
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

void image_advance(struct image_store *store)
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

int image_store_set_platform(struct image_store *store, const char *platform, struct error *err)
{
	struct oci_platform parsed;

	if (platform && oci_platform_parse(platform, &parsed, err) < 0)
		return -1;
	free(store->platform);
	store->platform = xstrdup(platform);
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
	free(store->platform);
	free(store);
	return NULL;
}

static struct job *add_job(struct image_store *store)
{
	struct job *job = xcalloc(1, sizeof(*job)), **last = &store->jobs;

	job->store = store;
	job->build = STORE_BUILD_NONE;
	while (*last)
		last = &(*last)->next;
	*last = job;
	return job;
}

static struct job *job_new(struct image_store *store, const char *text, enum pull_policy policy)
{
	struct job *job = add_job(store);
	struct error err;

	job->policy = policy;
	if (reference_parse(text, &job->reference, &err) == 0) {
		job->key = reference_format(&job->reference);
	} else {
		job->key = xstrdup(text);
		job_fail(job, &err, false);
	}
	return job;
}

/* A job whose outcome is known takes no more requests: it is about to be delivered. */
static struct job *find_job(struct image_store *store, const char *text, enum pull_policy policy)
{
	struct reference reference;
	struct job *found = NULL;
	char *key;

	if (reference_parse(text, &reference, NULL) < 0)
		return NULL;
	key = reference_format(&reference);
	reference_reset(&reference);
	for (struct job *job = store->jobs; job && !found; job = job->next)
		if (job->state != JOB_ENDED && job->policy == policy && strcmp(job->key, key) == 0)
			found = job;
	free(key);
	return found;
}

static struct image_request *add_request(struct job *job, image_fn *fn, void *data)
{
	struct image_request *request = xcalloc(1, sizeof(*request)), **last;

	request->job = job;
	request->fn = fn;
	request->data = data;
	for (last = &job->requests; *last; last = &(*last)->next)
		;
	*last = request;
	image_advance(job->store);
	return request;
}

struct image_request *image_request(struct image_store *store, const char *reference,
				    enum pull_policy policy, image_fn *fn, void *data)
{
	struct job *job = find_job(store, reference, policy);

	return add_request(job ? job : job_new(store, reference, policy), fn, data);
}

bool image_has_verity(const struct image_store *store, const struct image *image)
{
	return store_has_verity(&store->disk, image->id);
}

/* One that is at work may have passed already what is changed now: only a waiting one is shared. */
struct image_request *image_request_check(struct image_store *store, const struct image *image,
					  image_fn *fn, void *data)
{
	struct job *job = store->jobs;

	while (job && (job->state != JOB_UNCHECKED || strcmp(job->image->id, image->id) != 0))
		job = job->next;
	if (!job) {
		job = add_job(store);
		job->key = xasprintf("check %s", image->id);
		job->image = image_copy(image);
		job->state = JOB_UNCHECKED;
	}
	return add_request(job, fn, data);
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
		image_advance(store);
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
	if (job->state == JOB_UNCHECKED || job->state == JOB_CHECKING) {
		snprintf(ret->stage, sizeof(ret->stage), "check");
		return;
	}
	if (job->state == JOB_BUILDING || job->state == JOB_READY)
		stage = REPORT_BUILD;
	snprintf(ret->stage, sizeof(ret->stage), "%s", stages[stage]);
	if (!result || result->stage != stage)
		return;
	ret->done = result->done;
	ret->total = result->total;
	ret->rate = result->rate;
	if (stage == REPORT_DOWNLOAD) {
		ret->layers = result->progress;
		ret->layer_count = result->layer_count;
	}
}
