/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image store without the daemon, for tests/system/image-fetch.t:
 *   store_driver STATE_DIR LIBEXEC_DIR INSECURE RETRIES REFERENCE...
 * asks for all references at once and prints a line for each as it comes: "image REFERENCE ID
 * MANIFEST SQUASHFS" or "error REFERENCE RETRY TEXT". INSECURE is a list separated by commas.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
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

static void read_settings(char **argv, struct settings *settings)
{
	char *list = argv[3];

	settings_defaults(settings);
	free(settings->state_dir);
	free(settings->libexec_dir);
	settings->state_dir = xstrdup(argv[1]);
	settings->libexec_dir = xstrdup(argv[2]);
	for (char *host = strsep(&list, ","); host; host = strsep(&list, ","))
		strv_add(&settings->insecure_registries, host);
	settings->fetch_retries = (uint32_t)atoi(argv[4]);
}

int main(int argc, char **argv)
{
	int pending = argc - 5;
	struct question *questions;
	struct settings settings;
	struct image_store *store;
	struct error err;
	struct loop *loop;

	if (pending < 1)
		return 2;
	read_settings(argv, &settings);
	loop = loop_new(&err);
	if (!loop || image_store_open(loop, &settings, &store, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	questions = xcalloc((size_t)pending, sizeof(*questions));
	for (int i = 0; i < argc - 5; i++) {
		questions[i] = (struct question){ argv[5 + i], loop, &pending };
		image_request(store, argv[5 + i], PULL_MISSING, on_image, &questions[i]);
	}
	loop_run(loop);
	image_store_close(store);
	loop_free(loop);
	settings_reset(&settings);
	free(questions);
	return 0;
}
