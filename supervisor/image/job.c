/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job at work: its fetcher, then its builder, and what each of them left behind. image.c says
 * when; the processes' arguments and descriptors are those of fetch.c and build.h.
 */
#include "image/job.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "image/build.h"
#include "image/squash.h"

enum { FETCH_FD = 4, CONFIG_FD = 6, LAYER_FD = 7, OUTPUTS = 3 };

void job_fail(struct job *job, const struct error *err, bool retry)
{
	job->err = *err;
	job->retry = retry;
	job->state = JOB_ENDED;
	image_advance(job->store);
}

void job_succeed(struct job *job, struct image *image)
{
	struct error err;

	/* Without it the registry is asked again after a restart: no reason to fail. */
	store_write_reference(&job->store->disk, job->key, image, &err);
	store_note_use(&job->store->disk, image->id);
	job->image = image;
	job->state = JOB_ENDED;
	image_advance(job->store);
}

/* --- building -------------------------------------------------------------------------------- */

/* What they became is published. */
static void spend_layers(struct job *job)
{
	for (size_t i = 0; i < job->facts.layer_count; i++)
		strv_add(&job->store->spent, job->facts.layers[i].digest);
}

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
	if (store_write_facts(&store->disk, job->facts.id, job->facts.config, job->facts.layers,
			      job->facts.layer_count, store->settings->verity, &why) < 0 ||
	    store_publish(&store->disk, &job->build, job->facts.id, &why) < 0) {
		store_abandon(&job->build);
		job_fail(job, &why, why.number == ENOSPC || why.number == EDQUOT);
		return;
	}
	/* All names have moved: nothing is left but the descriptors. */
	store_abandon(&job->build);
	image = store_find(&store->disk, job->facts.id, job->facts.manifest);
	if (!image) {
		error_set(&why, "%s: the image is gone just after it was published",
			  store->disk.squashfs);
		job_fail(job, &why, true);
		return;
	}
	spend_layers(job);
	job_succeed(job, image);
}

static void add_build_arguments(const struct job *job, struct strv *arguments)
{
	static const char *const types[] = {
		[LAYER_TAR] = "tar", [LAYER_GZIP] = "gzip", [LAYER_ZSTD] = "zstd"
	};
	uint32_t jobs = job->store->settings->jobs;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	char compression[COMPRESSION_TEXT_SIZE];

	compression_format(&job->store->settings->compression, compression);
	strv_add(arguments, "build");
	strv_add(arguments, "--jobs");
	if (jobs == 0)
		jobs = cpus < 1 ? 1 : cpus > SQUASH_JOBS_MAX ? SQUASH_JOBS_MAX : (uint32_t)cpus;
	strv_addf(arguments, "%u", jobs);
	strv_add(arguments, "--compress");
	strv_add(arguments, compression);
	strv_add(arguments, "--config-digest");
	strv_add(arguments, job->facts.config);
	if (job->store->settings->verity)
		strv_add(arguments, "--verity");
	for (size_t i = 0; i < job->facts.layer_count; i++) {
		strv_add(arguments, "--layer");
		strv_addf(arguments, "%s:%s", types[job->facts.layers[i].layer_type],
			  job->facts.layers[i].digest);
	}
}

/* The first fds are the outputs; the blobs after them are opened here and belong to the caller. */
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
	struct child_fd fds[REPORT_LAYERS_MAX + 4];
	_cleanup_strv_ struct strv arguments = { 0 };
	struct image_store *store = job->store;
	struct process_options options = { .program = store->program,
					   .arguments = &arguments,
					   .uid = store->settings->uid_base + 1,
					   .fds = fds,
					   .fd_count = OUTPUTS,
					   .fn = on_build_ended,
					   .data = job };
	int result;

	if (store_begin(&store->disk, &job->build, err) < 0)
		return -1;
	fds[0] = (struct child_fd){ job->build.fds[STORE_SQUASHFS], 4 };
	fds[1] = (struct child_fd){ job->build.fds[STORE_RECORD], 5 };
	fds[2] = (struct child_fd){ job->build.fds[STORE_NOTES],
				    LAYER_FD + (int)job->facts.layer_count };
	add_build_arguments(job, &arguments);
	result = open_inputs(job, fds, &options.fd_count, err);
	if (result == 0)
		result = process_start(store->loop, &options, &job->process, err);
	for (size_t i = OUTPUTS; i < options.fd_count; i++)
		close(fds[i].fd);
	return result;
}

void job_build(struct job *job)
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

/* --- checking -------------------------------------------------------------------------------- */

static void on_check_ended(void *data, const struct error *err, bool retry)
{
	struct job *job = data;
	struct error why;

	job->process = process_free(job->process);
	if (!err) {
		job->state = JOB_ENDED;
		image_advance(job->store);
		return;
	}
	error_set(&why, "%s: %s", job->image->squashfs_path, err->text);
	job->image = image_free(job->image);
	job_fail(job, &why, retry);
}

static int start_check(struct job *job, struct error *err)
{
	_cleanup_strv_ struct strv arguments = { 0 };
	_cleanup_close_ int squashfs = open(job->image->squashfs_path, O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int record = open(job->image->record_path, O_RDONLY | O_CLOEXEC);
	const struct child_fd fds[] = { { squashfs, 4 }, { record, 5 } };
	struct process_options options = { .program = job->store->program,
					   .arguments = &arguments,
					   .uid = job->store->settings->uid_base + 1,
					   .fds = fds,
					   .fd_count = 2,
					   .fn = on_check_ended,
					   .data = job };

	if (squashfs < 0 || record < 0)
		return error_errno(err, errno, "%s: cannot open", job->image->squashfs_path);
	strv_add(&arguments, "verify");
	return process_start(job->store->loop, &options, &job->process, err);
}

void job_check(struct job *job)
{
	struct error err;

	job->state = JOB_CHECKING;
	if (start_check(job, &err) == 0)
		return;
	job->image = image_free(job->image);
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
	store_image_id(job->facts.config, job->facts.layers, job->facts.layer_count,
		       &job->store->settings->compression, job->store->settings->verity,
		       job->facts.id);
	job->image = store_find(&job->store->disk, job->facts.id, job->facts.manifest);
	return job->image != NULL;
}

static void on_fetch_ended(void *data, const struct error *err, bool retry)
{
	struct job *job = data;

	job->process = process_free(job->process);
	job_end_grants(job);
	if (err) {
		job->image = image_free(job->image);
		job_fail(job, err, retry);
	} else if (job->image) {
		spend_layers(job);
		job_succeed(job, take_ptr(job->image));
	} else {
		job->state = JOB_READY;
		image_advance(job->store);
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

/* What a fetcher is started with: the cache, a source or authorities, credentials. */
struct launch {
	struct strv arguments;
	struct child_fd fds[2 + SETTINGS_REGISTRIES_MAX + SETTINGS_MIRRORS_MAX + 1];
	size_t fd_count; /* all but the first, the cache, are the launch's own */
};

/* Takes the descriptor; returns its number in the fetcher. */
static int pass(struct launch *launch, int fd)
{
	int target = FETCH_FD + (int)launch->fd_count;

	launch->fds[launch->fd_count++] = (struct child_fd){ fd, target };
	return target;
}

static void launch_reset(struct launch *launch)
{
	for (size_t i = 1; i < launch->fd_count; i++)
		close(launch->fds[i].fd);
	strv_reset(&launch->arguments);
}

static void add_option(struct launch *launch, const char *option, const char *value)
{
	strv_add(&launch->arguments, option);
	strv_add(&launch->arguments, value);
}

/* HOST=N */
static void add_host_file(struct launch *launch, const char *option, const char *host, int fd)
{
	strv_add(&launch->arguments, option);
	strv_addf(&launch->arguments, "%s=%d", host, pass(launch, fd));
}

/* What it may meet, by redirect too. Certificates are opened as root: their directory may be closed
 * to others. */
static int add_hosts(const struct settings *settings, struct launch *launch, struct error *err)
{
	STRV_EACH (host, &settings->insecure_registries)
		add_option(launch, "--insecure", host);
	for (size_t i = 0; i < settings->registry_count; i++) {
		const struct registry_settings *registry = &settings->registries[i];
		int fd;

		if (registry->token_server) {
			strv_add(&launch->arguments, "--token-server");
			strv_addf(&launch->arguments, "%s=%s", registry->host,
				  registry->token_server);
		}
		if (!registry->ca_path)
			continue;
		fd = open(registry->ca_path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			return error_set(err, "registry '%s': its ca: %s: %s", registry->host,
					 registry->ca_path, strerror(errno));
		add_host_file(launch, "--ca", registry->host, fd);
	}
	return 0;
}

static int add_grant(struct job *job, struct launch *launch, struct grant **grant, const char *host,
		     const char *repository, struct error *err)
{
	struct image_store *store = job->store;
	int fd;

	if (grant_make(store->loop, store->settings, host, repository, grant, &fd, err) < 0)
		return -1;
	if (*grant)
		add_host_file(launch, "--credential", host, fd);
	return 0;
}

/* A mirror has a credential of its own, or none. */
static int add_mirrors(struct job *job, const struct registry_settings *registry,
		       struct launch *launch, struct error *err)
{
	for (size_t i = 0; i < registry->mirrors.count; i++) {
		const char *mirror = registry->mirrors.items[i];
		size_t length = strcspn(mirror, "/");
		_cleanup_free_ char *host = xstrndup(mirror, length);
		_cleanup_free_ char *repository =
			xasprintf("%s%s%s", mirror[length] ? mirror + length + 1 : "",
				  mirror[length] ? "/" : "", job->reference.repository);

		add_option(launch, "--mirror", mirror);
		if (add_grant(job, launch, &job->grants[1 + i], host, repository, err) < 0)
			return -1;
	}
	return 0;
}

static int add_registry(struct job *job, struct launch *launch, struct error *err)
{
	const struct settings *settings = job->store->settings;
	const struct registry_settings *registry = settings_registry(settings,
								     job->reference.registry);

	if (settings->foreign_layers)
		strv_add(&launch->arguments, "--foreign");
	if (add_hosts(settings, launch, err) < 0 ||
	    (registry && add_mirrors(job, registry, launch, err) < 0))
		return -1;
	return add_grant(job, launch, &job->grants[0], job->reference.registry,
			 job->reference.repository, err);
}

static int add_source(const struct job *job, struct launch *launch, struct error *err)
{
	int fd;

	if (open_source(&job->reference, &fd, err) < 0)
		return -1;
	strv_add(&launch->arguments, "--source-fd");
	strv_addf(&launch->arguments, "%d", pass(launch, fd));
	return 0;
}

static int start_fetch(struct job *job, struct launch *launch, struct error *err)
{
	struct image_store *store = job->store;
	struct process_options options = { .program = store->program,
					   .arguments = &launch->arguments,
					   .uid = store->settings->uid_base,
					   .fds = launch->fds,
					   .on_known = on_known,
					   .fn = on_fetch_ended,
					   .data = job };

	strv_add(&launch->arguments, "fetch");
	strv_add(&launch->arguments, "--cache-fd");
	strv_addf(&launch->arguments, "%d", pass(launch, store->disk.blobs_fd));
	if (store->platform)
		add_option(launch, "--platform", store->platform);
	strv_add(&launch->arguments, "--retries");
	strv_addf(&launch->arguments, "%u", store->settings->fetch_retries);
	strv_add(&launch->arguments, "--stall");
	strv_addf(&launch->arguments, "%llu",
		  (unsigned long long)store->settings->stall_timeout_ms);
	if ((job->reference.kind == REFERENCE_REGISTRY ? add_registry(job, launch, err)
						       : add_source(job, launch, err)) < 0)
		return -1;
	strv_add(&launch->arguments, job->key);
	options.fd_count = launch->fd_count;
	return process_start(store->loop, &options, &job->process, err);
}

void job_fetch(struct job *job)
{
	struct launch launch = { 0 };
	struct error err;
	int result;

	job->state = JOB_FETCHING;
	image_store_make_room(job->store);
	result = start_fetch(job, &launch, &err);
	launch_reset(&launch);
	if (result == 0)
		return;
	job_end_grants(job);
	/* A layout that is not there needs an operator; a process that cannot start, patience. */
	job_fail(job, &err, err.number != ENOENT && err.number != ENOTDIR);
}

void job_end_grants(struct job *job)
{
	for (size_t i = 0; i < sizeof(job->grants) / sizeof(job->grants[0]); i++)
		job->grants[i] = grant_free(job->grants[i]);
}
