/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/strbuf.h"

enum { REDRAW_MS = 200, LINE_MAX_CHARS = 79 };

struct progress {
	struct loop *loop; /* borrowed, as is the next */
	const struct roster *roster;
	struct watch *timer; /* owned; NULL while nobody waits */
};

static void add_instance(struct strbuf *line, const struct instance_status *status)
{
	const struct image_progress *progress = &status->progress;

	strbuf_printf(line, "%s%s: %s", line->length ? "  " : "", status->spec->name,
		      progress->stage[0] ? progress->stage : "queued");
	if (progress->total)
		strbuf_printf(line, " %.1f/%.1f MiB (%d %%)", (double)progress->done / (1 << 20),
			      (double)progress->total / (1 << 20),
			      (int)(100.0 * (double)progress->done / (double)progress->total));
	if (progress->rate)
		strbuf_printf(line, " %.1f MiB/s", (double)progress->rate / (1 << 20));
}

static size_t describe(const struct roster *roster, struct strbuf *line)
{
	struct fleet_status observed = { 0 };
	size_t waiting = 0;

	roster_observe(roster, &observed);
	for (size_t i = 0; i < observed.count; i++) {
		if (observed.instances[i].phase != PHASE_FETCHING)
			continue;
		if (line->length < LINE_MAX_CHARS)
			add_instance(line, &observed.instances[i]);
		waiting++;
	}
	fleet_status_reset(&observed);
	return waiting;
}

static void on_redraw(struct watch *watch, unsigned events, void *data)
{
	_cleanup_strbuf_ struct strbuf line = { 0 };
	struct progress *progress = data;
	size_t waiting = describe(progress->roster, &line);

	(void)events;
	/* A line that wraps cannot be taken back. */
	if (line.length > LINE_MAX_CHARS)
		line.data[LINE_MAX_CHARS] = '\0';
	log_transient(strbuf_text(&line));
	if (waiting)
		watch_rearm(watch, REDRAW_MS);
	else
		progress->timer = watch_free(watch);
}

struct progress *progress_new(struct loop *loop, const struct roster *roster)
{
	struct progress *progress;

	if (!isatty(STDERR_FILENO))
		return NULL;
	progress = xcalloc(1, sizeof(*progress));
	progress->loop = loop;
	progress->roster = roster;
	return progress;
}

void progress_start(struct progress *progress)
{
	if (progress && !progress->timer)
		progress->timer = loop_timer(progress->loop, REDRAW_MS, on_redraw, progress);
}

struct progress *progress_free(struct progress *progress)
{
	if (!progress)
		return NULL;
	watch_free(progress->timer);
	log_transient("");
	free(progress);
	return NULL;
}
