/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Called by metrics.c; asks the roster and the daemon. Families in the order of stokerd(8), each
 * one group of lines as the format demands, so every family walks the roster anew. See
 * https://prometheus.io/docs/instrumenting/exposition_formats/.
 */
#include "control/exposition.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

/* What one family has to say of one instance. */
typedef void add_fn(struct strbuf *out, const char *family, const struct instance_status *status);
typedef void add_guard_fn(struct strbuf *out, const char *family, const char *vm,
			  const struct net_view *view);

struct family {
	const char *name, *type, *help;
	add_fn *add;
	add_guard_fn *add_guard; /* of those that have a tap */
};

/* --- of the daemon ------------------------------------------------------------------------------
 */

static void add_head(struct strbuf *out, const char *name, const char *type, const char *help)
{
	strbuf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void add_number(struct strbuf *out, const char *name, uint64_t value)
{
	strbuf_printf(out, "%s %llu\n", name, (unsigned long long)value);
}

static void add_forward(const json_t *forward, struct strbuf *out)
{
	add_head(out, "stoker_log_forward_up", "gauge", "Whether the target takes lines.");
	add_number(out, "stoker_log_forward_up", json_bool_or(forward, "is_up", false));
	add_head(out, "stoker_log_forwarded_lines_total", "counter",
		 "Lines of guests that the target took.");
	add_number(out, "stoker_log_forwarded_lines_total", json_u64_or(forward, "lines", 0));
	add_head(out, "stoker_log_forward_lost_lines_total", "counter",
		 "Lines of guests that found no room to wait in.");
	add_number(out, "stoker_log_forward_lost_lines_total", json_u64_or(forward, "lost", 0));
}

static void add_daemon(const struct exposition *exposition, struct strbuf *out)
{
	_cleanup_json_ json_t *daemon = exposition->handlers->describe(exposition->data);

	add_head(out, "stoker_info", "gauge", "The version that runs.");
	strbuf_puts(out, "stoker_info{version=\"" STOKER_VERSION "\"} 1\n");
	add_head(out, "stoker_uptime_seconds", "gauge", "Since the daemon was started.");
	add_number(out, "stoker_uptime_seconds", json_u64_or(daemon, "uptime_ms", 0) / 1000);
	add_head(out, "stoker_reloads_total", "counter",
		 "Loads of the manifests that were applied.");
	add_number(out, "stoker_reloads_total", json_u64_or(daemon, "reloads", 0));
	add_head(out, "stoker_manifests_refused", "gauge", "Whether the last load was refused.");
	add_number(out, "stoker_manifests_refused",
		   json_is_string(json_object_get(daemon, "refusal")));
	add_head(out, "stoker_host_warnings", "gauge", "How many of them status shows.");
	add_number(out, "stoker_host_warnings",
		   json_array_size(json_object_get(daemon, "warnings")));
	if (json_is_object(json_object_get(daemon, "forward")))
		add_forward(json_object_get(daemon, "forward"), out);
}

/* --- of instances -------------------------------------------------------------------------------
 */

static void add_vm(struct strbuf *out, const char *family, const char *vm, uint64_t value)
{
	strbuf_printf(out, "%s{vm=\"%s\"} %llu\n", family, vm, (unsigned long long)value);
}

static void add_phase(struct strbuf *out, const char *family, const struct instance_status *status)
{
	strbuf_printf(out, "%s{vm=\"%s\",phase=\"%s\"} 1\n", family, status->spec->name,
		      phase_name(status->phase));
}

static void add_health(struct strbuf *out, const char *family, const struct instance_status *status)
{
	if (status->health != HEALTH_NONE)
		strbuf_printf(out, "%s{vm=\"%s\",health=\"%s\"} 1\n", family, status->spec->name,
			      health_name(status->health));
}

static void add_restarts(struct strbuf *out, const char *family,
			 const struct instance_status *status)
{
	add_vm(out, family, status->spec->name, status->restarts);
}

static void add_running(struct strbuf *out, const char *family,
			const struct instance_status *status)
{
	add_vm(out, family, status->spec->name, status->running_ms / 1000);
}

static void add_log_dropped(struct strbuf *out, const char *family,
			    const struct instance_status *status)
{
	add_vm(out, family, status->spec->name, status->log_dropped_bytes);
}

static void add_frames(struct strbuf *out, const char *family, const char *vm,
		       const struct net_view *view)
{
	for (size_t i = 0; i < view->counters.count; i++) {
		const struct net_counter *counter = &view->counters.items[i];

		strbuf_printf(out, "%s{vm=\"%s\",verdict=\"%s\",reason=\"%s\"} %llu\n", family, vm,
			      counter->is_drop ? "drop" : "pass", counter->name,
			      (unsigned long long)counter->packets);
	}
}

static void add_way(struct strbuf *out, const char *family, const char *vm, const char *direction,
		    uint64_t bytes)
{
	strbuf_printf(out, "%s{vm=\"%s\",direction=\"%s\"} %llu\n", family, vm, direction,
		      (unsigned long long)bytes);
}

static void add_bytes(struct strbuf *out, const char *family, const char *vm,
		      const struct net_view *view)
{
	add_way(out, family, vm, "from-guest", view->counters.accepted_bytes);
	add_way(out, family, vm, "to-guest", view->counters.delivered_bytes);
}

static void add_shielded(struct strbuf *out, const char *family, const char *vm,
			 const struct net_view *view)
{
	add_vm(out, family, vm, view->counters.shielded);
}

static void add_shield(struct strbuf *out, const char *family, const char *vm,
		       const struct net_view *view)
{
	add_vm(out, family, vm, view->has_shield);
}

static const struct family families[] = {
	{ "stoker_vm_phase", "gauge", "1 for the phase that the VM is in.", .add = add_phase },
	{ "stoker_vm_health", "gauge", "1 for what the VM's health check has shown.",
	  .add = add_health },
	{ "stoker_vm_restarts_total", "counter", "Restarts since the daemon knows the VM.",
	  .add = add_restarts },
	{ "stoker_vm_running_seconds", "gauge", "For how long the workload runs.",
	  .add = add_running },
	{ "stoker_vm_log_dropped_bytes_total", "counter", "Of its log, beyond the rate.",
	  .add = add_log_dropped },
	{ "stoker_guard_frames_total", "counter", "Frames of this run of the VM, by verdict.",
	  .add_guard = add_frames },
	{ "stoker_guard_bytes_total", "counter", "Bytes of the frames that passed.",
	  .add_guard = add_bytes },
	{ "stoker_guard_shielded_total", "counter", "Frames that met the flood shield.",
	  .add_guard = add_shielded },
	{ "stoker_guard_shield_up", "gauge", "Whether the flood shield is up.",
	  .add_guard = add_shield },
};

enum { FAMILIES = sizeof(families) / sizeof(families[0]) };

static void add_instance(const struct exposition *exposition, const struct family *family,
			 const struct instance_status *status, struct strbuf *out)
{
	const char *name = status->spec->name;
	struct net_view view;

	if (family->add)
		family->add(out, family->name, status);
	else if (roster_guard(exposition->roster, name, &view, NULL) == 0)
		family->add_guard(out, family->name, name, &view);
}

/* The place after the instance that came last. The fleet may have changed since. */
static size_t resume_index(const struct exposition *exposition, const struct fleet_status *status)
{
	for (size_t i = 0; exposition->last_name && i < status->count; i++)
		if (strcmp(status->instances[i].spec->name, exposition->last_name) == 0)
			return i + 1;
	return exposition->next_index;
}

/* Some of the instances. True: there are more. */
static bool add_some(struct exposition *exposition, const struct family *family, struct strbuf *out)
{
	enum { AT_ONCE = 32 };
	struct fleet_status status = { 0 };
	size_t i, end;

	roster_observe(exposition->roster, &status);
	i = resume_index(exposition, &status);
	end = status.count - i > AT_ONCE ? i + AT_ONCE : status.count;
	for (; i < end; i++)
		add_instance(exposition, family, &status.instances[i], out);
	exposition->next_index = end;
	free(exposition->last_name);
	exposition->last_name = end ? xstrdup(status.instances[end - 1].spec->name) : NULL;
	i = status.count - end;
	fleet_status_reset(&status);
	return i > 0;
}

bool exposition_more(struct exposition *exposition, struct strbuf *out)
{
	const struct family *family;

	if (exposition->next_family > FAMILIES)
		return false;
	if (exposition->next_family == 0) {
		add_daemon(exposition, out);
		exposition->next_family++;
		return true;
	}
	family = &families[exposition->next_family - 1];
	if (exposition->next_index == 0)
		add_head(out, family->name, family->type, family->help);
	if (add_some(exposition, family, out))
		return true;
	exposition->next_family++;
	exposition->next_index = 0;
	free(exposition->last_name);
	exposition->last_name = NULL;
	return true;
}

void exposition_reset(struct exposition *exposition)
{
	free(exposition->last_name);
	*exposition = (struct exposition){ 0 };
}
