/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image store without the daemon, for tests/system/image-fetch.t:
 *   store_driver STOKER_INI REFERENCE...
 * asks for all references at once and prints a line for each as it comes: "image REFERENCE ID
 * MANIFEST SQUASHFS" or "error REFERENCE RETRY TEXT". "always:" or "never:" before a reference is
 * its pull policy.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "config/load.h"
#include "image/image.h"

struct question {
	const char *reference;
	struct loop *loop;
	int *pending;
};

static void on_image(void *data, const struct image *image, const struct error *err, bool retry)
{
	struct question *question = data;

	if (image)
		printf("image %s %s %s %s\n", question->reference, image->id, image->digest,
		       image->squashfs_path);
	else
		printf("error %s %d %s\n", question->reference, retry, err->text);
	fflush(stdout);
	if (--*question->pending == 0)
		loop_stop(question->loop);
}

static int read_settings(const char *path, struct settings *settings)
{
	struct problems problems = { 0 };
	int result = settings_load(path, settings, &problems);

	fputs(strbuf_text(&problems.text), stderr);
	problems_reset(&problems);
	return result;
}

static enum pull_policy policy_of(const char **reference)
{
	static const struct {
		const char *prefix;
		enum pull_policy policy;
	} policies[] = { { "always:", PULL_ALWAYS }, { "never:", PULL_NEVER } };

	for (size_t i = 0; i < 2; i++) {
		size_t length = strlen(policies[i].prefix);

		if (strncmp(*reference, policies[i].prefix, length) != 0)
			continue;
		*reference += length;
		return policies[i].policy;
	}
	return PULL_MISSING;
}

int main(int argc, char **argv)
{
	int pending = argc - 2;
	struct question *questions;
	struct settings settings;
	struct image_store *store;
	struct error err;
	struct loop *loop;

	if (pending < 1)
		return 2;
	if (read_settings(argv[1], &settings) < 0)
		return 1;
	loop = loop_new(&err);
	if (!loop || image_store_open(loop, &settings, &store, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	questions = xcalloc((size_t)pending, sizeof(*questions));
	for (int i = 0; i < argc - 2; i++) {
		const char *reference = argv[2 + i];
		enum pull_policy policy = policy_of(&reference);

		questions[i] = (struct question){ reference, loop, &pending };
		image_request(store, reference, policy, on_image, &questions[i]);
	}
	loop_run(loop);
	image_store_close(store);
	loop_free(loop);
	settings_reset(&settings);
	free(questions);
	return 0;
}
