/* SPDX-License-Identifier: Apache-2.0 */
/* stokerctl image pull: with -o into a file, by itself; else by the daemon into its store. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "config/load.h"
#include "ctl/client.h"
#include "ctl/meter.h"
#include "ctl/print.h"
#include "image/pull.h"

/* --- into a file -------------------------------------------------------------------------------
 */

enum { INTERRUPTS = 2 };

struct file_pull {
	const struct ctl *ctl;
	struct loop *loop;
	struct meter *meter;
	struct watch *timer;
	struct image_pull *pull;
	struct error err;
	bool failed;
};

static void fail_pull(struct file_pull *file, const struct error *err)
{
	file->failed = true;
	file->err = *err;
	loop_stop(file->loop);
}

static void on_interrupt(struct watch *watch, unsigned events, void *data)
{
	struct error err = { 0 };

	(void)watch;
	(void)events;
	error_set(&err, "interrupted: nothing was written");
	fail_pull(data, &err);
}

static void on_look(struct watch *watch, unsigned events, void *data)
{
	struct file_pull *file = data;
	struct image_progress progress;

	(void)events;
	image_pull_progress(file->pull, &progress);
	meter_show(file->meter, &progress);
	watch_rearm(watch, METER_EVERY_MS);
}

static void print_pulled(const char *name, const char *digest, uint64_t size)
{
	_cleanup_strbuf_ struct strbuf line = { 0 };

	strbuf_printf(&line, "%s  %s  ", name, digest ? digest : "?");
	print_bytes(&line, size);
	print_text(stdout, strbuf_text(&line));
	putchar('\n');
}

static void on_pulled(void *data, const struct image *image, const struct error *err)
{
	struct file_pull *file = data;
	struct stat st = { 0 };

	if (err) {
		fail_pull(file, err);
		return;
	}
	file->meter = meter_free(file->meter);
	if (stat(file->ctl->output_path, &st) == 0)
		print_pulled(file->ctl->output_path, image->digest, (uint64_t)st.st_size);
	loop_stop(file->loop);
}

static int run_pull(struct file_pull *file, const struct settings *settings, struct error *err)
{
	static const int numbers[INTERRUPTS] = { SIGINT, SIGTERM };
	struct watch *interrupts[INTERRUPTS];
	struct compression compression = settings->compression;
	const struct image_pull_options options = { .reference = file->ctl->args[0],
						    .platform = file->ctl->platform,
						    .output = file->ctl->output_path,
						    .compression = &compression };

	if (file->ctl->compression &&
	    compression_parse(file->ctl->compression, &compression, err) < 0)
		return error_wrap(err, "--compress");
	if (image_pull_start(file->loop, settings, &options, on_pulled, file, &file->pull, err) < 0)
		return -1;
	for (size_t i = 0; i < INTERRUPTS; i++)
		interrupts[i] = loop_signal(file->loop, numbers[i], on_interrupt, file);
	file->meter = meter_new();
	file->timer = loop_timer(file->loop, 0, on_look, file);
	loop_run(file->loop);
	watch_free(file->timer);
	meter_free(file->meter);
	image_pull_free(file->pull);
	for (size_t i = 0; i < INTERRUPTS; i++)
		watch_free(interrupts[i]);
	if (file->failed)
		*err = file->err;
	return file->failed ? -1 : 0;
}

static int pull_to_file(const struct ctl *ctl)
{
	struct file_pull file = { .ctl = ctl };
	struct settings settings = { 0 };
	struct problems problems = { 0 };
	struct error err = { 0 };
	int result = settings_load(ctl->settings_path, &settings, &problems);

	fputs(strbuf_text(&problems.text), stderr);
	problems_reset(&problems);
	if (result < 0) {
		error_set(&err, "%s is not valid", ctl->settings_path);
		return ctl_fail(&err);
	}
	file.loop = loop_new(&err);
	result = file.loop ? run_pull(&file, &settings, &err) : -1;
	if (file.loop)
		loop_free(file.loop);
	settings_reset(&settings);
	return result < 0 ? ctl_fail(&err) : EXIT_DONE;
}

/* --- into the store ----------------------------------------------------------------------------
 */

static void on_answer(void *data, const char *key, const json_t *value)
{
	struct meter **meter = data;
	const char *reference;

	if (strcmp(key, "progress") == 0) {
		meter_show_json(*meter, value);
		return;
	}
	if (strcmp(key, "image") != 0)
		return;
	*meter = meter_free(*meter);
	reference = json_string_value(json_array_get(json_object_get(value, "references"), 0));
	print_pulled(reference ? reference : "?",
		     json_string_value(json_array_get(json_object_get(value, "digests"), 0)),
		     json_u64_or(value, "size", 0));
}

static int pull_to_store(const struct ctl *ctl)
{
	struct meter *meter = meter_new();
	struct error err = { 0 };
	struct request request;
	int result;

	result = request_about_image(&request, COMMAND_IMAGE_PULL, ctl, &err);
	if (result == 0)
		result = client_ask(ctl, &request, on_answer, &meter, NULL, &err);
	meter_free(meter);
	return result < 0 ? ctl_fail(&err) : EXIT_DONE;
}

int ctl_image_pull(const struct ctl *ctl)
{
	struct error err;

	if (ctl->output_path)
		return pull_to_file(ctl);
	if (!ctl->platform && !ctl->compression)
		return pull_to_store(ctl);
	error_set(&err, "the daemon's images are for this host's VMs, and compressed as stoker.ini "
			"says (name a file with -o)");
	return ctl_fail(&err);
}
