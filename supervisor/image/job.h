/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What image.c (requests, order, outcomes) and job.c (the two processes of a job) share: the store
 * and its jobs. Nobody else includes this.
 */
#ifndef STOKER_IMAGE_JOB_H
#define STOKER_IMAGE_JOB_H

#include "image/grant.h"
#include "image/image.h"
#include "image/process.h"
#include "image/store.h"
#include "model/reference.h"

enum job_state {
	JOB_QUEUED,
	JOB_FETCHING,
	JOB_READY, /* blobs are here; to be built, unless another job builds the same */
	JOB_BUILDING,
	JOB_UNCHECKED, /* the image is known, and to be compared with its hash tree */
	JOB_CHECKING,
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
	char *key; /* canonical reference, or the text when it is none; of a check "check ID" */
	struct reference reference;
	enum pull_policy policy;
	enum job_state state;
	struct image_request *requests; /* owned */
	struct process *process;
	struct grant *grants[SETTINGS_MIRRORS_MAX + 1]; /* owned; while it is fetched */
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
	char *platform; /* NULL: the fetcher's own */
	struct store disk;
	struct job *jobs; /* in order of arrival */
	struct watch *soon;
	image_users_fn *users; /* NULL: nobody needs any */
	void *users_data;
	struct strv spent; /* layers of published images, removed when no job is left */
};

/* Starts the fetcher, or the builder; the end of either moves the job to another state and calls
 * image_advance. What is published already is not built again. */
void job_fetch(struct job *job);
void job_build(struct job *job);

/* Starts the comparison of the job's image with its hash tree. */
void job_check(struct job *job);

/* The fetcher has what it needed, or is gone. */
void job_end_grants(struct job *job);

/* The outcome, for image.c to deliver. The image is taken over. */
void job_fail(struct job *job, const struct error *err, bool retry);
void job_succeed(struct job *job, struct image *image);

/* In inventory.c: when less than image_min_free is left, unused images go, whatever else keeps
 * them. */
void image_store_make_room(const struct image_store *store);

/* In image.c: looks, from the loop, for what can be done next. */
void image_advance(struct image_store *store);

#endif
