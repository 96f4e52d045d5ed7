/* SPDX-License-Identifier: Apache-2.0 */
#include "shutdown.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "instance/roster.h"
#include "loop/loop.h"
#include "model/fleet.h"
#include "plan/plan.h"
#include "startup.h"

/* An instance bounds its own stop: hello again, grace period, power-off. Beyond all that, a VMM
 * does not even end when it is killed. */
enum { LAST_MARGIN_MS = 60000, NAMED_MAX = 10 };

struct shutdown {
	struct loop *loop; /* owned, as is all below */
	struct watch *signals[2];
	struct watch *deadline; /* NULL: it is over */
	struct roster *roster;
	struct fleet *nothing; /* what is to run */
	bool was_interrupted;
	int lock_fd;
};

static void on_change(void *data, const struct instance_status *status)
{
	struct shutdown *shutdown = data;

	log_info("%s: %s", status->spec->name,
		 status->phase == PHASE_ABSENT ? "has ended" : phase_name(status->phase));
	if (roster_count(shutdown->roster) == 0)
		loop_stop(shutdown->loop);
}

static void on_interrupt(struct watch *watch, unsigned events, void *data)
{
	struct shutdown *shutdown = data;

	(void)watch;
	(void)events;
	shutdown->was_interrupted = true;
	loop_stop(shutdown->loop);
}

static void on_deadline(struct watch *watch, unsigned events, void *data)
{
	struct shutdown *shutdown = data;

	(void)events;
	shutdown->deadline = watch_free(watch);
	loop_stop(shutdown->loop);
}

static int start(struct shutdown *shutdown, const struct settings *settings, struct error *err)
{
	if (startup_prepare(settings, &shutdown->lock_fd, err) < 0)
		return -1;
	shutdown->loop = loop_new(err);
	if (!shutdown->loop)
		return -1;
	shutdown->signals[0] = loop_signal(shutdown->loop, SIGTERM, on_interrupt, shutdown);
	shutdown->signals[1] = loop_signal(shutdown->loop, SIGINT, on_interrupt, shutdown);
	return roster_open(shutdown->loop, settings, on_change, shutdown, &shutdown->roster, err);
}

/* As a reload without any manifest does. */
static void remove_all(struct shutdown *shutdown)
{
	struct fleet_status observed = { 0 };
	_cleanup_plan_ struct plan plan = { 0 };
	uint64_t longest_ms = 0;

	roster_observe(shutdown->roster, &observed);
	for (size_t i = 0; i < observed.count; i++)
		if (observed.instances[i].spec->stop_grace_ms > longest_ms)
			longest_ms = observed.instances[i].spec->stop_grace_ms;
	if (observed.count)
		log_info("stopping %zu VMs", observed.count);
	shutdown->deadline = loop_timer(shutdown->loop, longest_ms + LAST_MARGIN_MS, on_deadline,
					shutdown);
	shutdown->nothing = fleet_new();
	plan_make(shutdown->nothing, &observed, &plan);
	roster_apply(shutdown->roster, shutdown->nothing, &plan);
	fleet_status_reset(&observed);
}

static int report(const struct shutdown *shutdown, struct error *err)
{
	_cleanup_strbuf_ struct strbuf names = { 0 };
	size_t count = roster_count(shutdown->roster);
	struct fleet_status left = { 0 };

	if (!count)
		return 0;
	roster_observe(shutdown->roster, &left);
	for (size_t i = 0; i < count && i < NAMED_MAX; i++)
		strbuf_printf(&names, " %s", left.instances[i].spec->name);
	if (count > NAMED_MAX)
		strbuf_puts(&names, " ...");
	fleet_status_reset(&left);
	return error_set(err, "%s, and %zu VMs go on:%s (stokerd takes them over again)",
			 shutdown->was_interrupted ? "interrupted" : "they do not end", count,
			 strbuf_text(&names));
}

static void finish(struct shutdown *shutdown)
{
	roster_close(shutdown->roster);
	watch_free(shutdown->deadline);
	for (int i = 0; i < 2; i++)
		watch_free(shutdown->signals[i]);
	if (shutdown->loop)
		loop_free(shutdown->loop);
	fleet_free(shutdown->nothing);
	if (shutdown->lock_fd >= 0)
		close(shutdown->lock_fd);
}

int shutdown_run(const struct settings *settings, struct error *err)
{
	struct shutdown shutdown = { .lock_fd = -1 };
	int result = start(&shutdown, settings, err);

	if (result == 0) {
		remove_all(&shutdown);
		if (roster_count(shutdown.roster))
			loop_run(shutdown.loop);
		result = report(&shutdown, err);
	}
	finish(&shutdown);
	return result;
}
