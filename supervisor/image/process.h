/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One stoker-image process under the daemon's eyes: started without privileges, its records checked
 * and gathered, its end turned into one outcome. image.c strings two of them into a job.
 */
#ifndef STOKER_IMAGE_PROCESS_H
#define STOKER_IMAGE_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/strv.h"
#include "image/oci.h"
#include "loop/child.h"
#include "loop/loop.h"
#include "model/progress.h"

struct process;

/* What the records of one process said. */
struct process_result {
	enum report_stage stage;
	uint64_t done, total;		/* of the stage, in bytes */
	uint64_t rate;			/* bytes a second, lately; 0: not known yet */
	char manifest[OCI_DIGEST_SIZE]; /* "" before it is known */
	char config[OCI_DIGEST_SIZE];
	struct oci_descriptor layers[REPORT_LAYERS_MAX];
	struct layer_progress progress[REPORT_LAYERS_MAX];
	size_t layer_count, layers_expected;
	bool is_complete; /* REPORT_DONE or REPORT_BUILT */
};

/* Fires once, when manifest, config and all layers are known. True: the rest is not needed, the
 * process is killed and has succeeded. Must not free the process. */
typedef bool process_known_fn(void *data, const struct process_result *result);

/* Fires exactly once, after the process has ended, never from inside a call. err is NULL when it
 * did all it was to do. process_free from inside is fine. */
typedef void process_fn(void *data, const struct error *err, bool retry);

struct process_options {
	const char *program;	      /* path of stoker-image; need not be in reach of the uid */
	const struct strv *arguments; /* from argv[1] on */
	uid_t uid;
	const struct child_fd *fds; /* besides the report pipe, which is 3 */
	size_t fd_count;
	process_known_fn *on_known; /* NULL: not asked */
	process_fn *fn;
	void *data;
};

int process_start(struct loop *loop, const struct process_options *options, struct process **ret,
		  struct error *err);

const struct process_result *process_result(const struct process *process);

/* Kills it if it runs and waits for its end; fn will not fire. NULL is fine; returns NULL. */
struct process *process_free(struct process *process);

#endif
