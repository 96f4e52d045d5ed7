/* SPDX-License-Identifier: Apache-2.0 */
/* Called by the pulls of image.c and by status. Digests come from the daemon or a worker's checked
 * record, so they are printable. */
#include "ctl/meter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "ctl/print.h"
#include "loop/loop.h"

enum {
	WIDTH_DEFAULT = 80,
	BAR_MIN = 10,
	BAR_MAX = 40,
	TEXT_WIDTH = 54, /* of a line, beside its bar */
	LAYERS_SHOWN = 16,
	DIGEST_SHOWN = 12,
	LINE_EVERY_MS = 5000,
	LAYERS_MAX = 128,
};

struct meter {
	bool is_terminal;
	unsigned drawn; /* lines that stand on the terminal */
	/* Elsewhere: what was told already. */
	char stage[16];
	uint64_t told_ms;
	unsigned told_layers;
	struct layer_progress layers[LAYERS_MAX]; /* of the last JSON */
};

struct meter *meter_new(void)
{
	struct meter *meter = xcalloc(1, sizeof(*meter));
	const char *term = getenv("TERM");

	meter->is_terminal = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
	return meter;
}

void meter_amount(struct strbuf *out, uint64_t done, uint64_t total, uint64_t rate)
{
	print_bytes(out, done);
	if (total > 0) {
		strbuf_puts(out, " of ");
		print_bytes(out, total);
		strbuf_printf(out, " (%u%%)",
			      done < total ? (unsigned)(100.0 * (double)done / (double)total)
					   : 100);
	}
	if (rate > 0) {
		strbuf_puts(out, ", ");
		print_bytes(out, rate);
		strbuf_puts(out, "/s");
	}
}

static const char *short_digest(const char *digest)
{
	const char *colon = strchr(digest, ':');

	return colon ? colon + 1 : digest;
}

/* --- a terminal --------------------------------------------------------------------------------
 */

static int bar_width(void)
{
	struct winsize size;
	int width = WIDTH_DEFAULT;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		width = size.ws_col;
	width -= TEXT_WIDTH + 3;
	return width < BAR_MIN ? BAR_MIN : width > BAR_MAX ? BAR_MAX : width;
}

static void add_bar(struct strbuf *out, uint64_t done, uint64_t total)
{
	int width = bar_width();
	double part = total == 0 || done > total ? 0 : (double)done / (double)total;
	int filled = (int)(part * width);

	strbuf_putc(out, '[');
	for (int i = 0; i < width; i++)
		strbuf_putc(out, i < filled ? '=' : i == filled && done > 0 ? '>' : ' ');
	strbuf_puts(out, "] ");
}

static void draw_line(struct meter *meter, const char *title, uint64_t done, uint64_t total,
		      uint64_t rate)
{
	_cleanup_strbuf_ struct strbuf line = { 0 };

	strbuf_printf(&line, "%-*.*s ", DIGEST_SHOWN, DIGEST_SHOWN, title);
	if (total > 0)
		add_bar(&line, done, total);
	meter_amount(&line, done, total, rate);
	fprintf(stderr, "%s\033[K\n", strbuf_text(&line));
	meter->drawn++;
}

static void go_back(struct meter *meter)
{
	if (meter->drawn > 0)
		fprintf(stderr, "\033[%uA", meter->drawn);
	fputs("\r\033[J", stderr);
	meter->drawn = 0;
}

static void draw(struct meter *meter, const struct image_progress *progress)
{
	unsigned shown = 0, left = 0;

	go_back(meter);
	/* Those that are complete are of no interest when there are many. */
	for (size_t i = 0; i < progress->layer_count; i++) {
		const struct layer_progress *layer = &progress->layers[i];

		if (progress->layer_count > LAYERS_SHOWN && layer->done >= layer->total)
			continue;
		if (shown++ < LAYERS_SHOWN)
			draw_line(meter, short_digest(layer->digest), layer->done, layer->total, 0);
		else
			left++;
	}
	if (left > 0) {
		fprintf(stderr, "(%u more layers)\n", left);
		meter->drawn++;
	}
	draw_line(meter, progress->stage[0] ? progress->stage : "waiting", progress->done,
		  progress->total, progress->rate);
	fflush(stderr);
}

/* --- elsewhere ---------------------------------------------------------------------------------
 */

static unsigned complete_layers(const struct image_progress *progress)
{
	unsigned count = 0;

	for (size_t i = 0; i < progress->layer_count; i++)
		count += progress->layers[i].done >= progress->layers[i].total;
	return count;
}

/* A new stage, a layer that is complete, or five seconds. */
static void tell(struct meter *meter, const struct image_progress *progress)
{
	_cleanup_strbuf_ struct strbuf line = { 0 };
	unsigned complete = complete_layers(progress);
	uint64_t now_ms = loop_now_ms();

	if (strcmp(progress->stage, meter->stage) == 0 &&
	    (complete <= meter->told_layers || progress->layer_count == 0) &&
	    now_ms - meter->told_ms < LINE_EVERY_MS)
		return;
	memcpy(meter->stage, progress->stage, sizeof(meter->stage));
	meter->told_ms = now_ms;
	meter->told_layers = complete;
	strbuf_puts(&line, progress->stage[0] ? progress->stage : "waiting");
	if (progress->total > 0) {
		strbuf_puts(&line, ": ");
		meter_amount(&line, progress->done, progress->total, progress->rate);
	}
	if (progress->layer_count > 0)
		strbuf_printf(&line, ", %u of %zu layers", complete, progress->layer_count);
	fprintf(stderr, "%s\n", strbuf_text(&line));
}

void meter_show(struct meter *meter, const struct image_progress *progress)
{
	if (meter->is_terminal)
		draw(meter, progress);
	else
		tell(meter, progress);
}

/* --- from the daemon ---------------------------------------------------------------------------
 */

static void read_layers(struct meter *meter, const json_t *list, struct image_progress *progress)
{
	const json_t *item;
	size_t i;

	json_array_foreach (list, i, item) {
		struct layer_progress *layer = &meter->layers[i];

		if (i == LAYERS_MAX)
			break;
		snprintf(layer->digest, sizeof(layer->digest), "%s",
			 json_string_or(item, "digest", "?"));
		layer->done = json_u64_or(item, "done", 0);
		layer->total = json_u64_or(item, "total", 0);
		progress->layer_count = i + 1;
	}
	progress->layers = meter->layers;
}

void meter_show_json(struct meter *meter, const json_t *object)
{
	struct image_progress progress = {
		.done = json_u64_or(object, "progress_done", 0),
		.total = json_u64_or(object, "progress_total", 0),
		.rate = json_u64_or(object, "progress_rate", 0),
	};

	snprintf(progress.stage, sizeof(progress.stage), "%s",
		 json_string_or(object, "progress_stage", ""));
	read_layers(meter, json_object_get(object, "progress_layers"), &progress);
	meter_show(meter, &progress);
}

struct meter *meter_free(struct meter *meter)
{
	if (!meter)
		return NULL;
	if (meter->is_terminal)
		go_back(meter);
	fflush(stderr);
	free(meter);
	return NULL;
}
