/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries out plans and answers questions about all instances. Instances live in one array, sorted
 * as the fleet is, so that planning stays a merge of two sorted lists.
 */
#include "instance/roster.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/log.h"
#include "instance/roster_internal.h"
#include "vmm/cgroup.h"

/* --- the array ------------------------------------------------------------------------------- */

/* The place of the name's instance, or where it would be inserted. */
static size_t place_of(const struct roster *roster, const struct spec *spec, bool *ret_found)
{
	size_t low = 0, high = roster->count;

	*ret_found = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = spec_order(instance_spec(roster->instances[middle]), spec);

		if (order == 0)
			*ret_found = true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int insert(struct roster *roster, struct instance *instance)
{
	bool found;
	size_t place = place_of(roster, instance_spec(instance), &found);

	if (found)
		return -1;
	roster->instances = xreallocarray(roster->instances, roster->count + 1,
					  sizeof(*roster->instances));
	memmove(&roster->instances[place + 1], &roster->instances[place],
		(roster->count - place) * sizeof(*roster->instances));
	roster->instances[place] = instance;
	roster->count++;
	roster->slots[instance_slot(instance)] = 1;
	return 0;
}

struct instance *roster_find(const struct roster *roster, const char *name)
{
	for (size_t i = 0; i < roster->count; i++)
		if (strcmp(instance_spec(roster->instances[i])->name, name) == 0)
			return roster->instances[i];
	return NULL;
}

struct instance *roster_find_spec(const struct roster *roster, const struct spec *spec)
{
	bool found;
	size_t place = place_of(roster, spec, &found);

	return found ? roster->instances[place] : NULL;
}

/* The first two uids of the range are the image workers'. */
static uint32_t slot_limit(const struct roster *roster)
{
	uint32_t uids = roster->settings->uid_count - 2;

	return uids < NET_SLOTS_MAX ? uids : NET_SLOTS_MAX;
}

static int free_slot(const struct roster *roster, uint32_t *ret)
{
	for (uint32_t slot = 0; slot < slot_limit(roster); slot++)
		if (!roster->slots[slot]) {
			*ret = slot;
			return 0;
		}
	return -1;
}

/* --- what instances ask ---------------------------------------------------------------------- */

static void on_wake(struct watch *watch, unsigned events, void *data)
{
	struct roster *roster = data;

	(void)events;
	roster->waker = watch_free(watch);
	for (size_t i = 0; i < roster->count; i++)
		instance_wake(roster->instances[i]);
}

/* Once control is back in the loop: another one's event may be under way. */
static void wake_soon(struct roster *roster)
{
	if (!roster->waker)
		roster->waker = loop_soon(roster->loop, on_wake, roster);
}

static void on_changed(void *data, struct instance *instance)
{
	struct roster *roster = data;
	struct instance_status status;

	wake_soon(roster);
	instance_observe(instance, &status);
	roster->changed(roster->data, &status);
}

static void create_waiting(struct roster *roster);

static void on_sweep(struct watch *watch, unsigned events, void *data)
{
	struct roster *roster = data;

	(void)events;
	roster->sweeper = watch_free(watch);
	for (size_t i = 0; i < roster->released_count; i++) {
		roster->slots[instance_slot(roster->released[i])] = 0;
		instance_free(roster->released[i]);
	}
	roster->released_count = 0;
	if (roster->lacks_slots)
		create_waiting(roster);
}

/* Out of the list at once; freed when no callback of its own can be on the stack any more. */
static void on_released(void *data, struct instance *instance)
{
	struct roster *roster = data;

	for (size_t i = 0; i < roster->count; i++) {
		if (roster->instances[i] != instance)
			continue;
		memmove(&roster->instances[i], &roster->instances[i + 1],
			(roster->count - i - 1) * sizeof(*roster->instances));
		roster->count--;
		break;
	}
	roster->released = xreallocarray(roster->released, roster->released_count + 1,
					 sizeof(*roster->released));
	roster->released[roster->released_count++] = instance;
	if (!roster->sweeper)
		roster->sweeper = loop_soon(roster->loop, on_sweep, roster);
}

static void on_guard(void *data, const struct net_event *event)
{
	struct roster *roster = data;

	for (size_t i = 0; i < roster->count; i++) {
		struct instance *instance = roster->instances[i];

		if (instance_slot(instance) != event->slot)
			continue;
		roster->guard_told(roster->guard_data, instance_spec(instance)->name, event);
		if (event->kind == NET_EVENT_LOST)
			instance_unguarded(instance, event->message);
		return;
	}
}

int roster_watch_guards(struct roster *roster, roster_guard_fn *told, void *data, struct error *err)
{
	roster->guard_told = told;
	roster->guard_data = data;
	return net_watch(roster->net, roster->loop, on_guard, roster, err);
}

static const char *on_refusal(void *data)
{
	const struct roster *roster = data;

	return roster->refusal;
}

/* --- opening: adopt what runs, free what was left -------------------------------------------- */

static int adopt_slot(struct roster *roster, uint32_t slot, const char *run_dir, struct strv *taps,
		      struct error *err)
{
	struct instance *instance = NULL;
	struct error why = { 0 };

	/* Left alone it would run on with nobody to watch it, and its tap would be swept. */
	if (slot >= slot_limit(roster))
		return error_set(err,
				 "%s: beyond the %u slots of uid_count (raise it again in "
				 "stoker.ini until that VM is removed)",
				 run_dir, (unsigned)slot_limit(roster));
	if (instance_adopt(&roster->context, slot, &instance, &why) < 0) {
		/* The directory goes last: while it is there, something may still hold the slot. */
		roster->slots[slot] = access(run_dir, F_OK) == 0;
		log_warning("slot %u: not adopted, and %s: %s", (unsigned)slot,
			    roster->slots[slot] ? "out of use until the next start" : "freed",
			    why.text);
		return 0;
	}
	if (insert(roster, instance) < 0) {
		instance_free(instance);
		return error_set(err,
				 "slot %u: its VM runs twice (stop the daemon, end one by "
				 "hand)",
				 (unsigned)slot);
	}
	strv_addf(taps, NET_TAP_PREFIX "%u", (unsigned)slot);
	return 0;
}

/* Upper layers lose their names as soon as a VMM has them; one that still has a name belongs to a
 * start that never was finished. */
static int drop_unfinished_disks(const struct roster *roster, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/disks", roster->settings->state_dir);

	return fs_remove_tree(path, err);
}

static int adopt_all(struct roster *roster, struct error *err)
{
	_cleanup_free_ char *path = xasprintf("%s/vm", roster->settings->run_dir);
	_cleanup_strv_ struct strv taps = { 0 };
	struct dirent *entry;
	int result = 0;
	DIR *dir;

	if (drop_unfinished_disks(roster, err) < 0 || fs_mkdir_p(path, 0700, err) < 0)
		return -1;
	dir = opendir(path);
	if (!dir)
		return error_errno(err, errno, "%s: cannot list", path);
	while (result == 0 && (entry = readdir(dir))) {
		char *end;
		unsigned long slot = strtoul(entry->d_name, &end, 10);
		_cleanup_free_ char *run_dir = xasprintf("%s/%s", path, entry->d_name);

		if (entry->d_name[0] == '.' || *end || slot > UINT32_MAX)
			continue;
		result = adopt_slot(roster, (uint32_t)slot, run_dir, &taps, err);
	}
	closedir(dir);
	if (result < 0)
		return -1;
	cgroup_sweep(roster->cgroup);
	return net_sweep(roster->net, &taps, err);
}

static int open_cgroup(struct roster *roster, struct error *err)
{
	if (cgroup_open("", roster->settings, &roster->cgroup, err) < 0)
		return -1;
	if (cgroup_problem(roster->cgroup))
		log_warning("%s", cgroup_problem(roster->cgroup));
	return 0;
}

int roster_open(struct loop *loop, const struct settings *settings, roster_fn *changed, void *data,
		struct roster **ret, struct error *err)
{
	struct roster *roster = xcalloc(1, sizeof(*roster));

	roster->loop = loop;
	roster->settings = settings;
	roster->changed = changed;
	roster->data = data;
	roster->slots = xcalloc(settings->uid_count, 1);
	roster->boot = boot_new(settings);
	if (open_cgroup(roster, err) < 0 || net_open(settings, &roster->net, err) < 0 ||
	    image_store_open(loop, settings, &roster->images, err) < 0 ||
	    forward_open(loop, settings, &roster->forward, err) < 0) {
		roster_close(roster);
		return -1;
	}
	image_store_set_users(roster->images, roster_tell_users, roster);
	roster->context = (struct instance_context){
		.loop = loop,
		.settings = settings,
		.net = roster->net,
		.images = roster->images,
		.cgroup = roster->cgroup,
		.boot = roster->boot,
		.forward = roster->forward,
		.changed = on_changed,
		.released = on_released,
		.holder = roster_tell_holder,
		.wait = roster_tell_wait,
		.refusal = on_refusal,
		.hosts = roster_tell_hosts,
		.data = roster,
	};
	if (adopt_all(roster, err) < 0) {
		roster_close(roster);
		return -1;
	}
	*ret = roster;
	return 0;
}

struct roster *roster_close(struct roster *roster)
{
	struct error err;

	if (!roster)
		return NULL;
	for (size_t i = 0; i < roster->released_count; i++)
		instance_free(roster->released[i]);
	for (size_t i = 0; i < roster->count; i++)
		instance_free(roster->instances[i]);
	forward_close(roster->forward); /* the last lines of their logs are in it */
	watch_free(roster->sweeper);
	watch_free(roster->waker);
	if (roster->images)
		image_store_close(roster->images);
	/* With no VM left, the guard has nothing to guard: leave the kernel as it was found. */
	if (roster->net && roster->count == 0 && net_remove(roster->net, &err) < 0)
		log_warning("%s", err.text);
	if (roster->net)
		net_close(roster->net);
	if (roster->count == 0)
		cgroup_clear(roster->cgroup);
	cgroup_close(roster->cgroup);
	boot_free(roster->boot);
	free(roster->refusal);
	free(roster->instances);
	free(roster->released);
	free(roster->slots);
	free(roster);
	return NULL;
}

/* --- carrying out a plan --------------------------------------------------------------------- */

void roster_hold(struct roster *roster, const char *why)
{
	free(roster->refusal);
	roster->refusal = xstrdup(why);
}

static void create(struct roster *roster, const struct spec *spec)
{
	struct instance *instance;
	uint32_t slot;

	if (free_slot(roster, &slot) < 0) {
		log_error("%s: waits for a free slot: all %u are taken (%s)", spec->name,
			  (unsigned)slot_limit(roster),
			  slot_limit(roster) < NET_SLOTS_MAX ? "raise uid_count in stoker.ini"
							     : "remove other VMs");
		roster->lacks_slots = true;
		return;
	}
	instance = instance_new(&roster->context, spec, slot);
	insert(roster, instance);
	instance_start(instance);
}

/* What could not be started again is not stopped: the next plan says the same. */
static void replace(const struct roster *roster, struct instance *instance, const struct spec *spec)
{
	struct instance_status status;

	instance_observe(instance, &status);
	if (roster->refusal && (status.phase == PHASE_BOOTING || status.phase == PHASE_RUNNING))
		log_warning("%s: not replaced, goes on as it was: %s", spec->name, roster->refusal);
	else
		instance_replace(instance, spec);
}

static void carry_out(struct roster *roster, const struct action *action)
{
	struct instance *instance = action->desired ? roster_find_spec(roster, action->desired)
						    : roster_find(roster, action->name);

	switch (action->kind) {
	case ACTION_REMOVE:
		if (instance)
			instance_remove(instance);
		break;
	case ACTION_REPLACE:
		if (instance)
			replace(roster, instance, action->desired);
		break;
	case ACTION_UPDATE:
		if (instance)
			instance_update(instance, action->desired);
		break;
	case ACTION_CREATE:
		if (!instance)
			create(roster, action->desired);
		break;
	case ACTION_KEEP:
		if (instance)
			instance_keep(instance);
		break;
	}
}

/* Whoever leaves keeps its slot until it has stopped, so its successor may have to wait. */
static void create_waiting(struct roster *roster)
{
	struct fleet_status observed = { 0 };
	_cleanup_plan_ struct plan plan = { 0 };

	roster->lacks_slots = false;
	roster_observe(roster, &observed);
	plan_make(roster->fleet, &observed, &plan);
	fleet_status_reset(&observed);
	for (size_t i = 0; i < plan.count && !roster->lacks_slots; i++)
		if (plan.actions[i].kind == ACTION_CREATE)
			carry_out(roster, &plan.actions[i]);
}

void roster_apply(struct roster *roster, const struct fleet *fleet, const struct plan *plan)
{
	struct error err = { 0 };

	roster->fleet = fleet;
	roster->lacks_slots = false;
	boot_forget(roster->boot);
	for (size_t i = 0; i < plan->count; i++)
		carry_out(roster, &plan->actions[i]);
	if (net_commit(roster->net, &err) < 0)
		log_error("policies and ports stay as they were until the next reload: %s",
			  err.text);
	for (size_t i = 0; i < roster->count && !roster->refusal; i++)
		instance_retry(roster->instances[i]);
	if (plan_is_empty(plan))
		return;
	wake_soon(roster);
	for (size_t i = 0; i < roster->count; i++)
		instance_refresh_hosts(roster->instances[i]);
}

/* --- questions ------------------------------------------------------------------------------- */

size_t roster_count(const struct roster *roster)
{
	return roster->count;
}

void roster_observe(const struct roster *roster, struct fleet_status *ret)
{
	ret->instances = xcalloc(roster->count, sizeof(*ret->instances));
	ret->count = roster->count;
	for (size_t i = 0; i < roster->count; i++)
		instance_observe(roster->instances[i], &ret->instances[i]);
}

bool roster_has_fleet(const struct roster *roster)
{
	return roster->fleet;
}

struct forward *roster_forward(const struct roster *roster)
{
	return roster->forward;
}

struct image_store *roster_images(const struct roster *roster)
{
	return roster->images;
}

bool roster_is_settled(const struct roster *roster)
{
	if (roster->lacks_slots)
		return false;
	for (size_t i = 0; i < roster->count; i++) {
		struct instance_status status;

		instance_observe(roster->instances[i], &status);
		switch (status.phase) {
		case PHASE_RUNNING:
		case PHASE_PAUSED:
		case PHASE_STOPPED:
		case PHASE_BACKOFF:
		case PHASE_FAILED:
			break;
		case PHASE_PREPARING:
			if (instance_is_stuck(roster->instances[i]))
				break;
			return false;
		case PHASE_ABSENT:
		case PHASE_FETCHING:
		case PHASE_BOOTING:
		case PHASE_STOPPING:
		case PHASE_COUNT:
			return false;
		}
	}
	return true;
}
