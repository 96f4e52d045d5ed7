/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fleet and what is observed, merged like two sorted lists: called by the daemon and by
 * stokerctl, carried out by instance/roster. Which fields are live and which force a new VM is
 * written in spec_fields; nothing here knows a field by name.
 */
#include "plan/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "plan/change.h"

const char *action_name(enum action_kind kind)
{
	static const char *const names[] = {
		[ACTION_REMOVE] = "remove", [ACTION_REPLACE] = "replace",
		[ACTION_UPDATE] = "update", [ACTION_CREATE] = "create",
		[ACTION_KEEP] = "keep",
	};

	return kind <= ACTION_KEEP ? names[kind] : "?";
}

/* The order of fleets and of what is observed: by tenant, VM, then number of the replica. */
static int compare_specs(const struct spec *a, const struct spec *b)
{
	int order = strcmp(a->tenant, b->tenant);

	if (order == 0)
		order = strcmp(a->vm, b->vm);
	return order ? order : (a->replica > b->replica) - (a->replica < b->replica);
}

static int compare_observed(const void *a, const void *b)
{
	return compare_specs((*(const struct instance_status *const *)a)->spec,
			     (*(const struct instance_status *const *)b)->spec);
}

/* Sorted pointers: a caller's mistake in the order must not turn into removals. */
static const struct instance_status **sort_observed(const struct fleet_status *observed)
{
	const struct instance_status **sorted = xcalloc(observed->count, sizeof(*sorted));

	for (size_t i = 0; i < observed->count; i++)
		sorted[i] = &observed->instances[i];
	qsort(sorted, observed->count, sizeof(*sorted), compare_observed);
	return sorted;
}

/* The manifest's keys whose fields of this class differ. */
static void changed_keys(const struct spec *from, const struct spec *to, enum field_class class,
			 struct strv *ret)
{
	for (size_t i = 0; i < spec_field_count; i++) {
		const struct spec_field *field = &spec_fields[i];
		const char *key = change_key(field);

		if (field->class == class && !spec_field_equal(field, from, to) &&
		    !strv_contains(ret, key))
			strv_add(ret, key);
	}
}

static void add(struct plan *plan, enum action_kind kind, const char *name,
		const struct spec *desired, struct strv *fields)
{
	plan->actions[plan->count++] = (struct action){
		.kind = kind,
		.name = xstrdup(name),
		.desired = desired,
		.fields = fields ? *fields : (struct strv){ 0 },
	};
	plan->counts[kind]++;
}

static void compare_one(struct plan *plan, const struct spec *from, const struct spec *to)
{
	struct strv fields = { 0 };

	changed_keys(from, to, FIELD_REPLACE, &fields);
	if (fields.count) {
		add(plan, ACTION_REPLACE, to->name, to, &fields);
		return;
	}
	changed_keys(from, to, FIELD_LIVE, &fields);
	add(plan, fields.count ? ACTION_UPDATE : ACTION_KEEP, to->name, to, &fields);
}

/* Groups the actions by kind; within a kind the order of the fleet stays. */
static void group_by_kind(struct plan *plan)
{
	struct action *grouped = xcalloc(plan->count, sizeof(*grouped));
	size_t next[ACTION_KEEP + 1] = { 0 };

	for (size_t kind = 1; kind <= ACTION_KEEP; kind++)
		next[kind] = next[kind - 1] + plan->counts[kind - 1];
	for (size_t i = 0; i < plan->count; i++)
		grouped[next[plan->actions[i].kind]++] = plan->actions[i];
	free(plan->actions);
	plan->actions = grouped;
}

void plan_make(const struct fleet *fleet, const struct fleet_status *observed, struct plan *ret)
{
	_cleanup_free_ const struct instance_status **sorted = sort_observed(observed);
	struct plan plan = { 0 };
	size_t i = 0, j = 0;

	plan.actions = xcalloc(fleet->spec_count + observed->count, sizeof(*plan.actions));
	while (i < fleet->spec_count || j < observed->count) {
		int order = i == fleet->spec_count ? 1
			    : j == observed->count
				    ? -1
				    : compare_specs(fleet->specs[i], sorted[j]->spec);

		if (order < 0) {
			add(&plan, ACTION_CREATE, fleet->specs[i]->name, fleet->specs[i], NULL);
			i++;
		} else if (order > 0) {
			add(&plan, ACTION_REMOVE, sorted[j]->spec->name, NULL, NULL);
			j++;
		} else {
			compare_one(&plan, sorted[j]->spec, fleet->specs[i]);
			i++;
			j++;
		}
	}
	group_by_kind(&plan);
	*ret = plan;
}

void plan_reset(struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		free(plan->actions[i].name);
		strv_reset(&plan->actions[i].fields);
	}
	free(plan->actions);
	*plan = (struct plan){ 0 };
}

bool plan_is_empty(const struct plan *plan)
{
	return plan->counts[ACTION_KEEP] == plan->count;
}

/* What runs now under the desired spec's identity; never NULL for REPLACE and UPDATE. */
static const struct spec *find_observed(const struct instance_status **sorted, size_t count,
					const struct spec *desired)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare_specs(sorted[middle]->spec, desired);

		if (order == 0)
			return sorted[middle]->spec;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* What it waits for before it starts. */
static void print_waiting(const struct spec *spec, struct strbuf *out)
{
	const char *separator = "  waits for ";

	STRV_EACH (line, &spec->depends_on) {
		size_t name = strcspn(line, "=");

		strbuf_printf(out, "%s%.*s (%s)", separator, (int)name, line, line + name + 1);
		separator = ", ";
	}
}

static void print_changes(const struct action *action, const struct spec *from, struct strbuf *out)
{
	strbuf_puts(out, "  ");
	for (size_t i = 0; i < action->fields.count; i++) {
		strbuf_puts(out, i ? "; " : "");
		change_print(action->fields.items[i], from, action->desired, out);
	}
}

void plan_print(const struct plan *plan, const struct fleet_status *observed, struct strbuf *out)
{
	_cleanup_free_ const struct instance_status **sorted = sort_observed(observed);

	for (size_t i = 0; i < plan->count; i++) {
		const struct action *action = &plan->actions[i];
		const struct spec *from = NULL;

		if (action->kind == ACTION_KEEP)
			continue;
		strbuf_printf(out, "%-7s %s", action_name(action->kind), action->name);
		if (action->desired && action->fields.count)
			from = find_observed(sorted, observed->count, action->desired);
		if (from)
			print_changes(action, from, out);
		if (action->kind == ACTION_CREATE || action->kind == ACTION_REPLACE)
			print_waiting(action->desired, out);
		strbuf_putc(out, '\n');
	}
	strbuf_printf(out,
		      "plan: %zu to create, %zu to update, %zu to replace, %zu to remove, %zu "
		      "unchanged\n",
		      plan->counts[ACTION_CREATE], plan->counts[ACTION_UPDATE],
		      plan->counts[ACTION_REPLACE], plan->counts[ACTION_REMOVE],
		      plan->counts[ACTION_KEEP]);
}
