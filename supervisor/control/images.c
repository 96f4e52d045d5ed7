/* SPDX-License-Identifier: Apache-2.0 */
/* The commands about images: list, inspect, pull, prune. They ask the store of the roster. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "control/client.h"
#include "image/image.h"

static struct image_store *images_of(const struct client *client)
{
	return roster_images(client->control->roster);
}

/* --- list, inspect -----------------------------------------------------------------------------
 */

int image_list_start(struct client *client, struct error *err)
{
	client->job.catalog = xcalloc(1, sizeof(*client->job.catalog));
	return image_store_list(images_of(client), client->job.catalog, err);
}

enum progress image_list_more(struct client *client)
{
	struct job *job = &client->job;

	if (job->next_index == job->catalog->count) {
		client_done(client, NULL);
		return PROGRESS_DONE;
	}
	client_send(client, "image", catalog_to_json(&job->catalog->images[job->next_index++]));
	return PROGRESS_AGAIN;
}

static int send_described(struct client *client, const char *name, struct error *err)
{
	const struct catalog_image *image = NULL;
	struct catalog catalog = { 0 };

	if (image_store_list(images_of(client), &catalog, err) == 0)
		image = catalog_choose(&catalog, name, err);
	if (image)
		client_send(client, "image", image_store_describe(images_of(client), image));
	catalog_reset(&catalog);
	return image ? 0 : -1;
}

int image_inspect_start(struct client *client, struct error *err)
{
	return send_described(client, client->job.request.image, err);
}

/* --- pull --------------------------------------------------------------------------------------
 */

/* Outlives no client: job_reset cancels the request. */
struct pull {
	struct image_request *request; /* NULL: answered */
	char *id;		       /* of the image; NULL: err says why not */
	struct error err;
	struct image_progress told; /* without its layers */
	uint64_t told_ms;
};

enum { PULL_TELL_EVERY_MS = 200 };

static void on_image(void *data, const struct image *image, const struct error *err, bool retry)
{
	struct pull *pull = data;

	(void)retry;
	pull->request = NULL;
	pull->id = image ? xstrdup(image->id) : NULL;
	if (err)
		pull->err = *err;
}

int image_fetch_start(struct client *client, struct error *err)
{
	struct pull *pull = xcalloc(1, sizeof(*pull));

	(void)err;
	client->job.pull = pull;
	pull->request = image_request(images_of(client), client->job.request.image, PULL_ALWAYS,
				      on_image, pull);
	return 0;
}

struct pull *pull_free(struct pull *pull)
{
	if (!pull)
		return NULL;
	if (pull->request)
		image_request_cancel(pull->request);
	free(pull->id);
	free(pull);
	return NULL;
}

static bool has_moved(const struct pull *pull, const struct image_progress *now)
{
	return strcmp(now->stage, pull->told.stage) != 0 ||
	       (now->done != pull->told.done && loop_now_ms() - pull->told_ms > PULL_TELL_EVERY_MS);
}

static enum progress tell_progress(struct client *client, struct pull *pull)
{
	struct image_progress now;
	json_t *object;

	image_request_progress(pull->request, &now);
	if (!has_moved(pull, &now))
		return PROGRESS_WAIT;
	object = json_object();
	image_progress_to_json(&now, object);
	client_send(client, "progress", object);
	pull->told = now;
	pull->told.layers = NULL;
	pull->told_ms = loop_now_ms();
	return PROGRESS_AGAIN;
}

enum progress image_fetch_more(struct client *client)
{
	struct pull *pull = client->job.pull;

	if (pull->request)
		return tell_progress(client, pull);
	if (pull->id && send_described(client, pull->id, &pull->err) == 0)
		client_done(client, NULL);
	else
		client_fail(client, &pull->err);
	return PROGRESS_DONE;
}

/* --- prune -------------------------------------------------------------------------------------
 */

int image_prune_start(struct client *client, struct error *err)
{
	struct prune_report report = { 0 };
	int result = image_store_prune(images_of(client), client->job.request.is_dry_run, &report,
				       err);

	client_send(client, "pruned",
		    json_pack("{s:o, s:I, s:I, s:I, s:b}", "images", json_from_strv(&report.images),
			      "image_bytes", (json_int_t)report.image_bytes, "blobs",
			      (json_int_t)report.blobs, "blob_bytes", (json_int_t)report.blob_bytes,
			      "blobs_kept", report.are_blobs_kept));
	prune_report_reset(&report);
	return result;
}
